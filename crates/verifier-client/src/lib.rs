//! Client of the verifier for modules that run inside a database server: settings, the connection
//! to the verifier's socket, and the verification of one login.
//!
//! All calls block and start no threads, because a module runs in the threads or processes of the
//! server.

#![cfg(target_os = "linux")]

mod connection;
mod settings;
mod verifier;

pub use settings::{SettingError, Settings};
pub use verifier::Verifier;
