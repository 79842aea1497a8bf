//! The private socket: where it is bound, and that nobody else can be there.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

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
    let listen = || {
        let listener = countersign_unix_socket::bind(path, 0o600, None)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map_err(|error: io::Error| refuse(error.to_string()))
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

#[cfg(test)]
mod tests;
