//! The access log: every decision as a line of JSON, and every denial in the words of RDS's `iam-db-auth-error` log.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use countersign_core::audit::AuditRecord;
use countersign_core::name::InstanceId;

/// The file with a line of JSON for each decision, in the log's directory.
pub const DECISIONS: &str = "decisions.jsonl";

/// The file with RDS's messages, in the log's directory.
pub const RDS_ERRORS: &str = "iam-db-auth-error.log";

/// The directory with the same messages once more, in a file for each instance, in the log's directory.
const OF_INSTANCES: &str = "iam-db-auth-error";

/// Both files, open for appending. Each line is one write, so that lines of several processes don't mix.
#[derive(Debug)]
pub struct AccessLog {
    decisions: Mutex<Lines<File>>,
    rds_errors: Mutex<Lines<File>>,
    of_instances: PathBuf,
}

impl AccessLog {
    /// Opens the log in `directory`, which is made, private to its owner, where it does not exist. A line that a crash
    /// has torn is ended, so that the next one stands by itself.
    ///
    /// # Errors
    /// The system's, with the file that it is about.
    pub fn open(directory: &Path) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| named(directory, &error))?;
        let open = |file: &str| {
            let path = directory.join(file);
            open(&path)
                .map(|file| Mutex::new(Lines::new(file)))
                .map_err(|error| named(&path, &error))
        };
        let of_instances = directory.join(OF_INSTANCES);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&of_instances)
            .map_err(|error| named(&of_instances, &error))?;
        Ok(Self { decisions: open(DECISIONS)?, rds_errors: open(RDS_ERRORS)?, of_instances })
    }

    /// Writes one decision. A login is let in only once this has succeeded.
    ///
    /// # Errors
    /// The system's: a full disk, say.
    pub fn write(&self, record: &AuditRecord) -> io::Result<()> {
        let lock = |lines| Mutex::lock(lines).unwrap_or_else(PoisonError::into_inner);
        lock(&self.decisions).add(&serde_json::to_string(record)?)?;
        match record.rds_line() {
            Some(message) => {
                let line = format!("{} {message}", record.time);
                lock(&self.rds_errors).add(&line)?;
                // Anybody can ask about instances that there are not: those get no file.
                if record.resource.is_some() {
                    Lines::new(open(&self.of(&record.instance))?).add(&line)
                } else {
                    Ok(())
                }
            }
            None => Ok(()),
        }
    }

    fn of(&self, instance: &InstanceId) -> PathBuf {
        self.of_instances.join(format!("{instance}.log"))
    }

    /// The length of an instance's denials in RDS's words, in bytes, and when the last came; none where there was none.
    ///
    /// # Errors
    /// The system's.
    pub fn denials(&self, instance: &InstanceId) -> io::Result<Option<(u64, SystemTime)>> {
        match fs::metadata(self.of(instance)) {
            Ok(found) => Ok(Some((found.len(), found.modified()?))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// At most `max` bytes of them from `offset` on.
    ///
    /// # Errors
    /// The system's.
    pub fn read_denials(
        &self,
        instance: &InstanceId,
        offset: u64,
        max: u64,
    ) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.of(instance))?;
        file.seek(SeekFrom::Start(offset))?;
        let mut read = Vec::new();
        file.take(max).read_to_end(&mut read)?;
        Ok(read)
    }

    /// Takes them away, for an instance that has gone.
    ///
    /// # Errors
    /// The system's.
    pub fn remove_denials(&self, instance: &InstanceId) -> io::Result<()> {
        match fs::remove_file(self.of(instance)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whole lines, one after the other.
#[derive(Debug)]
struct Lines<W> {
    out: W,
    /// Whether the last line has no end: a part of it alone could be written.
    torn: bool,
}

impl<W: Write> Lines<W> {
    const fn new(out: W) -> Self {
        Self { out, torn: false }
    }

    /// Adds `line`, which has no line feed in it, in one write, and before it the end of one that is torn.
    fn add(&mut self, line: &str) -> io::Result<()> {
        let line = format!("{}{line}\n", if self.torn { "\n" } else { "" });
        let written = loop {
            match self.out.write(line.as_bytes()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => break written?,
            }
        };
        // The rest of a line would come too late: another process may have written since.
        if let Some(last) = line.as_bytes().get(..written).and_then(<[u8]>::last) {
            self.torn = *last != b'\n';
        }
        if written == line.len() {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::WriteZero, "a part of a line alone could be written"))
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

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the access log {}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
