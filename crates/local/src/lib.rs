//! Starts real database servers on this machine that enforce IAM through the authority.
//!
//! The only crate that spawns database servers. [`stack::Stack::up`] is the entry point: it creates
//! the [`Layout`] of a directory, starts the authority, then each server with TLS from a CA of the
//! directory's own. [`identities`] manages the users and roles of the stack.

mod auth_backend;
mod error;
mod fleet;
pub mod identities;
mod installation;
mod layout;
mod mysql;
mod os_user;
mod pam;
mod plan;
mod port;
mod postgres;
mod program;
mod projection;
pub mod seed;
mod server;
mod server_dir;
pub mod sources;
pub mod stack;
pub mod state;
mod tls;
mod unpack;
mod version;

pub use error::LocalError;
pub use installation::Installation;
pub use layout::Layout;
pub use unpack::install;
pub use version::{InvalidVersion, Version};
