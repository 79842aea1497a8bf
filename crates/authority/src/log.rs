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
mod tests {
    //! Lines that a crash or a full disk cut short.

    use std::fs;
    use std::io::{self, Write};
    use std::time::SystemTime;

    use countersign_core::failure::{AuditOutcome, Class};
    use countersign_core::name::Engine;
    use tempfile::TempDir;

    use super::{AccessLog, AuditRecord, DECISIONS, Lines, RDS_ERRORS};

    fn denial() -> AuditRecord {
        let mut record = AuditRecord::pending(
            SystemTime::UNIX_EPOCH,
            Engine::Postgres,
            "orders".parse().unwrap(),
            "jane".parse().unwrap(),
        );
        (record.outcome, record.class) = (AuditOutcome::Denied, Some(Class::Expired));
        record
    }

    /// Returns the last lines of both files after a denial, if the files contain `left` before.
    fn after(left: &str) -> [Vec<String>; 2] {
        let directory = TempDir::new().unwrap();
        for file in [DECISIONS, RDS_ERRORS] {
            fs::write(directory.path().join(file), left).unwrap();
        }
        AccessLog::open(directory.path()).unwrap().write(&denial()).unwrap();
        [DECISIONS, RDS_ERRORS].map(|file| {
            fs::read_to_string(directory.path().join(file))
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect()
        })
    }

    #[test]
    fn a_torn_line_does_not_affect_the_next() {
        let [decisions, errors] = after("");
        for left in ["{\"version\":1,\"ti", "{\"version\":1,\"ti\n"] {
            let half = left.trim_end().to_owned();
            assert_eq!(
                after(left),
                [vec![half.clone(), decisions[0].clone()], vec![half, errors[0].clone()]]
            );
        }
        assert_eq!(serde_json::from_str::<AuditRecord>(&decisions[0]).unwrap(), denial());
    }

    /// A disk with room for a number of bytes.
    struct Disk {
        room: usize,
        written: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room);
            self.room -= taken;
            self.written.extend_from_slice(&bytes[..taken]);
            if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_cut_short_by_a_full_disk_is_an_error_and_does_not_affect_the_next() {
        for (room, written) in
            [(4, "one\ntwo\nthree\n"), (5, "one\nt\ntwo\nthree\n"), (7, "one\ntwo\ntwo\nthree\n")]
        {
            let mut lines = Lines::new(Disk { room, written: Vec::new() });
            lines.add("one").unwrap();
            lines.add("two").unwrap_err();
            lines.add("two").unwrap_err();
            lines.out.room = 1000;
            lines.add("two").unwrap();
            lines.add("three").unwrap();
            assert_eq!(String::from_utf8(lines.out.written).unwrap(), written);
        }
    }

    #[test]
    fn each_instance_has_its_own_denials_until_they_are_removed() {
        let directory = TempDir::new().unwrap();
        let log = AccessLog::open(directory.path()).unwrap();
        let (orders, unknown) = ("orders".parse().unwrap(), denial());
        log.write(&unknown).unwrap();
        assert_eq!(log.denials(&orders).unwrap(), None, "an unknown instance has no file");
        let mut known = denial();
        known.resource =
            Some("arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/jane".parse().unwrap());
        log.write(&known).unwrap();
        let text = String::from_utf8(log.read_denials(&orders, 0, 1000).unwrap()).unwrap();
        assert!(
            text.contains("user jane because the token age") && text.lines().count() == 1,
            "{text}"
        );
        assert_eq!(log.read_denials(&orders, 5, 3).unwrap().len(), 3);
        log.remove_denials(&orders).unwrap();
        log.remove_denials(&orders).unwrap();
        assert_eq!(log.denials(&orders).unwrap(), None);
    }
}
