//! Records in a SQLite file, which several processes may open and which survives `kill -9`.

use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior, params};

use super::backend::{Backend, Commit, Revision, Row};
use super::error::StoreError;

/// Version of the schema, stored in SQLite's `user_version`.
const SCHEMA_VERSION: u32 = 2;

/// Maximum time to wait for another process's write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Path of the file and a connection to it.
#[derive(Debug)]
pub(super) struct Sqlite {
    connection: Connection,
    path: PathBuf,
}

impl Sqlite {
    /// Opens the file in `directory`. Creates the directory with mode 0700 if it does not exist.
    pub(super) fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join("authority.db");
        let file_error = |source| StoreError::File { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(file_error)?;
        // SQLite gives its side files the mode of the main file, so the file is created here with
        // mode 0600. An existing file is not opened: closing it would release the locks of this
        // process's other connections.
        match OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(file_error(error));
            }
            _ => {}
        }
        let opened = Connection::open(&path).and_then(|mut connection| {
            connection.busy_timeout(BUSY_TIMEOUT)?;
            // Without this option the planner depends on parameter values, and prepares a cached
            // statement again for each value.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
            connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")?;
            let version = migrate(&mut connection)?;
            Ok((connection, version))
        });
        let (connection, version) = opened.map_err(|source| failed(&path, source))?;
        if version != SCHEMA_VERSION {
            return Err(StoreError::Schema(format!(
                "{} has schema version {version}, but this program supports {SCHEMA_VERSION}; \
                 use the version of countersign that created it, or another directory",
                path.display()
            )));
        }
        Ok(Self { connection, path })
    }
}

impl Backend for Sqlite {
    fn data_version(&mut self) -> Result<i64, StoreError> {
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
    StoreError::Database { location: path.display().to_string(), reason: source.to_string() }
}

/// Migrates an empty database to the current schema, and returns the version of the schema.
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
