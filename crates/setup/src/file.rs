//! Files as a server reads them: there whole, or not at all.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::SetupError;
use crate::error::at;

/// A file's content and mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) content: Vec<u8>,
    pub(crate) mode: u32,
}

/// What lies at `path`; nothing where nothing does.
pub(crate) fn read(path: &Path) -> Result<Option<Found>, SetupError> {
    let read = || -> io::Result<Found> {
        Ok(Found {
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

/// Puts a file in its place by rename: a server may have the old one mapped, or be about to read it.
pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), SetupError> {
    let fresh = path.with_extension("new");
    let write = || {
        // One that a killed run left. Made new, so that no link which someone laid there is followed.
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

/// Takes a file away, where there is one.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
