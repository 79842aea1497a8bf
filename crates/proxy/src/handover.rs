//! Restarting without refusing anybody: the proxy that goes hands its listening sockets to the one that comes.
//!
//! Both hold the sockets for a while, so the system never closes them, and whoever connects meanwhile waits in their queues. On
//! the private socket, between processes of one user:
//!
//! ```text
//! new: TAKEOVER\n
//! old: (stops accepting)  length, names as JSON, and with them the sockets (SCM_RIGHTS)
//! new: READY\n            (accepts; had it ended before, the old one would accept again)
//! old: GONE\n             (closes its sockets, and drains)
//! new: length, a cancel request for a session of the old one; as often as there are any, until one of them ends
//! ```

mod accept_gate;
mod cancel_forwarding;
mod message;

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::timeout;

pub use crate::inherited::InheritedSocket;
pub use accept_gate::AcceptGate;
pub use cancel_forwarding::{Predecessor, Successor};

/// What the new process asks for. No method of HTTP begins so.
pub const TAKEOVER: &[u8] = b"TAKEOVER\n";

/// What the new process says once it accepts.
const READY: &[u8] = b"READY\n";

/// What the old process says once it does no longer.
const GONE: &[u8] = b"GONE\n";

/// How long the new process may take to start on the sockets: meanwhile nobody accepts.
const START_TIME: Duration = Duration::from_secs(20);

/// How long anything else may take that the other process has to do.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// Cancels what a session is doing: by its target, and the key as its client has it.
type Cancel = dyn Fn(&str, &[u8]) + Send + Sync;

/// What a proxy does for the one that takes its place.
pub struct HandoverServer {
    /// The door of its clients.
    clients: AcceptGate,
    /// The door of its operators, who are let in while it drains.
    operators: AcceptGate,
    /// Its listening sockets, as duplicates.
    sockets: Box<dyn Fn() -> io::Result<Vec<InheritedSocket>> + Send + Sync>,
    /// Begins its end.
    leave: Box<dyn Fn() + Send + Sync>,
    /// Cancels what the session with this key at this target is doing.
    cancel: Box<Cancel>,
    /// One at a time.
    turn: Mutex<()>,
}

impl fmt::Debug for HandoverServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer")
            .field("clients", &self.clients)
            .field("operators", &self.operators)
            .finish_non_exhaustive()
    }
}

impl HandoverServer {
    /// An offer of what `sockets` gives, duplicates of every listening socket of this process: the accept loops of its targets go by
    /// the door `clients`. `leave` is called once they have been taken: the proxy drains, and leaves the paths of its Unix sockets
    /// alone, for they are the other's now. `cancel` is for the requests of its clients that come to the other one from then on.
    #[must_use]
    pub fn new(
        clients: AcceptGate,
        sockets: impl Fn() -> io::Result<Vec<InheritedSocket>> + Send + Sync + 'static,
        leave: impl Fn() + Send + Sync + 'static,
        cancel: impl Fn(&str, &[u8]) + Send + Sync + 'static,
    ) -> Self {
        Self {
            clients,
            operators: AcceptGate::default(),
            sockets: Box::new(sockets),
            leave: Box::new(leave),
            cancel: Box::new(cancel),
            turn: Mutex::new(()),
        }
    }

    /// The door of the listeners for operators.
    #[must_use]
    pub const fn operators(&self) -> &AcceptGate {
        &self.operators
    }

    /// Answers whoever says [`TAKEOVER`] on `stream`. When it returns with an error, this process accepts as before.
    ///
    /// # Errors
    /// [`Class::UntrustedPeer`] where a process of another user asks, [`Class::Usage`] where another takes over or this proxy ends,
    /// [`Class::Unavailable`] and [`Class::TimedOut`] where the new process does not come up.
    pub async fn hand_over(&self, mut stream: UnixStream) -> Result<Successor, Failure> {
        own(&stream)?;
        within(ANSWER_TIME, expect(&mut stream, TAKEOVER)).await?;
        let busy = || Failure::new(Class::Usage, "another proxy is taking over, or this one ends");
        let Ok(_turn) = self.turn.try_lock() else {
            return Err(busy());
        };
        let (Some(clients), Some(operators)) = (self.clients.pause(), self.operators.pause())
        else {
            return Err(busy());
        };
        let sockets = (self.sockets)().map_err(|error| {
            Failure::new(Class::Internal, format!("the sockets can't be duplicated: {error}"))
        })?;
        within(ANSWER_TIME, message::send(&stream, &sockets)).await?;
        within(START_TIME, expect(&mut stream, READY)).await?;
        clients.close();
        operators.close();
        (self.leave)();
        // Should the new process not hear it, it has its sockets all the same.
        if let Err(failure) = within(ANSWER_TIME, async {
            stream.write_all(GONE).await.map_err(|error| broken(&error))
        })
        .await
        {
            tracing::warn!(detail = %failure.detail, "the proxy that took over was not told so");
        }
        Ok(Successor::new(stream))
    }
}

/// What was taken from the proxy before.
#[derive(Debug)]
pub struct Takeover {
    /// Its listening sockets. Those that are not wanted are to be dropped only after [`Taken::ready`].
    pub sockets: Vec<InheritedSocket>,
    stream: UnixStream,
}

/// Takes the listening sockets of the proxy whose private socket is at `path`; `None` where there is none. Until
/// [`Taken::ready`] nobody accepts on them; where that is never said, the old proxy goes on.
///
/// # Errors
/// [`Class::UntrustedPeer`] where a process of another user listens there, [`Class::Unavailable`] and [`Class::TimedOut`] where the
/// old proxy does not answer as it should, or is busy.
pub async fn take(path: &Path) -> Result<Option<Takeover>, Failure> {
    let mut stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => {
            return Err(Failure::new(
                Class::Unavailable,
                format!("{} can't be reached: {error}", path.display()),
            ));
        }
    };
    own(&stream)?;
    within(ANSWER_TIME, async { stream.write_all(TAKEOVER).await.map_err(|error| broken(&error)) })
        .await?;
    let sockets = within(ANSWER_TIME, message::receive(&mut stream)).await?;
    Ok(Some(Takeover { sockets, stream }))
}

impl Takeover {
    /// Says that this process accepts from now on, and waits until the other one does not. What is returned takes the requests to
    /// cancel that are for the other one's sessions.
    ///
    /// # Errors
    /// [`Class::Unavailable`], [`Class::TimedOut`] where the old proxy is gone or does not let go: it might accept still.
    pub async fn ready(mut self) -> Result<Predecessor, Failure> {
        within(ANSWER_TIME, async {
            self.stream.write_all(READY).await.map_err(|error| broken(&error))?;
            expect(&mut self.stream, GONE).await
        })
        .await?;
        Ok(Predecessor::new(self.stream))
    }
}

/// Whether the other process is of our user.
fn own(stream: &UnixStream) -> Result<(), Failure> {
    let uid = stream.peer_cred().map_err(|error| broken(&error))?.uid();
    if uid != rustix::process::getuid().as_raw() {
        return Err(Failure::new(
            Class::UntrustedPeer,
            format!("the process at the other end is user {uid}'s"),
        ));
    }
    Ok(())
}

async fn expect(stream: &mut UnixStream, word: &[u8]) -> Result<(), Failure> {
    let mut heard = vec![0; word.len()];
    stream.read_exact(&mut heard).await.map_err(|error| broken(&error))?;
    if heard == word {
        Ok(())
    } else {
        Err(Failure::new(Class::Protocol, "the other proxy speaks another version of the handover"))
    }
}

async fn within<T>(
    time: Duration,
    step: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let late = |_| {
        Failure::new(
            Class::TimedOut,
            format!("the other proxy took longer than {} s", time.as_secs()),
        )
    };
    timeout(time, step).await.map_err(late)?
}

fn broken(error: &io::Error) -> Failure {
    Failure::new(Class::Unavailable, format!("the other proxy is gone, or refused: {error}"))
}

#[cfg(test)]
mod tests;
