//! The two kinds of listening sockets, as one.

use std::io;
use std::net;
use std::os::fd::AsFd;
use std::os::unix;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::Routes;
use crate::handover::AcceptGate;
use crate::inherited::{InheritedSocket, bound};
use crate::settings::Listen;

/// How long to wait after a failed accept: it fails for want of descriptors, which others are about to give back.
const BREATH: Duration = Duration::from_millis(20);

/// Where operators connect.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

/// An operator's connection.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    /// The listener that another proxy had. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// The system's.
    pub fn inherited(inherited: InheritedSocket) -> io::Result<Self> {
        // Of what was handed over it is the family that counts.
        match bound(&inherited.socket)? {
            Listen::Tcp(_) => {
                let listener = net::TcpListener::from(inherited.socket);
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Self::Tcp)
            }
            Listen::Unix(_) | Listen::Activated(_) => {
                let listener = unix::net::UnixListener::from(inherited.socket);
                listener.set_nonblocking(true)?;
                UnixListener::from_std(listener).map(Self::Unix)
            }
        }
    }

    /// What the proxy is handed that takes this one's place: a duplicate, under the name that `routes` have.
    ///
    /// # Errors
    /// The system's.
    pub fn duplicate(&self, routes: Routes) -> io::Result<InheritedSocket> {
        let socket = match self {
            Self::Tcp(listener) => listener.as_fd().try_clone_to_owned()?,
            Self::Unix(listener) => listener.as_fd().try_clone_to_owned()?,
        };
        Ok(InheritedSocket {
            name: routes.socket_name().to_owned(),
            listen: bound(&socket)?,
            socket,
        })
    }

    /// Whether only processes of this machine can connect.
    pub(super) fn is_loopback(&self) -> bool {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().is_ok_and(|address| address.ip().is_loopback())
            }
            Self::Unix(_) => true,
        }
    }

    pub(super) const fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }

    /// The next connection; `None` once `door` is closed.
    pub(super) async fn accept(&self, door: &AcceptGate) -> Option<Stream> {
        loop {
            match door.accept(|| self.once()).await? {
                Ok(stream) => return Some(stream),
                Err(error) => {
                    tracing::warn!(%error, "an operator's connection was not accepted");
                    tokio::time::sleep(BREATH).await;
                }
            }
        }
    }

    async fn once(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| Stream::Tcp(stream)),
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
        }
    }
}

/// Whether what comes first on `stream` is `word`, which is left there. A word comes in one piece, or it isn't one.
pub(super) async fn begins_with(stream: &UnixStream, word: &[u8]) -> io::Result<bool> {
    let mut seen = vec![0; word.len()];
    let peek = || Ok(recv(stream, seen.as_mut_slice(), RecvFlags::PEEK)?.1);
    let count = stream.async_io(Interest::READABLE, peek).await?;
    Ok(seen.get(..count) == Some(word))
}
