//! The proxy: it takes SQL clients in, logs in to their database by IAM, and lets them talk.
//!
//! [`Proxy`] is the whole of it; `session.rs` is one client's way through it, from top to bottom.

pub mod activation;
pub mod admin;
mod context;
mod failover;
pub mod handover;
pub mod health;
pub mod inherited;
mod limit;
mod listen;
pub mod metrics;
mod pool;
mod protocol;
pub mod proxy;
mod relay;
mod service;
mod session;
mod sessions;
pub mod settings;
mod shutdown;
pub mod status;
mod target;
pub mod telemetry;
#[cfg(test)]
mod testing;
mod upstream;
mod workers;
mod writer;

pub use context::Context;
pub use inherited::InheritedSocket;
pub use proxy::{Problem, Proxy};
pub use workers::Workers;
