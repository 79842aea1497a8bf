//! Where the records lie: what the store needs of a database.

use std::fmt::Debug;

use super::StoreError;

/// A record as it lies in the database; without a body it was deleted.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) body: Option<String>,
}

impl Debug for Row {
    /// The body may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Row({} {:?})", self.kind, self.id)
    }
}

/// The number of the last transaction.
pub(super) type Revision = i64;

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commit {
    /// It is in the database, under this revision.
    Done(Revision),
    /// Another one came first: nothing was written.
    Conflict,
}

/// A database with records in it.
pub(super) trait Backend: Debug + Send {
    /// What is another whenever somebody else may have written. It is asked for before each decision, and is cheap.
    fn stamp(&mut self) -> Result<i64, StoreError>;

    /// The revision of the last transaction, and every row that was written after `since`.
    fn changes(&mut self, since: Revision) -> Result<(Revision, Vec<Row>), StoreError>;

    /// Writes all rows in one transaction, if `base` is still the last revision.
    fn commit(&mut self, base: Revision, rows: &[Row]) -> Result<Commit, StoreError>;
}
