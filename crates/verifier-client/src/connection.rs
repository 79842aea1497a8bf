//! The way to the verifier: a Unix socket, the process behind it, and one deadline for all that passes.

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
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with,
};

/// When all has to be over, by a clock that nobody sets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    at: Instant,
    whole: Duration,
}

impl Deadline {
    pub(crate) fn after(whole: Duration) -> Self {
        Self { at: Instant::now() + whole, whole }
    }

    /// What is left: never zero, which a socket would take for "no limit".
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

/// Who may be the verifier: root, the server's own user, and whom the settings name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trusted {
    own: u32,
    named: Option<u32>,
}

impl Trusted {
    pub(crate) fn new(named: Option<u32>) -> Self {
        Self { own: rustix::process::geteuid().as_raw(), named }
    }

    fn includes(&self, uid: u32) -> bool {
        uid == 0 || uid == self.own || self.named == Some(uid)
    }
}

/// A connection to a trusted verifier. Each call waits for what remains until the deadline, so that one byte a second
/// extends nothing.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: OwnedFd,
    deadline: Deadline,
}

impl Connection {
    /// Connects, and sends nothing before it knows that the process listening at `path` is trusted.
    pub(crate) fn open(path: &Path, trusted: Trusted, deadline: Deadline) -> Result<Self, Failure> {
        let shown = path.display();
        let unreachable = |error: io::Error| {
            let class = if timed_out(&error) { Class::TimedOut } else { Class::Unavailable };
            Failure::new(
                class,
                format!("can't connect to the verifier at {shown}: {}", explained(&error)),
            )
        };
        let connection = Self::dial(path, deadline).map_err(unreachable)?;
        let uid = peer_uid(connection.socket.as_fd()).map_err(unreachable)?;
        if !trusted.includes(uid) {
            let detail = format!(
                "user {uid} listens at {shown}: a verifier has to run as root, as user {} or as verifier_user says",
                trusted.own
            );
            return Err(Failure::new(Class::UntrustedPeer, detail));
        }
        Ok(connection)
    }

    fn dial(path: &Path, deadline: Deadline) -> io::Result<Self> {
        let address = SocketAddrUnix::new(path)?;
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        loop {
            // connect(2) waits while the listener's queue is full, for as long as a send may take: socket(7).
            set_socket_timeout(&socket, Timeout::Send, Some(deadline.remaining()?))?;
            match connect(&socket, &address) {
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
        // A server that does not ignore SIGPIPE must not die of a verifier that hangs up.
        send(&self.socket, bytes, SendFlags::NOSIGNAL).map_err(|error| self.late(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection {
    /// EAGAIN is what a socket says when its time is up.
    fn late(&self, error: Errno) -> io::Error {
        if error == Errno::AGAIN {
            io::Error::new(io::ErrorKind::TimedOut, self.deadline.passed())
        } else {
            error.into()
        }
    }
}

/// The user of the process that listens at the other end: as it was when that process called listen(2). (rustix's `UCred`
/// can't hold the pid 0, which a process of another pid namespace has here: a verifier outside the server's container.)
fn peer_uid(socket: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(getsockopt(&socket, PeerCredentials)?.uid())
}

fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

/// The error, and for those that an operator meets what to look at.
fn explained(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such socket: is the verifier running?".to_owned(),
        io::ErrorKind::ConnectionRefused => "nobody listens there: is the verifier running?".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "permission denied: the server's user needs w on the socket and x on the directories above it".to_owned()
        }
        _ if timed_out(error) => "it did not accept the connection in time".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
