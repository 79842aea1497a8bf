//! Interface between the store and its database.

use std::fmt::Debug;

use super::error::StoreError;

/// A record as a row of the database. A row without a body is a deleted record.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) body: Option<String>,
}

impl Debug for Row {
    /// Omits the body, which may contain secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Row({} {:?})", self.kind, self.id)
    }
}

/// Number of a transaction.
pub(super) type Revision = i64;

/// Result of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commit {
    /// The rows are in the database, under this revision.
    Done(Revision),
    /// Another transaction was committed first; nothing was written.
    Conflict,
}

/// Database that stores the records.
pub(super) trait Backend: Debug + Send {
    /// Returns a number that changes whenever another process may have written. Called before each
    /// decision, so it must be cheap.
    fn data_version(&mut self) -> Result<i64, StoreError>;

    /// Returns the last revision and the rows written after `since`.
    fn changes(&mut self, since: Revision) -> Result<(Revision, Vec<Row>), StoreError>;

    /// Writes all rows in one transaction, if `base` is still the last revision.
    fn commit(&mut self, base: Revision, rows: &[Row]) -> Result<Commit, StoreError>;
}
