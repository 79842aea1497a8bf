//! Real database servers on this machine that enforce IAM through the authority: the only crate that spawns one.
//!
//! [`stack::Stack::up`] is the way in: it makes the [`Layout`] of a directory, starts the authority, then each server,
//! with TLS from a CA of the directory's own. [`people`] are the users and roles to try it with.

mod error;
mod fleet;
pub mod identities;
mod installation;
mod layout;
mod mysql;
mod os_user;
mod pam;
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
