//! The server's process, identified by the lock on its log, however the stack that started it
//! ended.
//!
//! MariaDB and MySQL have no `pg_ctl`. The server inherits its log as standard output, locked. The
//! lock lasts exactly as long as the process, so no pid is stored, and no stale pid can name
//! another process. The same holds for the program that initializes the data directory.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal};

use crate::LocalError;
use crate::error::at;
use crate::program::send;

/// Starts the server in its own process group: Ctrl-C reaches only the stack, which stops it in
/// order.
pub(super) fn spawn(mut server: Command, log: File) -> std::io::Result<Child> {
    let copy = log.try_clone()?;
    server.process_group(0).stdin(Stdio::null()).stdout(log).stderr(copy).spawn()
}

/// Returns true if a server holds the lock on its log.
pub(super) fn is_held(log: &Path) -> bool {
    File::open(log).is_ok_and(|file| {
        flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
    })
}

/// Locks the log for a process that is about to inherit it.
pub(super) fn lock(log: &File, path: &Path) -> Result<(), LocalError> {
    flock(log, FlockOperation::LockExclusive).map_err(|error| at(path)(error.into()))
}

/// Sends `signal` to the server, if one runs, and waits until it ends.
pub(super) fn end(log: &Path, signal: Signal, timeout: Duration) -> Result<(), LocalError> {
    let deadline = Instant::now() + timeout;
    let mut signaled: Option<Pid> = None;
    while is_held(log) {
        let holder = holder(log);
        if holder.is_some() && holder != signaled {
            signaled = holder.filter(|pid| send(*pid, signal, || self::holder(log) == Some(*pid)));
        }
        if Instant::now() > deadline {
            let holder = holder
                .map_or_else(|| "an unknown process".to_owned(), |pid| format!("process {pid}"));
            return Err(LocalError::TimedOut(format!(
                "cannot stop the server of {}: {holder} still runs after {} s; stop it by hand",
                log.display(),
                timeout.as_secs()
            )));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Returns the process whose standard output is the log, compared by device and inode.
fn holder(log: &Path) -> Option<Pid> {
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let log = fs::metadata(log).ok()?;
    let same = |output: fs::Metadata| (output.dev(), output.ino()) == (log.dev(), log.ino());
    let holds = |number: &i32| fs::metadata(format!("/proc/{number}/fd/1")).is_ok_and(same);
    numbers.find(holds).and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests;
