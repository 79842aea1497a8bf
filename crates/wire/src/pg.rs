//! PostgreSQL's protocol versions 3.0 and 3.2, as in "Frontend/Backend Protocol" of PostgreSQL 18's
//! manual.

pub mod cancel_key;
pub mod cancel_request;
pub mod client;
pub mod codec;
pub mod scram;
pub mod server;
pub mod simple_query;
pub mod startup;
pub mod stream;
#[cfg(test)]
mod testing;

pub use cancel_key::CancelKey;
pub use startup::StartupParams;
