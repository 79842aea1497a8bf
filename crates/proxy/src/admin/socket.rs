//! The private socket: where it is bound, and that nobody else can be there.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use countersign_core::failure::{Class, Failure};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};

/// Who may write in a directory beside its owner: with one of these bits, others could put their socket in the place of ours.
const OTHERS_WRITE: u32 = 0o022;

/// Binds the socket at `path`, for our own user alone. Its directory is made where it is missing, and must be ours alone to write
/// in. A socket on which nobody listens any more is replaced; nothing else is, and no symbolic link is followed there.
///
/// # Errors
/// [`Class::Configuration`] where the directory or what is at `path` is not as it must be, where another proxy listens there, and
/// for what the system says.
pub fn bind(path: &Path) -> Result<UnixListener, Failure> {
    let refuse = |why: String| {
        Failure::new(Class::Configuration, format!("the private socket {}: {why}", path.display()))
    };
    let directory = directory(path).map_err(|error| refuse(error.to_string()))?;
    // Of two proxies that start at once, one has to see the other's socket.
    flock(&directory, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| refuse("another proxy is starting there".to_owned()))?;
    vacate(path).map_err(|error| refuse(error.to_string()))?;
    place(path).map_err(|error| refuse(error.to_string()))
}

/// Takes the socket away as its proxy ends. One that handed it over leaves it.
///
/// # Errors
/// The system's.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// The directory, open: what was looked at is what is locked.
fn directory(path: &Path) -> io::Result<File> {
    let parent =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = File::from(open(parent, flags, Mode::empty())?);
    let found = directory.metadata()?;
    let refuse = |why: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    if found.uid() != rustix::process::getuid().as_raw() {
        return refuse(format!("{} belongs to user {}", parent.display(), found.uid()));
    }
    if found.mode() & OTHERS_WRITE != 0 {
        return refuse(format!("others may write in {}; chmod it to 700", parent.display()));
    }
    Ok(directory)
}

/// Makes sure that nobody listens there, and that it is no more than a socket.
fn vacate(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is something that is no socket",
        ));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another proxy listens there")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
    }
}

/// Made under another name, so that it is never open to more than it should be, and takes the place of a stale one at once.
fn place(path: &Path) -> io::Result<UnixListener> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    // A proxy that was killed in between has left it. The directory is ours, so nobody else has.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&fresh)?;
    fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
    fs::rename(&fresh, path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests;
