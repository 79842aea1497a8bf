//! What the authority knows, in an embedded database that several processes may open and that survives `kill -9`.

mod identity;
mod instance;
mod policy;
mod random;
mod session;

pub use identity::{Identity, IdentityKind, KeyInfo, NewIdentity, StoredKey};
pub use instance::Instance;
pub use policy::{ControlKind, Documents, Named, PolicySlot};
pub use session::SessionRequest;

use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use countersign_core::name::{AccountId, InvalidName};
use countersign_core::region::Partition;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

/// The schema's version, kept in SQLite's `user_version`.
const SCHEMA_VERSION: u32 = 1;

/// How long a call waits for another process's write.
const BUSY: Duration = Duration::from_secs(2);

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database itself failed.
    #[error("the authority's store {path}: {source}")]
    Database {
        /// The file.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// The file or its directory can't be made.
    #[error("the authority's store {path}: {source}")]
    File {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file was written by another version.
    #[error(
        "the authority's store {path} is of schema {found}, this program knows {SCHEMA_VERSION}; use the version that made it, or another directory"
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// What `user_version` says.
        found: u32,
    },
    /// What was named does not exist.
    #[error("there is no {0}")]
    Missing(String),
    /// What was to be created exists.
    #[error("{0} exists already")]
    Exists(String),
    /// A policy can't be evaluated.
    #[error("the policy {name:?} is refused: {errors}")]
    Policy {
        /// Its name.
        name: String,
        /// Every mistake, with its place.
        errors: String,
    },
    /// A stored value is not of the form that its column has.
    #[error("the authority's store holds a value that it never wrote: {0}")]
    Corrupt(#[from] InvalidName),
    /// The system gave no random bytes.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

/// The store. Every call is one transaction; calls of other processes are seen at once.
#[derive(Debug)]
pub struct Store {
    connection: Mutex<Connection>,
    path: PathBuf,
}

impl Store {
    /// Opens the store in `directory`, which is made, private to its owner, where it does not exist.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Database`] and [`StoreError::Schema`].
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join("authority.db");
        let file_error = |source| StoreError::File { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(file_error)?;
        // SQLite gives its side files the mode of the main one: made here, so that none is ever readable by others. One that
        // is there is not opened: closing it would let go of the locks that this process's other connections hold.
        match OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(file_error(error)),
            _ => {}
        }
        let database_error = |source| StoreError::Database { path: path.clone(), source };
        let mut connection = Connection::open(&path).map_err(database_error)?;
        connection.busy_timeout(BUSY).map_err(database_error)?;
        // Otherwise the planner looks at the values of parameters, and prepares a statement that is kept anew for each.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(database_error)?;
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
            .map_err(database_error)?;
        let found = migrate(&mut connection).map_err(database_error)?;
        if found != SCHEMA_VERSION {
            return Err(StoreError::Schema { path, found });
        }
        Ok(Self { connection: Mutex::new(connection), path })
    }

    /// Makes an account in a partition; it is no error if it exists.
    ///
    /// # Errors
    /// [`StoreError::Database`]
    pub fn ensure_account(&self, account: &AccountId, partition: Partition) -> Result<(), StoreError> {
        const INSERT: &str = "INSERT INTO account (id, partition) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        self.run(|db| db.execute(INSERT, [account.as_str(), partition.as_str()])).map(drop)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic while the lock was held has rolled its transaction back: the connection is as good as before.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` in a transaction of its own that may write.
    fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(|e| self.failed(e))?;
        let value = work(&transaction).map_err(|error| self.failed(error))?;
        transaction.commit().map_err(|error| self.failed(error))?;
        Ok(value)
    }

    /// Runs `work` on one snapshot of the state.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let mut connection = self.lock();
        let transaction = connection.transaction().map_err(|error| self.failed(error))?;
        work(&transaction).map_err(|error| self.failed(error))
    }

    fn failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Database { path: self.path.clone(), source }
    }
}

/// Brings an empty database to the present schema, and says which one it has.
fn migrate(connection: &mut Connection) -> rusqlite::Result<u32> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found == 0 {
        transaction.execute_batch(include_str!("store/schema.sql"))?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        transaction.commit()?;
        return Ok(SCHEMA_VERSION);
    }
    Ok(found)
}

/// Turns a broken uniqueness or foreign key into the sentence that fits.
fn constraint(error: StoreError, exists: &str, missing: &str) -> StoreError {
    let StoreError::Database { source: rusqlite::Error::SqliteFailure(code, _), .. } = &error else { return error };
    match (code.code, code.extended_code) {
        (ErrorCode::ConstraintViolation, rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => StoreError::Missing(missing.to_owned()),
        (ErrorCode::ConstraintViolation, _) => StoreError::Exists(exists.to_owned()),
        _ => error,
    }
}

/// Seconds since 1970, as the tables have them.
fn seconds(at: SystemTime) -> i64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// The instant of [`seconds`].
fn instant(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests;
