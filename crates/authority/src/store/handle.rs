//! Handle to the store: the state in memory and its transactions.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::backend::{Backend, Commit, Revision};
use super::draft::Draft;
use super::error::{MAX_ATTEMPTS, StoreError};
use super::location::StoreLocation;
use super::postgres::Postgres;
use super::sqlite::Sqlite;
use super::state::State;
use crate::model::{SecretRecord, seconds};
use crate::seal::SealingKey;

/// The store. Clones share the state and the database connection.
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
    /// Result of [`Backend::data_version`] when the state was last read.
    data_version: Option<i64>,
}

impl Store {
    /// Opens the store in `directory`. Creates the directory with mode 0700 if it does not exist.
    ///
    /// # Errors
    /// [`StoreError::File`], [`StoreError::Database`], [`StoreError::Schema`] and
    /// [`StoreError::Corrupt`].
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::with_backend(Box::new(Sqlite::open(directory)?))
    }

    /// Opens the store at `location`.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub fn open_at(location: &StoreLocation) -> Result<Self, StoreError> {
        match location {
            StoreLocation::Directory(directory) => Self::open(directory),
            StoreLocation::Postgres(location) => {
                Self::with_backend(Box::new(Postgres::open(location)?))
            }
        }
    }

    fn with_backend(backend: Box<dyn Backend>) -> Result<Self, StoreError> {
        let mut inner = Inner { backend, revision: 0, state: Arc::default(), data_version: None };
        inner.refresh()?;
        let sealing = inner.change(sealing_key)?;
        Ok(Self { inner: Arc::new(Mutex::new(inner)), sealing: Arc::new(sealing) })
    }

    /// Returns the key that seals session tokens.
    #[must_use]
    pub fn sealing(&self) -> &SealingKey {
        &self.sealing
    }

    /// Returns the latest state, including the transactions of other processes.
    ///
    /// # Errors
    /// [`StoreError::Database`], [`StoreError::Schema`] and [`StoreError::Corrupt`].
    pub fn state(&self) -> Result<Arc<State>, StoreError> {
        let mut inner = self.lock();
        inner.refresh()?;
        Ok(Arc::clone(&inner.state))
    }

    /// Makes a change in one transaction. Calls `work` again if another process committed first.
    ///
    /// # Errors
    /// The error of `work`, after which nothing is changed; [`StoreError::Database`],
    /// [`StoreError::Contended`].
    pub fn change<T, E: From<StoreError>>(
        &self,
        work: impl FnMut(&mut Draft) -> Result<T, E>,
    ) -> Result<T, E> {
        self.lock().change(work)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The state is replaced as a whole, so a panic under the lock left the previous state.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn change<T, E: From<StoreError>>(
        &mut self,
        mut work: impl FnMut(&mut Draft) -> Result<T, E>,
    ) -> Result<T, E> {
        for _ in 0..MAX_ATTEMPTS {
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
            // The next refresh must read the other transaction, although the data version may be
            // unchanged: it stays the same until this connection reads.
            self.data_version = None;
        }
        Err(StoreError::Contended.into())
    }

    /// Applies the transactions of other processes. After a failure the next call tries again, so
    /// that no caller gets a state known to be outdated.
    fn refresh(&mut self) -> Result<(), StoreError> {
        let data_version = self.backend.data_version()?;
        if self.data_version == Some(data_version) {
            return Ok(());
        }
        let (revision, rows) = self.backend.changes(self.revision)?;
        if !rows.is_empty() {
            let mut state = State::clone(&self.state);
            rows.iter().try_for_each(|row| state.apply(row))?;
            self.state = Arc::new(state);
        }
        (self.revision, self.data_version) = (revision, Some(data_version));
        Ok(())
    }
}

/// Returns the key that seals session tokens. The process that opens the store first creates it.
fn sealing_key(draft: &mut Draft) -> Result<SealingKey, StoreError> {
    const NAME: &str = "session/1";
    if let Some(record) = draft.secrets.get(NAME) {
        return SealingKey::from_base64(&record.text)
            .ok_or_else(|| StoreError::Corrupt(format!("the secret {NAME} is not a sealing key")));
    }
    let key = SealingKey::generate()?;
    draft.put(SecretRecord {
        name: NAME.to_owned(),
        text: key.to_base64(),
        created: seconds(SystemTime::now()),
    })?;
    Ok(key)
}
