//! The proxy: it takes SQL clients in, logs in to their database by IAM, and lets them talk.
//!
//! [`Proxy`] is the whole of it; [`session`] is one client's way through it, from top to bottom.

pub mod health;
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
mod upstream;

pub use listen::Inherited;
pub use proxy::{Context, Problem, Proxy};
