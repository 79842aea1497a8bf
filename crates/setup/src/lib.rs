//! Sets up existing database servers. The work is a [`Plan`], which is printed, or applied
//! completely or not at all.
//!
//! A plan is a list of [`Step`]s: a file with its content, a statement, or a check of the server's
//! variables. The database's own client runs the statements; this crate opens no connection.

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
