//! Errors of the store.

use std::path::PathBuf;

use countersign_core::name::InvalidName;

use crate::random::RandomError;
use crate::seal::SealError;

/// Maximum number of attempts to commit one change while other processes commit theirs.
pub(super) const MAX_ATTEMPTS: u32 = 100;

/// Error of an operation on the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed.
    #[error("cannot access the authority's store {location}: {reason}")]
    Database {
        /// Path of the file, or URL of the server without the password.
        location: String,
        /// Error of the database.
        reason: String,
    },
    /// The file or its directory cannot be created.
    #[error("cannot create the authority's store {path}: {source}")]
    File {
        /// Path of the file or directory.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// Another version of the program wrote the store.
    #[error("cannot read the authority's store: {0}")]
    Schema(String),
    /// The record does not exist.
    #[error("cannot find {0}")]
    NotFound(String),
    /// The record to be created exists.
    #[error("cannot create {0}: it already exists")]
    AlreadyExists(String),
    /// The policy cannot be evaluated.
    #[error("cannot accept the policy {name:?}: {errors}")]
    Policy {
        /// Name of the policy.
        name: String,
        /// All errors, each with its location in the document.
        errors: String,
    },
    /// A value has the wrong format.
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    /// A record in the store cannot be read.
    #[error("corrupt record in the authority's store: {0}")]
    Corrupt(String),
    /// Other processes committed during every attempt.
    #[error(
        "cannot write to the authority's store: other processes wrote during all {MAX_ATTEMPTS} \
         attempts; try again"
    )]
    Contended,
    /// The operating system returned no random bytes.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// A session token or the key that seals it cannot be made.
    #[error(transparent)]
    Seal(#[from] SealError),
}
