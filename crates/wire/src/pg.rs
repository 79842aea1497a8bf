//! PostgreSQL, protocol 3.0 and 3.2, as PostgreSQL 18's manual has it in "Frontend/Backend Protocol".

pub mod cancel;
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

pub use cancel::CancelKey;
pub use startup::StartupParams;
