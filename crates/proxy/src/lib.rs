//! A proxy that accepts SQL clients and logs in to their database with IAM.
//!
//! [`Proxy`] is the entry point. The module `session` handles a client connection from accept to
//! close.

pub mod activation;
pub mod admin;
pub mod handover;
mod health;
pub mod inherited;
mod lifecycle;
mod limit;
mod listen;
pub mod metrics;
mod pool;
mod protocol;
pub mod proxy;
mod relay;
mod session;
mod sessions;
pub mod settings;
pub mod status;
mod target;
mod target_handle;
pub mod telemetry;
#[cfg(test)]
mod testing;
mod upstream;
mod workers;
mod writer_watch;

pub use inherited::InheritedSocket;
pub use proxy::{Problem, Proxy};
pub use target::Context;
pub use workers::Workers;
