//! What the authority knows, kept in a database and held in memory.
//!
//! The database has records ([`crate::model`]) and a number for each transaction. The store holds the latest [`State`] in
//! memory, and reads what others have written since: who asks gets a state that does not change under them. A change is made
//! on a copy, and is written if nobody came first; otherwise it is made again on the newer state.

mod administration;
mod backend;
mod draft;
mod grants;
mod location;
mod postgres;
mod sqlite;
mod state;

pub use administration::{
    ControlKind, DEFAULT_SESSION_SECONDS, NewIdentity, SessionRequest, check,
};
pub use draft::Draft;
pub use grants::token_hash;
pub use grants::{PortalAccess, PortalRequest};
pub use location::{Location, PostgresLocation, TlsMode};
pub use state::{Record, State, Table, account_key, regional_key};

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use countersign_core::name::InvalidName;

use crate::model::{SecretRecord, seconds};
use crate::seal::SealingKey;
use backend::{Backend, Commit, Revision};
use postgres::Postgres;
use sqlite::Sqlite;

/// How often a change is made again because others came first, before that is an error.
const ATTEMPTS: u32 = 100;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database itself failed.
    #[error("the authority's store {place}: {reason}")]
    Database {
        /// The file, or the server without its password.
        place: String,
        /// The database's error.
        reason: String,
    },
    /// The file or its directory can't be made.
    #[error("the authority's store {path}: {source}")]
    File {
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// It was written by another version.
    #[error("the authority's store was made by another version: {0}")]
    Schema(String),
    /// What was named does not exist.
    #[error("there is no {0}")]
    NotFound(String),
    /// What was to be created exists.
    #[error("{0} exists already")]
    AlreadyExists(String),
    /// A policy can't be evaluated.
    #[error("the policy {name:?} is refused: {errors}")]
    Policy {
        /// Its name.
        name: String,
        /// Every mistake, with its place.
        errors: String,
    },
    /// A value is not of the form that it has to have.
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    /// What is stored can't be read.
    #[error("the authority's store holds what it never wrote: {0}")]
    Corrupt(String),
    /// Others write all the time.
    #[error("the authority's store is too busy: {ATTEMPTS} attempts to write came too late")]
    Contended,
    /// The system gave no random bytes.
    #[error("the system gives no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

/// The store. Clones share everything.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Mutex<Inner>>,
    sealing: Arc<SealingKey>,
}

#[derive(Debug)]
struct Inner {
    backend: Box<dyn Backend>,
    revision: Revision,
    state: Arc<State>,
    /// The database's stamp when the state was last read.
    seen: Option<i64>,
}

impl Store {
    /// Opens the store in `directory`, which is made, private to its owner, where it does not exist.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Database`], [`StoreError::Schema`] and [`StoreError::Corrupt`].
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::over(Box::new(Sqlite::open(directory)?))
    }

    /// Opens the store wherever it lies.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub fn open_at(location: &Location) -> Result<Self, StoreError> {
        match location {
            Location::Directory(directory) => Self::open(directory),
            Location::Postgres(location) => Self::over(Box::new(Postgres::open(location)?)),
        }
    }

    fn over(backend: Box<dyn Backend>) -> Result<Self, StoreError> {
        let mut inner = Inner { backend, revision: 0, state: Arc::default(), seen: None };
        inner.refresh()?;
        let sealing = inner.change(sealing_key)?;
        Ok(Self { inner: Arc::new(Mutex::new(inner)), sealing: Arc::new(sealing) })
    }

    /// What session tokens are sealed with.
    #[must_use]
    pub fn sealing(&self) -> &SealingKey {
        &self.sealing
    }

    /// The latest state, with what others have written.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Schema`] and [`StoreError::Corrupt`].
    pub fn state(&self) -> Result<Arc<State>, StoreError> {
        let mut inner = self.lock();
        inner.refresh()?;
        Ok(Arc::clone(&inner.state))
    }

    /// Makes a change, all of it or nothing. `work` is called again where others have come first.
    ///
    /// # Errors
    /// That of `work`: nothing is changed then. [`StoreError::Database`], [`StoreError::Contended`].
    pub fn change<T, E: From<StoreError>>(
        &self,
        work: impl FnMut(&mut Draft) -> Result<T, E>,
    ) -> Result<T, E> {
        self.lock().change(work)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock was held has left the state of before: it is replaced as a whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn change<T, E: From<StoreError>>(
        &mut self,
        mut work: impl FnMut(&mut Draft) -> Result<T, E>,
    ) -> Result<T, E> {
        for _ in 0..ATTEMPTS {
            self.refresh()?;
            let mut draft = Draft::new(State::clone(&self.state));
            let value = work(&mut draft)?;
            let (state, rows) = draft.into_parts();
            if rows.is_empty() {
                return Ok(value);
            }
            if let Commit::Done(revision) = self.backend.commit(self.revision, &rows)? {
                (self.revision, self.state) = (revision, Arc::new(state));
                return Ok(value);
            }
            // What came first is read, though the stamp may say that nothing did: it is the same until this connection reads.
            self.seen = None;
        }
        Err(StoreError::Contended.into())
    }

    /// Takes over what others have written. Where that fails, it is tried again by whoever asks next: nobody gets a state that
    /// is known to be old.
    fn refresh(&mut self) -> Result<(), StoreError> {
        let stamp = self.backend.stamp()?;
        if self.seen == Some(stamp) {
            return Ok(());
        }
        let (revision, rows) = self.backend.changes(self.revision)?;
        if !rows.is_empty() {
            let mut state = State::clone(&self.state);
            rows.iter().try_for_each(|row| state.apply(row))?;
            self.state = Arc::new(state);
        }
        (self.revision, self.seen) = (revision, Some(stamp));
        Ok(())
    }
}

/// The key that session tokens are sealed with: made by whoever opens the store first.
fn sealing_key(draft: &mut Draft) -> Result<SealingKey, StoreError> {
    const NAME: &str = "session/1";
    if let Some(kept) = draft.secrets.get(NAME) {
        return SealingKey::from_base64(&kept.text)
            .ok_or_else(|| StoreError::Corrupt(format!("the secret {NAME}")));
    }
    let key = SealingKey::generate().map_err(|error| StoreError::Corrupt(error.to_string()))?;
    draft.put(SecretRecord {
        name: NAME.to_owned(),
        text: key.to_base64(),
        created: seconds(SystemTime::now()),
    })?;
    Ok(key)
}

#[cfg(test)]
mod tests;
