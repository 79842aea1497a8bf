//! Listening sockets of operators.

use std::io;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::handover::AcceptGate;

/// Pause after a failed accept. It fails for lack of descriptors, which other connections are
/// about to release.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(20);

/// Listening socket of operators.
#[derive(Debug)]
pub enum Listener {
    /// A TCP socket.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

/// Connection of an operator.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    /// Returns true if only processes of this machine can connect.
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

    /// Returns the next connection; `None` after `gate` was closed.
    pub(super) async fn accept(&self, gate: &AcceptGate) -> Option<Stream> {
        loop {
            match gate.accept(|| self.accept_once()).await? {
                Ok(stream) => return Some(stream),
                Err(error) => {
                    tracing::warn!(%error, "admin accept failed");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    async fn accept_once(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| Stream::Tcp(stream)),
            Self::Unix(listener) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
        }
    }
}

/// Returns true if the first message on `stream` begins with `word`, without consuming it. A
/// word sent in several pieces is not recognized.
pub(super) async fn starts_with(stream: &UnixStream, word: &[u8]) -> io::Result<bool> {
    let mut first = vec![0; word.len()];
    let peek = || Ok(recv(stream, first.as_mut_slice(), RecvFlags::PEEK)?.1);
    let count = stream.async_io(Interest::READABLE, peek).await?;
    Ok(first.get(..count) == Some(word))
}
