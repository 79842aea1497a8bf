//! The proxy: it takes SQL clients in, logs in to their database by IAM, and lets them talk.
//!
//! [`Proxy`] is the whole of it; `session.rs` is one client's way through it, from top to bottom.

pub mod activation;
pub mod admin;
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
mod session;
mod sessions;
pub mod settings;
pub mod status;
mod stop;
mod target;
pub mod telemetry;
#[cfg(test)]
mod testing;
mod upstream;
mod workers;
mod writer;

pub use inherited::Inherited;
pub use proxy::{Context, Problem, Proxy};
pub use workers::Workers;
