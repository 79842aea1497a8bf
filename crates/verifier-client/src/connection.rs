//! Connection to the verifier: a Unix socket, a check of the peer's user, and one deadline for all
//! operations.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use countersign_core::failure::{Class, Failure};
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, recv, send,
    socket_with,
};

/// Deadline of a whole exchange, on the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    at: Instant,
    whole: Duration,
}

impl Deadline {
    pub(crate) fn after(whole: Duration) -> Self {
        Self { at: Instant::now() + whole, whole }
    }

    /// Returns the remaining time. It is never zero, which a socket would interpret as "no limit".
    fn remaining(&self) -> io::Result<Duration> {
        let left = self.at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(io::Error::new(io::ErrorKind::TimedOut, self.passed()))
        } else {
            Ok(left)
        }
    }

    fn passed(&self) -> String {
        format!("{} ms have passed", self.whole.as_millis())
    }
}

/// Users that may run the verifier: root, the user of the server, and a configured one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrustedUsers {
    server_uid: u32,
    configured_uid: Option<u32>,
}

impl TrustedUsers {
    pub(crate) fn new(configured_uid: Option<u32>) -> Self {
        Self { server_uid: rustix::process::geteuid().as_raw(), configured_uid }
    }

    fn includes(&self, uid: u32) -> bool {
        uid == 0 || uid == self.server_uid || self.configured_uid == Some(uid)
    }
}

/// A connection to a trusted verifier. Each call waits only until the deadline, so a peer that
/// sends one byte per second cannot extend it.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: OwnedFd,
    deadline: Deadline,
}

impl Connection {
    /// Connects to `path` and checks that the listening process is trusted before any data is sent.
    pub(crate) fn open(
        path: &Path,
        trusted: TrustedUsers,
        deadline: Deadline,
    ) -> Result<Self, Failure> {
        let shown = path.display();
        let unreachable = |error: io::Error| {
            let class = if timed_out(&error) { Class::TimedOut } else { Class::Unavailable };
            Failure::new(
                class,
                format!("cannot connect to the verifier at {shown}: {}", explained(&error)),
            )
        };
        let connection = Self::connect(path, deadline).map_err(unreachable)?;
        let uid = peer_uid(connection.socket.as_fd()).map_err(unreachable)?;
        if !trusted.includes(uid) {
            let detail = format!(
                "cannot trust the process at {shown}: it runs as user {uid}; run the verifier as \
                 root or as user {}, or set verifier_user",
                trusted.server_uid
            );
            return Err(Failure::new(Class::UntrustedPeer, detail));
        }
        Ok(connection)
    }

    fn connect(path: &Path, deadline: Deadline) -> io::Result<Self> {
        let address = SocketAddrUnix::new(path)?;
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        loop {
            // connect(2) waits while the listener's queue is full, up to the send timeout:
            // socket(7).
            set_socket_timeout(&socket, Timeout::Send, Some(deadline.remaining()?))?;
            match rustix::net::connect(&socket, &address) {
                Ok(()) => return Ok(Self { socket, deadline }),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        set_socket_timeout(&self.socket, Timeout::Recv, Some(self.deadline.remaining()?))?;
        let (length, _) =
            recv(&self.socket, buffer, RecvFlags::empty()).map_err(|error| self.late(error))?;
        Ok(length)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        set_socket_timeout(&self.socket, Timeout::Send, Some(self.deadline.remaining()?))?;
        // A server that does not ignore SIGPIPE must survive a verifier that closes the connection.
        send(&self.socket, bytes, SendFlags::NOSIGNAL).map_err(|error| self.late(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection {
    /// Converts EAGAIN, which a socket returns after its timeout.
    fn late(&self, error: Errno) -> io::Error {
        if error == Errno::AGAIN {
            io::Error::new(io::ErrorKind::TimedOut, self.deadline.passed())
        } else {
            error.into()
        }
    }
}

/// Returns the user of the listening process at the time of its listen(2). (rustix's `UCred` cannot
/// represent the pid 0 of a process in another pid namespace, such as a verifier outside the
/// server's container.)
fn peer_uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(getsockopt(&socket, PeerCredentials)?.uid())
}

fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

/// Describes an error, with the remedy for common ones.
fn explained(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "socket not found; start the verifier".to_owned(),
        io::ErrorKind::ConnectionRefused => {
            "no process listens on the socket; start the verifier".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied; the server's user needs w on the socket and x on its directories"
                .to_owned()
        }
        _ if timed_out(error) => "the verifier did not accept the connection in time".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
