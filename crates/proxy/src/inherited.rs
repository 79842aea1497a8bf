//! Listening sockets made by another process: systemd, or the proxy that this one replaces.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use countersign_core::failure::{Class, Failure};
use rustix::net::{SocketAddrAny, SocketAddrUnix, getsockname, sockopt};

use crate::settings::Listen;

/// An inherited listening socket.
#[derive(Debug)]
pub struct InheritedSocket {
    /// Name given by the other process: that of a target.
    pub name: String,
    /// Address of the listener in the settings.
    pub listen: Listen,
    /// Descriptor of the socket.
    pub socket: OwnedFd,
}

impl InheritedSocket {
    /// Duplicates the descriptor.
    ///
    /// # Errors
    /// The operating system's.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            name: self.name.clone(),
            listen: self.listen.clone(),
            socket: self.socket.try_clone()?,
        })
    }

    /// Checks that `socket` is a listening TCP or Unix socket.
    ///
    /// # Errors
    /// [`Class::Configuration`] if it is something else.
    pub(crate) fn checked(name: String, listen: Listen, socket: OwnedFd) -> Result<Self, Failure> {
        let unusable = |cause: String| {
            let detail = format!("cannot use the inherited socket {name:?}: {cause}");
            Failure::new(Class::Configuration, detail)
        };
        match sockopt::socket_acceptconn(&socket) {
            Ok(true) => {}
            Ok(false) => return Err(unusable("it does not listen".to_owned())),
            Err(error) => return Err(unusable(error.to_string())),
        }
        bound(&socket).map_err(|error| unusable(error.to_string()))?;
        Ok(Self { name, listen, socket })
    }
}

/// Takes the socket of this name out of `sockets`.
pub fn take(sockets: &mut Vec<InheritedSocket>, name: &str) -> Option<InheritedSocket> {
    let index = sockets.iter().position(|socket| socket.name == name)?;
    Some(sockets.swap_remove(index))
}

/// Returns the address that a listening socket is bound to.
///
/// # Errors
/// The operating system's; `Unsupported` unless it is TCP, or a Unix socket with a path.
pub(crate) fn bound(socket: impl AsFd) -> io::Result<Listen> {
    let address: SocketAddrAny = getsockname(socket)?;
    if let Ok(address) = SocketAddr::try_from(address.clone()) {
        return Ok(Listen::Tcp(address));
    }
    let unsupported = || {
        let detail = "it is neither a TCP socket nor a Unix socket with a path";
        io::Error::new(io::ErrorKind::Unsupported, detail)
    };
    let unix = SocketAddrUnix::try_from(address)?;
    let path = unix.path_bytes().ok_or_else(unsupported)?;
    Ok(Listen::Unix(PathBuf::from(OsString::from_vec(path.to_vec()))))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    fn checked(socket: impl Into<OwnedFd>) -> Result<InheritedSocket, Failure> {
        let listen = Listen::Activated("orders".to_owned());
        InheritedSocket::checked("orders".to_owned(), listen, socket.into())
    }

    #[test]
    fn only_listening_sockets_are_accepted() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        let stream = TcpStream::connect(address).expect("a connection");
        let failure = checked(stream).expect_err("a connection");
        assert!(failure.detail.contains("it does not listen"), "{failure}");
        let (one, _other) = UnixStream::pair().expect("a pair");
        checked(one).expect_err("a pair");
        let file = tempfile::tempfile().expect("a file");
        let failure = checked(file).expect_err("a file");
        assert!(failure.detail.contains("cannot use the inherited socket"), "{failure}");
        checked(listener).expect("a listener");
    }

    #[test]
    fn the_bound_address_of_a_socket_is_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).expect("a listener");
        assert_eq!(bound(listener).expect("a path"), Listen::Unix(path));
        let listener = TcpListener::bind("[::1]:0").expect("a listener");
        let address = listener.local_addr().expect("an address");
        assert_eq!(bound(&listener).expect("an address"), Listen::Tcp(address));
    }
}
