//! Real database servers on this machine that enforce IAM through the authority: the only crate that spawns one.
//!
//! [`stack::Stack::up`] is the way in: it makes the [`Layout`] of a directory, starts the authority, then each server,
//! with TLS from a CA of the directory's own. [`people`] are the users and roles to try it with.

mod error;
mod installation;
mod layout;
mod os_user;
mod pam;
pub mod people;
mod postgres;
pub mod stack;
pub mod state;
mod tls;

pub use error::LocalError;
pub use installation::{Installation, Version, install};
pub use layout::Layout;
