//! The records in a file of SQLite's, which several processes may open and which survives `kill -9`.

use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior, params};

use super::StoreError;
use super::backend::{Backend, Commit, Revision, Row};

/// The schema's version, kept in SQLite's `user_version`.
const SCHEMA_VERSION: u32 = 2;

/// How long a call waits for another process's write.
const BUSY: Duration = Duration::from_secs(2);

/// The file and a connection to it.
#[derive(Debug)]
pub(super) struct Sqlite {
    connection: Connection,
    path: PathBuf,
}

impl Sqlite {
    /// Opens the file in `directory`, which is made, private to its owner, where it does not exist.
    pub(super) fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join("authority.db");
        let file_error = |source| StoreError::File { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(file_error)?;
        // SQLite gives its side files the mode of the main one: made here, so that none is ever readable by others. One that
        // is there is not opened: closing it would let go of the locks that this process's other connections hold.
        match OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(file_error(error));
            }
            _ => {}
        }
        let opened = Connection::open(&path).and_then(|mut connection| {
            connection.busy_timeout(BUSY)?;
            // Otherwise the planner looks at the values of parameters, and prepares a statement that is kept anew for each.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
            connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
            let found = migrate(&mut connection)?;
            Ok((connection, found))
        });
        let (connection, found) = opened.map_err(|source| failed(&path, source))?;
        if found != SCHEMA_VERSION {
            return Err(StoreError::Schema(format!(
                "{} is of schema {found}, this program knows {SCHEMA_VERSION}; use the version that made it, or another directory",
                path.display()
            )));
        }
        Ok(Self { connection, path })
    }
}

impl Backend for Sqlite {
    fn stamp(&mut self) -> Result<i64, StoreError> {
        let read = || {
            self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
        };
        read().map_err(|source| failed(&self.path, source))
    }

    fn changes(&mut self, since: Revision) -> Result<(Revision, Vec<Row>), StoreError> {
        let Self { connection, path } = self;
        let mut read = || {
            let transaction = connection.transaction()?;
            let current: Revision = transaction
                .prepare_cached("SELECT current FROM revision")?
                .query_row([], |row| row.get(0))?;
            let row = |row: &rusqlite::Row<'_>| {
                Ok(Row { kind: row.get(0)?, id: row.get(1)?, body: row.get(2)? })
            };
            let mut query = transaction
                .prepare_cached("SELECT kind, id, body FROM record WHERE revision > ?1")?;
            let rows = query.query_map([since], row)?.collect::<rusqlite::Result<_>>()?;
            Ok((current, rows))
        };
        read().map_err(|source| failed(path, source))
    }

    fn commit(&mut self, base: Revision, rows: &[Row]) -> Result<Commit, StoreError> {
        let Self { connection, path } = self;
        let mut write = || {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let current: Revision = transaction
                .prepare_cached("SELECT current FROM revision")?
                .query_row([], |row| row.get(0))?;
            if current != base {
                return Ok(Commit::Conflict);
            }
            let mut write = transaction.prepare_cached(
                "INSERT INTO record (kind, id, revision, body) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET revision = excluded.revision, body = excluded.body",
            )?;
            for row in rows {
                write.execute(params![row.kind, row.id, base + 1, row.body])?;
            }
            drop(write);
            transaction.execute("UPDATE revision SET current = ?1", [base + 1])?;
            transaction.commit()?;
            Ok(Commit::Done(base + 1))
        };
        write().map_err(|source| failed(path, source))
    }
}

fn failed(path: &Path, source: rusqlite::Error) -> StoreError {
    StoreError::Database { place: path.display().to_string(), reason: source.to_string() }
}

/// Brings an empty database to the present schema, and says which one it has.
fn migrate(connection: &mut Connection) -> rusqlite::Result<u32> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found == 0 {
        transaction.execute_batch(include_str!("migrations/sqlite-2.sql"))?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        transaction.commit()?;
        return Ok(SCHEMA_VERSION);
    }
    Ok(found)
}
