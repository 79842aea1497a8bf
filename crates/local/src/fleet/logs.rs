//! Logs of a server under the names that RDS uses. Each server has one log here.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::time::SystemTime;

use countersign_authority::servers::{LogFile, MAX_LOG_PORTION, ServersError};
use countersign_core::name::Engine;

use super::Fleet;
use crate::LocalError;
use crate::error::at;
use crate::server_dir::ServerDir;
use crate::state::InstanceState;

/// Returns the name of the log.
const fn name(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "error/postgresql.log",
        Engine::Mariadb | Engine::Mysql => "error/mysql-error.log",
    }
}

impl Fleet {
    pub(super) fn log_files(&self, entry: &InstanceState) -> Result<Vec<LogFile>, LocalError> {
        let path = ServerDir::new(&self.layout, &entry.instance, self.run_as.clone()).log();
        let found = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            found => found.map_err(at(&path))?,
        };
        let last_written = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(vec![LogFile { name: name(entry.engine).to_owned(), size: found.len(), last_written }])
    }

    pub(super) fn log_portion(
        &self,
        entry: &InstanceState,
        file: &str,
        offset: u64,
        max: u64,
    ) -> Result<Vec<u8>, ServersError> {
        if file != name(entry.engine) {
            return Err(ServersError::Invalid(format!(
                "cannot read the log {file:?}: {} has only {}",
                entry.instance,
                name(entry.engine)
            )));
        }
        let path = ServerDir::new(&self.layout, &entry.instance, self.run_as.clone()).log();
        let read = || {
            let mut log = File::open(&path)?;
            log.seek(SeekFrom::Start(offset))?;
            let mut portion = Vec::new();
            log.take(max.min(MAX_LOG_PORTION)).read_to_end(&mut portion)?;
            Ok(portion)
        };
        read().map_err(|error| at(&path)(error).into())
    }
}
