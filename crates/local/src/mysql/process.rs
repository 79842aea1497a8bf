//! The server's process: found and stopped by the log that it holds, however the stack that started it ended.
//!
//! MariaDB and MySQL have no `pg_ctl`. The server inherits its log as standard output, locked; the lock is there for as long
//! as the server is, no number has to be written down, and none that was can lead to a process that isn't the server. The
//! same holds for what fills its data directory before its first start.

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

/// Starts the server in a process group of its own: a Ctrl-C is for the stack, which stops its servers in order.
pub(super) fn spawn(mut server: Command, log: File) -> std::io::Result<Child> {
    let copy = log.try_clone()?;
    server.process_group(0).stdin(Stdio::null()).stdout(log).stderr(copy).spawn()
}

/// Whether a server holds its log.
pub(super) fn is_held(log: &Path) -> bool {
    File::open(log).is_ok_and(|file| {
        flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
    })
}

/// Locks the log for a process that is about to be started with it.
pub(super) fn lock(log: &File, path: &Path) -> Result<(), LocalError> {
    flock(log, FlockOperation::LockExclusive).map_err(|error| at(path)(error.into()))
}

/// Sends `signal` to the server, if there is one, and waits until it has gone.
pub(super) fn end(log: &Path, signal: Signal, patience: Duration) -> Result<(), LocalError> {
    let deadline = Instant::now() + patience;
    let mut asked: Option<Pid> = None;
    while is_held(log) {
        let holder = holder(log);
        if holder.is_some() && holder != asked {
            asked = holder.filter(|pid| send(*pid, signal, || self::holder(log) == Some(*pid)));
        }
        if Instant::now() > deadline {
            let holder = holder
                .map_or_else(|| "an unknown process".to_owned(), |pid| format!("process {pid}"));
            return Err(LocalError::TimedOut(format!(
                "{holder} runs the server of {} and did not stop in {} s: stop it by hand",
                log.display(),
                patience.as_secs()
            )));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The process whose standard output the log is: that very file, by whatever path it was opened.
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
