//! Draft of a change: a copy of the state and the rows that differ.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use super::backend::Row;
use super::error::StoreError;
use super::state::{Record, State};

/// Copy of the state with changes that no other caller sees before the commit.
#[derive(Debug)]
pub struct Draft {
    state: State,
    changed: BTreeMap<(&'static str, String), Option<String>>,
}

impl Draft {
    pub(super) fn new(state: State) -> Self {
        Self { state, changed: BTreeMap::new() }
    }

    /// Inserts or replaces a record.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the record cannot be encoded as JSON, which does not happen.
    pub fn put<R: Record>(&mut self, record: R) -> Result<Arc<R>, StoreError> {
        let id = record.id();
        let body = serde_json::to_string(&record)
            .map_err(|error| StoreError::Corrupt(format!("the {} {id:?}: {error}", R::KIND)))?;
        let record = Arc::new(record);
        R::table_mut(&mut self.state).insert_mut(id.clone(), Arc::clone(&record));
        self.changed.insert((R::KIND, id), Some(body));
        Ok(record)
    }

    /// Deletes a record. Returns false if it did not exist.
    pub fn remove<R: Record>(&mut self, id: &str) -> bool {
        let removed = R::table_mut(&mut self.state).remove_mut(id);
        if removed {
            self.changed.insert((R::KIND, id.to_owned()), None);
        }
        removed
    }

    pub(super) fn into_parts(self) -> (State, Vec<Row>) {
        let row = |((kind, id), body): ((&str, String), Option<String>)| Row {
            kind: kind.to_owned(),
            id,
            body,
        };
        (self.state, self.changed.into_iter().map(row).collect())
    }
}

impl Deref for Draft {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}
