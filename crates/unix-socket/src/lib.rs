//! Unix listening sockets: bound with their final mode, replacing nothing but a stale socket.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! let directory = tempfile::tempdir()?;
//! let path = directory.path().join("service.sock");
//! let listener = countersign_unix_socket::bind(&path, 0o600, None)?;
//! let second = countersign_unix_socket::bind(&path, 0o600, None).unwrap_err();
//! assert_eq!(second.kind(), std::io::ErrorKind::AddrInUse);
//!
//! // A socket without a listener is stale. It is replaced.
//! drop(listener);
//! let _listener = countersign_unix_socket::bind(&path, 0o600, None)?;
//! countersign_unix_socket::remove(&path)?;
//! # Ok(())
//! # }
//! ```

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Maximum number of clients that wait to be accepted; `net.core.somaxconn` may lower it.
const BACKLOG: i32 = 4096;

/// Maximum number of leftover directories of killed processes that are passed over.
const MAX_LEFTOVERS: u32 = 64;

/// Binds a listening socket at `path`, with `mode` and, if given, `group`.
///
/// The socket is bound in a private directory beside `path`, and renamed to `path` when its mode is
/// set: it is at no time open to more users than `mode` allows. The listener is blocking.
///
/// # Errors
/// - `AddrInUse` if a process listens at `path`.
/// - `AlreadyExists` if the file at `path` is not a socket. Symbolic links are not followed, so a
///   link is not a socket.
/// - Any error of the operating system: a missing directory, a path of more than 107 bytes, missing
///   permissions.
pub fn bind(path: &Path, mode: u32, group: Option<u32>) -> io::Result<UnixListener> {
    check_replaceable(path, &SocketAddrUnix::new(path)?)?;
    let staging = StagingDir::beside(path)?;
    let staged = staging.0.join("s");
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(&staged)?)?;
    if group.is_some() {
        chown(&staged, None, group)?;
    }
    fs::set_permissions(&staged, Permissions::from_mode(mode))?;
    rustix::net::listen(&socket, BACKLOG)?;
    fs::rename(&staged, path)?;
    Ok(socket.into())
}

/// Removes the socket at `path`. A missing file is not an error, and a file that is not a socket is
/// left alone.
///
/// # Errors
/// Any error of the operating system.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => fs::remove_file(path),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Checks that `path` is free, or a socket on which no process listens.
fn check_replaceable(path: &Path, address: &SocketAddrUnix) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(file) if !file.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the file there is not a socket; remove it or choose another path",
            ));
        }
        Ok(_) => {}
    }
    // Not blocking: a listener whose queue is full would suspend a blocking connect.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&probe, address) {
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(()),
        Ok(()) | Err(Errno::AGAIN) => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens there"))
        }
        Err(error) => Err(error.into()),
    }
}

/// A directory that only this user can enter; removed on drop.
struct StagingDir(PathBuf);

impl StagingDir {
    fn beside(path: &Path) -> io::Result<Self> {
        // Short names: the path of a socket has at most 107 bytes (unix(7)).
        for number in 0..MAX_LEFTOVERS {
            let directory = path.with_file_name(format!(".{}.{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&directory) {
                Ok(()) => return Ok(Self(directory)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for StagingDir {
    fn drop(&mut self) {
        // Best effort: the error that the caller needs is an earlier one.
        let _removed = fs::remove_file(self.0.join("s"));
        let _removed = fs::remove_dir(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o777
    }

    fn entries(directory: &Path) -> usize {
        fs::read_dir(directory).unwrap().count()
    }

    #[test]
    fn a_socket_has_its_mode_and_group_and_accepts_connections() {
        let directory = tempfile::tempdir().unwrap();
        let group = rustix::process::getgid().as_raw();
        for (wanted, group) in [(0o600, None), (0o660, Some(group)), (0o666, None)] {
            let path = directory.path().join(format!("{wanted:o}"));
            let _listener = bind(&path, wanted, group).unwrap();
            assert_eq!(mode(&path), wanted);
            UnixStream::connect(&path).unwrap();
        }
        assert_eq!(entries(directory.path()), 3, "no staging directory is left");
    }

    #[test]
    fn a_socket_with_a_listener_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let listener = bind(&path, 0o600, None).unwrap();
        assert_eq!(bind(&path, 0o600, None).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        UnixStream::connect(&path).unwrap();
        drop(listener);
        bind(&path, 0o600, None).unwrap();
        assert_eq!(entries(directory.path()), 1);
    }

    #[test]
    fn a_listener_with_a_full_queue_is_kept_and_does_not_block() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let flags = SocketFlags::CLOEXEC;
        let open = |flags| {
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap()
        };
        let address = SocketAddrUnix::new(&path).unwrap();
        let busy = open(flags);
        rustix::net::bind(&busy, &address).unwrap();
        rustix::net::listen(&busy, 0).unwrap();
        let mut queued = Vec::new();
        loop {
            let client = open(flags | SocketFlags::NONBLOCK);
            if rustix::net::connect(&client, &address).is_err() {
                break;
            }
            queued.push(client);
        }
        assert_eq!(bind(&path, 0o600, None).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn files_directories_and_symbolic_links_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let stale = directory.path().join("stale");
        drop(bind(&stale, 0o600, None).unwrap());
        let file = directory.path().join("file");
        fs::write(&file, "kept").unwrap();
        let link = directory.path().join("link");
        symlink(&stale, &link).unwrap();
        let dangling = directory.path().join("dangling");
        symlink(directory.path().join("elsewhere"), &dangling).unwrap();
        let inner = directory.path().join("directory");
        fs::create_dir(&inner).unwrap();
        for path in [&file, &link, &dangling, &inner] {
            let error = bind(path, 0o600, None).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
            remove(path).unwrap();
            assert!(fs::symlink_metadata(path).is_ok(), "{}", path.display());
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
        assert!(!directory.path().join("elsewhere").exists());
    }

    #[test]
    fn the_directory_of_a_killed_process_with_this_id_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let leftover = directory.path().join(format!(".{}.0", std::process::id()));
        fs::create_dir(leftover).unwrap();
        bind(&directory.path().join("s"), 0o600, None).unwrap();
        assert_eq!(entries(directory.path()), 2);
    }

    #[test]
    fn a_removed_socket_can_be_removed_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let _listener = bind(&path, 0o600, None).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
        remove(&path).unwrap();
    }

    #[test]
    fn an_error_leaves_no_staging_directory() {
        let directory = tempfile::tempdir().unwrap();
        let long = directory.path().join("x".repeat(120));
        assert!(bind(&long, 0o600, None).is_err(), "clients could not connect to it");
        // The group of root: a user who is not a member cannot give a file to it.
        let _listener = bind(&directory.path().join("s"), 0o600, Some(0));
        let left = fs::read_dir(directory.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
        assert_eq!(left.count(), 0);
    }
}
