//! Access log: each decision as a line of JSON, and each denial as a message of RDS's
//! `iam-db-auth-error` log.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use countersign_core::audit::AuditRecord;
use countersign_core::failure::{AuditOutcome, Class, Failure};
use countersign_core::name::InstanceId;
use countersign_core::policy::Permit;

/// Name of the file with one line of JSON for each decision.
pub const DECISIONS: &str = "decisions.jsonl";

/// Name of the file with RDS's messages for all instances.
pub const RDS_ERRORS: &str = "iam-db-auth-error.log";

/// Name of the directory with RDS's messages, one file for each instance.
const INSTANCE_ERRORS: &str = "iam-db-auth-error";

/// The log files, open for appending. Each line is one write, so that lines of several processes do
/// not mix.
#[derive(Debug)]
pub struct AccessLog {
    decisions: Mutex<Lines<File>>,
    rds_errors: Mutex<Lines<File>>,
    instance_errors: PathBuf,
}

impl AccessLog {
    /// Opens the log in `directory`. Creates the directory with mode 0700 if it does not exist.
    /// Terminates a line that a crash cut short, so that the next line is separate.
    ///
    /// # Errors
    /// Any error of the operating system, with the path.
    pub fn open(directory: &Path) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| with_path(directory, &error))?;
        let open = |file: &str| {
            let path = directory.join(file);
            open(&path)
                .map(|file| Mutex::new(Lines::new(file)))
                .map_err(|error| with_path(&path, &error))
        };
        let instance_errors = directory.join(INSTANCE_ERRORS);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&instance_errors)
            .map_err(|error| with_path(&instance_errors, &error))?;
        Ok(Self { decisions: open(DECISIONS)?, rds_errors: open(RDS_ERRORS)?, instance_errors })
    }

    /// Writes one decision. A login is allowed only after this succeeded.
    ///
    /// # Errors
    /// Any error of the operating system, such as a full disk.
    pub fn write(&self, record: &AuditRecord) -> io::Result<()> {
        let lock = |lines| Mutex::lock(lines).unwrap_or_else(PoisonError::into_inner);
        lock(&self.decisions).add(&serde_json::to_string(record)?)?;
        match record.rds_line() {
            Some(message) => {
                let line = format!("{} {message}", record.time);
                lock(&self.rds_errors).add(&line)?;
                // Any peer can name instances that do not exist: these get no file.
                if record.resource.is_some() {
                    Lines::new(open(&self.denials_path(&record.instance))?).add(&line)
                } else {
                    Ok(())
                }
            }
            None => Ok(()),
        }
    }

    fn denials_path(&self, instance: &InstanceId) -> PathBuf {
        self.instance_errors.join(format!("{instance}.log"))
    }

    /// Returns the size in bytes of an instance's file of denials and the time of its last write;
    /// `None` if it does not exist.
    ///
    /// # Errors
    /// Any error of the operating system.
    pub fn denials(&self, instance: &InstanceId) -> io::Result<Option<(u64, SystemTime)>> {
        match fs::metadata(self.denials_path(instance)) {
            Ok(found) => Ok(Some((found.len(), found.modified()?))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns at most `max` bytes of an instance's denials from `offset` on.
    ///
    /// # Errors
    /// Any error of the operating system.
    pub fn read_denials(
        &self,
        instance: &InstanceId,
        offset: u64,
        max: u64,
    ) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.denials_path(instance))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut read = Vec::new();
        file.take(max).read_to_end(&mut read)?;
        Ok(read)
    }

    /// Deletes the file of denials of a deleted instance.
    ///
    /// # Errors
    /// Any error of the operating system.
    pub fn remove_denials(&self, instance: &InstanceId) -> io::Result<()> {
        match fs::remove_file(self.denials_path(instance)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Record of one decision, written by [`PendingRecord::close`]. A record that is dropped before is
/// written as an error.
#[derive(Debug)]
pub(crate) struct PendingRecord<'a> {
    /// The log; `None` after the attempt to write.
    log: Option<&'a AccessLog>,
    pub(crate) record: AuditRecord,
}

impl<'a> PendingRecord<'a> {
    pub(crate) const fn new(log: &'a AccessLog, record: AuditRecord) -> Self {
        Self { log: Some(log), record }
    }

    /// Writes the decision. If that fails, an allowed login is denied.
    pub(crate) fn close(mut self, decided: Result<Permit, Failure>) -> Result<Permit, Failure> {
        (self.record.outcome, self.record.class, self.record.reason) = match &decided {
            Ok(permit) => (AuditOutcome::Allowed, None, permit.to_string()),
            Err(failure) => (failure.class.outcome(), Some(failure.class), failure.detail.clone()),
        };
        let written = self.log.take().map_or(Ok(()), |log| log.write(&self.record));
        written.map_err(|error| {
            Failure::new(Class::Internal, format!("cannot write the access log: {error}"))
        })?;
        decided
    }
}

impl Drop for PendingRecord<'_> {
    fn drop(&mut self) {
        let Some(log) = self.log.take() else { return };
        if let Err(error) = log.write(&self.record) {
            tracing::error!(%error, user = %self.record.user, "abandoned decision not logged");
        }
    }
}

/// Writer of whole lines.
#[derive(Debug)]
struct Lines<W> {
    out: W,
    /// True if the last line was written in part, without its line feed.
    torn: bool,
}

impl<W: Write> Lines<W> {
    const fn new(out: W) -> Self {
        Self { out, torn: false }
    }

    /// Appends `line`, which contains no line feed, in one write; terminates a torn line before it.
    fn add(&mut self, line: &str) -> io::Result<()> {
        let line = format!("{}{line}\n", if self.torn { "\n" } else { "" });
        let written = loop {
            match self.out.write(line.as_bytes()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => break written?,
            }
        };
        // The rest of a torn line is not written: another process may have written since.
        if let Some(last) = line.as_bytes().get(..written).and_then(<[u8]>::last) {
            self.torn = *last != b'\n';
        }
        if written == line.len() {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::WriteZero, "the line was written in part only"))
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut file =
        OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
    if let Some(end) = file.metadata()?.len().checked_sub(1) {
        let mut last = [0];
        file.read_exact_at(&mut last, end)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

fn with_path(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot use the access log {}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
