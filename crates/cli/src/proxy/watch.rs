//! Files whose change is to be noticed: their stamps are compared each second. Kubernetes replaces a whole directory by a
//! symbolic link, which inotify on the file would miss.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// What changes when a file does: none where it is not there.
type Stamp = Option<(u64, u64, i64, i64)>;

/// The files, and how they were when they were last read.
#[derive(Debug)]
pub(super) struct Watch {
    files: Vec<PathBuf>,
    read: Vec<Stamp>,
    /// How they were at the last look: who is writing still will have changed them by the next.
    seen: Vec<Stamp>,
}

impl Watch {
    /// The files as they are now.
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        let now = stamps(&files);
        Self { files, read: now.clone(), seen: now }
    }

    /// Whether there is something new to read: a change that has been there for two looks.
    pub(super) fn has_changed(&mut self) -> bool {
        let now = stamps(&self.files);
        let settled = now == self.seen;
        self.seen = now;
        let changed = settled && self.seen != self.read;
        if changed {
            self.read = self.seen.clone();
        }
        changed
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        fs::metadata(file)
            .ok()
            .map(|data| (data.ino(), data.size(), data.mtime(), data.mtime_nsec()))
    };
    files.iter().map(stamp).collect()
}

#[cfg(test)]
mod tests;
