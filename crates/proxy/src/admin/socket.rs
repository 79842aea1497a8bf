//! Binding of the private socket in a directory that only its user can write to.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use countersign_core::failure::{Class, Failure};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};

/// Mode bits that allow others to write. In such a directory they could replace the socket.
const OTHERS_WRITE: u32 = 0o022;

/// Binds the socket at `path` for its user alone. Creates its directory, which only the user may
/// write to. Replaces a stale socket, and nothing else; follows no symbolic links.
///
/// # Errors
/// [`Class::Configuration`] if the directory or the file at `path` is unsuitable, if another proxy
/// listens there, and for errors of the operating system.
pub fn bind(path: &Path) -> Result<UnixListener, Failure> {
    let failure = |cause: String| {
        let detail = format!("cannot bind the private socket {}: {cause}", path.display());
        Failure::new(Class::Configuration, detail)
    };
    let directory = open_directory(path).map_err(|error| failure(error.to_string()))?;
    // Of two proxies that start at the same time, the second one sees the socket of the first.
    flock(&directory, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| failure("another proxy is starting there".to_owned()))?;
    let bind = || {
        let listener = countersign_unix_socket::bind(path, 0o600, None)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    bind().map_err(|error: io::Error| failure(error.to_string()))
}

/// Opens the directory, so that the checked one is the locked one.
fn open_directory(path: &Path) -> io::Result<File> {
    let parent =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = File::from(open(parent, flags, Mode::empty())?);
    let metadata = directory.metadata()?;
    let refuse = |cause: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, cause));
    if metadata.uid() != rustix::process::getuid().as_raw() {
        return refuse(format!("{} belongs to user {}", parent.display(), metadata.uid()));
    }
    if metadata.mode() & OTHERS_WRITE != 0 {
        return refuse(format!("others may write to {}; chmod it to 700", parent.display()));
    }
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("a file").permissions().mode() & 0o777
    }

    #[test]
    fn the_socket_and_its_new_directory_are_private() {
        let base = tempfile::tempdir().expect("a directory");
        let path = base.path().join("countersign/proxy.sock");
        let _listener = bind(&path).expect("a socket");
        assert_eq!((mode(&path), mode(&base.path().join("countersign"))), (0o600, 0o700));
        UnixStream::connect(&path).expect("a connection");
    }

    #[test]
    fn only_stale_sockets_are_replaced() {
        let base = tempfile::tempdir().expect("a directory");
        let path = base.path().join("proxy.sock");
        let first = bind(&path).expect("a socket");
        assert!(bind(&path).expect_err("in use").detail.contains("another process listens"));
        UnixStream::connect(&path).expect("the first one");
        drop(first);
        bind(&path).expect("the stale one is replaced");

        let file = base.path().join("file");
        fs::write(&file, "kept").expect("a file");
        assert!(bind(&file).expect_err("a file").detail.contains("not a socket"));
        assert_eq!(fs::read_to_string(&file).expect("the file"), "kept");
    }

    #[test]
    fn no_symbolic_link_is_followed() {
        let base = tempfile::tempdir().expect("a directory");
        let other = base.path().join("other");
        DirBuilder::new().mode(0o700).create(&other).expect("a directory");
        symlink(&other, base.path().join("link")).expect("a link");
        bind(&base.path().join("link/proxy.sock")).expect_err("the directory is a link");
        symlink(other.join("proxy.sock"), base.path().join("proxy.sock")).expect("a link");
        let failure = bind(&base.path().join("proxy.sock")).expect_err("a link");
        assert!(failure.detail.contains("not a socket"), "{failure}");
        assert_eq!(fs::read_dir(&other).expect("a directory").count(), 0);
    }

    #[test]
    fn directories_that_others_can_write_to_are_refused() {
        let base = tempfile::tempdir().expect("a directory");
        let open = base.path().join("open");
        fs::create_dir(&open).expect("a directory");
        fs::set_permissions(&open, Permissions::from_mode(0o777)).expect("its mode");
        let failure = bind(&open.join("proxy.sock")).expect_err("others may write");
        assert!(failure.detail.contains("others may write"), "{failure}");
    }
}
