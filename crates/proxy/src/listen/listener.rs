//! Listening sockets of clients.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use countersign_connect::transport::Socket;
use tokio::net::{TcpListener, UnixListener};

use crate::settings::Listen;

/// A listening socket.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

/// An accepted connection.
pub(super) struct Accepted {
    pub(super) socket: Socket,
    /// Address or process of the client.
    pub(super) peer: String,
    /// Uid of the client, if it uses a Unix socket.
    pub(super) uid: Option<u32>,
}

impl Listener {
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok(Accepted { socket: Socket::Tcp(stream), peer: address.to_string(), uid: None })
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let peer = stream.peer_cred()?;
                let process = peer
                    .pid()
                    .map_or_else(|| "a process".to_owned(), |pid| format!("process {pid}"));
                Ok(Accepted {
                    socket: Socket::Unix(stream),
                    peer: format!("{process} of user {}", peer.uid()),
                    uid: Some(peer.uid()),
                })
            }
        }
    }

    /// Returns true unless only processes of this machine can connect.
    pub(super) fn is_exposed(&self) -> bool {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().map_or(true, |address| !address.ip().is_loopback())
            }
            Self::Unix(..) => false,
        }
    }

    /// Returns the bound address, with the chosen port.
    pub(crate) fn local_addr(&self) -> io::Result<Listen> {
        Ok(match self {
            Self::Tcp(listener) => Listen::Tcp(listener.local_addr()?),
            Self::Unix(_, path) => Listen::Unix(path.clone()),
        })
    }

    /// Removes the path of a Unix socket.
    pub(crate) fn unlink(&self) {
        if let Self::Unix(_, path) = self
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove the socket");
        }
    }

    /// Duplicates the descriptor, for a handover.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(listener) => listener.as_fd().try_clone_to_owned(),
            Self::Unix(listener, _) => listener.as_fd().try_clone_to_owned(),
        }
    }
}
