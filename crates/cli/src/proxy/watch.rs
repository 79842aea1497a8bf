//! Detection of changed files by polling.
//!
//! Kubernetes replaces the directory of a mounted file by changing a symbolic link, which inotify
//! on the file would miss.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Inode, size and modification time of a file; none if it does not exist.
type FileFingerprint = Option<(u64, u64, i64, i64)>;

/// Watched files with their fingerprints.
#[derive(Debug)]
pub(super) struct FileWatcher {
    files: Vec<PathBuf>,
    /// Fingerprints of the reported contents.
    reported: Vec<FileFingerprint>,
    /// Fingerprints of the last poll, to detect a file that is still being written.
    polled: Vec<FileFingerprint>,
}

impl FileWatcher {
    pub(super) fn new(files: Vec<PathBuf>) -> Self {
        let now = fingerprints(&files);
        Self { files, reported: now.clone(), polled: now }
    }

    /// Polls the files. Returns true if they changed and are the same as at the previous poll.
    pub(super) fn has_changed(&mut self) -> bool {
        let now = fingerprints(&self.files);
        let settled = now == self.polled;
        self.polled = now;
        let changed = settled && self.polled != self.reported;
        if changed {
            self.reported = self.polled.clone();
        }
        changed
    }
}

fn fingerprints(files: &[PathBuf]) -> Vec<FileFingerprint> {
    let fingerprint = |file: &PathBuf| {
        fs::metadata(file)
            .ok()
            .map(|data| (data.ino(), data.size(), data.mtime(), data.mtime_nsec()))
    };
    files.iter().map(fingerprint).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::FileWatcher;

    #[test]
    fn reports_a_change_once_it_has_settled() {
        let directory = tempfile::tempdir().unwrap();
        let (file, other) = (directory.path().join("a"), directory.path().join("b"));
        fs::write(&file, "1").unwrap();
        let mut watcher = FileWatcher::new(vec![file.clone(), other.clone()]);
        assert!(!watcher.has_changed());
        fs::write(&file, "12").unwrap();
        assert!(!watcher.has_changed());
        fs::write(&file, "123").unwrap();
        assert!(!watcher.has_changed());
        assert!(watcher.has_changed());
        assert!(!watcher.has_changed());
        fs::write(&other, "").unwrap();
        assert!(!watcher.has_changed());
        assert!(watcher.has_changed());
    }

    #[test]
    fn reports_a_symbolic_link_with_a_new_target() {
        let directory = tempfile::tempdir().unwrap();
        let [old, new, link] = ["old", "new", "link"].map(|name| directory.path().join(name));
        [&old, &new].iter().for_each(|file| fs::write(file, "same").unwrap());
        std::os::unix::fs::symlink(&old, &link).unwrap();
        let mut watcher = FileWatcher::new(vec![link.clone()]);
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&new, &link).unwrap();
        assert!(!watcher.has_changed());
        assert!(watcher.has_changed());
    }
}
