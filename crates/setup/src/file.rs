//! Files that servers read, written atomically.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::error::{SetupError, at};

/// Content and mode of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileContent {
    pub(crate) content: Vec<u8>,
    pub(crate) mode: u32,
}

/// Reads the file at `path`; `None` if it does not exist.
pub(crate) fn read(path: &Path) -> Result<Option<FileContent>, SetupError> {
    let read = || -> io::Result<FileContent> {
        Ok(FileContent {
            mode: fs::metadata(path)?.permissions().mode() & 0o7777,
            content: fs::read(path)?,
        })
    };
    match read() {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

/// Writes a file by rename: a server may have the old file mapped, or read it at any time.
pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), SetupError> {
    let fresh = path.with_extension("new");
    let write = || {
        // Removes the file of a killed run. `create_new` does not follow a symbolic link there.
        remove(&fresh)?;
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&fresh)?;
        file.write_all(content)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().map_err(|error| {
        // The first error is the one to report.
        let _left = remove(&fresh);
        at(path)(error)
    })
}

/// Removes a file if it exists.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
