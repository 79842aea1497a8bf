//! Records of the authority, stored in a database and held in memory.
//!
//! The database contains records ([`crate::model`]) and a revision number for each transaction. The
//! store holds the latest [`State`] in memory and reads the transactions of other processes. A
//! state is immutable: a caller's state does not change while the caller uses it. A change is made
//! on a copy and committed if no other process has committed since; otherwise it is repeated on the
//! newer state.

mod administration;
mod backend;
mod draft;
mod error;
mod grants;
mod handle;
mod identities;
mod location;
mod postgres;
mod sqlite;
mod state;

pub use administration::{ControlKind, SessionRequest};
pub use draft::Draft;
pub use error::StoreError;
pub use grants::{PortalAccess, PortalRequest, token_hash};
pub use handle::Store;
pub use identities::{DEFAULT_SESSION_SECONDS, NewIdentity, check_policy};
pub use location::{PostgresLocation, StoreLocation, TlsMode};
pub use state::{Record, State, Table, account_key, regional_key};

#[cfg(test)]
mod tests;
