//! How a module inside a database server reaches its verifier: what an operator sets, the way to the process that listens,
//! and one question about one login.
//!
//! Everything here blocks, and starts no thread: a module is a guest in the server's own threads or processes.

#![cfg(target_os = "linux")]

mod connection;
mod settings;
mod verifier;

pub use settings::{SettingError, Settings};
pub use verifier::Verifier;
