//! Listening sockets that somebody else made: systemd, or the proxy that this one takes the place of.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use countersign_core::failure::{Class, Failure};
use rustix::net::{SocketAddrAny, SocketAddrUnix, getsockname, sockopt};

use crate::settings::Listen;

/// A listening socket, and who it is for.
#[derive(Debug)]
pub struct InheritedSocket {
    /// What whoever made it calls it: a target's name.
    pub name: String,
    /// Where its clients connect.
    pub listen: Listen,
    /// The socket itself.
    pub socket: OwnedFd,
}

impl InheritedSocket {
    /// Another descriptor of the same socket.
    ///
    /// # Errors
    /// The system's.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            name: self.name.clone(),
            listen: self.listen.clone(),
            socket: self.socket.try_clone()?,
        })
    }

    /// What was handed over as a listening socket, if it is one.
    ///
    /// # Errors
    /// [`Class::Configuration`] where it is something else.
    pub(crate) fn checked(name: String, listen: Listen, socket: OwnedFd) -> Result<Self, Failure> {
        let unusable = |why: String| {
            Failure::new(
                Class::Configuration,
                format!("the socket {name:?} that was handed over {why}"),
            )
        };
        if !sockopt::socket_acceptconn(&socket)
            .map_err(|error| unusable(format!("is none: {error}")))?
        {
            return Err(unusable("does not listen".to_owned()));
        }
        bound(&socket).map_err(|error| unusable(format!("is of no use: {error}")))?;
        Ok(Self { name, listen, socket })
    }
}

/// Takes the socket of this name out of `sockets`.
pub fn take(sockets: &mut Vec<InheritedSocket>, name: &str) -> Option<InheritedSocket> {
    let place = sockets.iter().position(|socket| socket.name == name)?;
    Some(sockets.swap_remove(place))
}

/// Where the clients of a listening socket connect.
///
/// # Errors
/// The system's; `Unsupported` for what is neither TCP nor a Unix socket with a path.
pub fn bound(socket: impl AsFd) -> io::Result<Listen> {
    let address: SocketAddrAny = getsockname(socket)?;
    if let Ok(address) = SocketAddr::try_from(address.clone()) {
        return Ok(Listen::Tcp(address));
    }
    let other = || {
        io::Error::new(
            io::ErrorKind::Unsupported,
            "it is neither TCP nor a Unix socket with a path",
        )
    };
    let unix = SocketAddrUnix::try_from(address)?;
    let path = unix.path_bytes().ok_or_else(other)?;
    Ok(Listen::Unix(PathBuf::from(OsString::from_vec(path.to_vec()))))
}

#[cfg(test)]
mod tests;
