//! PostgreSQL, protocol 3.0 and 3.2, as PostgreSQL 18's manual has it in "Frontend/Backend Protocol".

pub mod cancel;
pub mod codec;
pub mod dial;
pub mod login;
pub mod recall;
pub mod scram;
pub mod startup;
pub mod statement;
pub mod stream;
#[cfg(test)]
mod testing;

pub use cancel::CancelKey;
pub use startup::Startup;
