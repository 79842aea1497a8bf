//! Setting up servers that somebody else runs: what is to be done is a [`Plan`], which is printed, or applied, whole or not at
//! all.
//!
//! A plan reads from top to bottom: each [`Step`] is a file with its content, a statement with its text, or a look at what the
//! server made of it. The database's own client carries the statements; nothing here opens a connection.

mod client;
mod error;
mod file;
mod plan;
pub mod plugin;
mod statement;

pub use client::{Client, Connection};
pub use error::SetupError;
pub use plan::{Action, Content, Plan, Step};
pub use statement::{Statement, WaitCondition};
