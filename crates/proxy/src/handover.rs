//! Zero-downtime restart: the old proxy hands its listening sockets over to the new one.
//!
//! For a while both processes hold the sockets, so they are never closed. Clients that connect
//! meanwhile wait in the accept queues. The protocol on the private socket, between processes of
//! one user:
//!
//! ```text
//! new: TAKEOVER\n
//! old: (stops accepting)  length, descriptions as JSON, and with them the sockets (SCM_RIGHTS)
//! new: READY\n            (accepts; if it exits before, the old one accepts again)
//! old: GONE\n             (closes its sockets, and drains)
//! new: length, cancel request for a session of the old one; repeated until either exits
//! ```

mod accept_gate;
mod cancel_forwarding;
mod io;
mod message;

use std::fmt;
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use self::io::{MESSAGE_TIMEOUT, check_peer, expect, send, within};
use crate::inherited::InheritedSocket;

pub use accept_gate::AcceptGate;
pub use cancel_forwarding::{Predecessor, Successor};

/// Request of the new process. No HTTP method begins like this.
pub const TAKEOVER: &[u8] = b"TAKEOVER\n";

/// The new process accepts connections.
const READY: &[u8] = b"READY\n";

/// The old process no longer accepts connections.
const GONE: &[u8] = b"GONE\n";

/// Maximum time in which the new process must start; no process accepts meanwhile.
const START_TIMEOUT: Duration = Duration::from_secs(20);

type ListeningSockets = dyn Fn() -> std::io::Result<Vec<InheritedSocket>> + Send + Sync;
type Cancel = dyn Fn(&str, &[u8]) + Send + Sync;

/// Old proxy's side of a handover.
pub struct HandoverServer {
    clients: AcceptGate,
    /// Gate of the admin listeners, which stay open while the proxy drains.
    operators: AcceptGate,
    sockets: Box<ListeningSockets>,
    stop_accepting: Box<dyn Fn() + Send + Sync>,
    cancel: Box<Cancel>,
    /// Held during a handover: there is one at a time.
    in_progress: Mutex<()>,
}

impl fmt::Debug for HandoverServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandoverServer")
            .field("clients", &self.clients)
            .field("operators", &self.operators)
            .finish_non_exhaustive()
    }
}

impl HandoverServer {
    /// Creates a server. `clients` is the gate of the targets' accept loops; `sockets` returns
    /// duplicates of every listening socket of the process. After the handover,
    /// `stop_accepting` is called: the proxy drains, and leaves the paths of its Unix sockets to
    /// the new one. `cancel` then receives the target and key of forwarded cancel requests.
    #[must_use]
    pub fn new(
        clients: AcceptGate,
        sockets: impl Fn() -> std::io::Result<Vec<InheritedSocket>> + Send + Sync + 'static,
        stop_accepting: impl Fn() + Send + Sync + 'static,
        cancel: impl Fn(&str, &[u8]) + Send + Sync + 'static,
    ) -> Self {
        Self {
            clients,
            operators: AcceptGate::default(),
            sockets: Box::new(sockets),
            stop_accepting: Box::new(stop_accepting),
            cancel: Box::new(cancel),
            in_progress: Mutex::new(()),
        }
    }

    /// Returns the gate of the admin listeners.
    #[must_use]
    pub const fn operators(&self) -> &AcceptGate {
        &self.operators
    }

    /// Cancels the statement of the session with this key.
    pub fn cancel(&self, target: &str, key: &[u8]) {
        (self.cancel)(target, key);
    }

    /// Hands over to the process that sent [`TAKEOVER`] on `stream`. After an error this process
    /// accepts as before.
    ///
    /// # Errors
    /// [`Class::UntrustedPeer`] if the process belongs to another user, [`Class::Usage`] if
    /// another handover is in progress or this proxy drains, [`Class::Unavailable`] and
    /// [`Class::TimedOut`] if the new process does not start.
    pub async fn hand_over(&self, mut stream: UnixStream) -> Result<Successor, Failure> {
        check_peer(&stream)?;
        within(MESSAGE_TIMEOUT, expect(&mut stream, TAKEOVER)).await?;
        let busy = || {
            let detail = "cannot hand over: another takeover is in progress, or the proxy drains";
            Failure::new(Class::Usage, detail)
        };
        let _in_progress = self.in_progress.try_lock().map_err(|_| busy())?;
        let clients = self.clients.pause().ok_or_else(busy)?;
        let operators = self.operators.pause().ok_or_else(busy)?;
        let sockets = (self.sockets)().map_err(|error| {
            Failure::new(Class::Internal, format!("cannot duplicate the sockets: {error}"))
        })?;
        within(MESSAGE_TIMEOUT, message::send(&stream, &sockets)).await?;
        within(START_TIMEOUT, expect(&mut stream, READY)).await?;
        clients.close();
        operators.close();
        (self.stop_accepting)();
        // Without this message the new process has the sockets nevertheless.
        if let Err(failure) = within(MESSAGE_TIMEOUT, send(&mut stream, GONE)).await {
            tracing::warn!(detail = %failure.detail, "cannot confirm the handover");
        }
        Ok(Successor::new(stream))
    }
}

/// Sockets taken from the old proxy.
#[derive(Debug)]
pub struct Takeover {
    /// Listening sockets. Drop unused ones only after [`Takeover::ready`].
    pub sockets: Vec<InheritedSocket>,
    stream: UnixStream,
}

/// Takes the listening sockets of the proxy with the private socket at `path`; `None` if there
/// is no proxy. The old proxy does not accept until [`Takeover::ready`]; if that is never
/// called, it continues.
///
/// # Errors
/// [`Class::UntrustedPeer`] if a process of another user listens at `path`,
/// [`Class::Unavailable`] and [`Class::TimedOut`] if the old proxy is busy or does not answer.
pub async fn take(path: &Path) -> Result<Option<Takeover>, Failure> {
    let mut stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => {
            let detail = format!("cannot connect to {}: {error}", path.display());
            return Err(Failure::new(Class::Unavailable, detail));
        }
    };
    check_peer(&stream)?;
    within(MESSAGE_TIMEOUT, send(&mut stream, TAKEOVER)).await?;
    let sockets = within(MESSAGE_TIMEOUT, message::receive(&mut stream)).await?;
    Ok(Some(Takeover { sockets, stream }))
}

fn is_absent(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}

impl Takeover {
    /// Reports that this process accepts, and waits until the old one does not. Returns the
    /// receiver of cancel requests for the old proxy's sessions.
    ///
    /// # Errors
    /// [`Class::Unavailable`] or [`Class::TimedOut`] if the old proxy does not confirm: it may
    /// still accept.
    pub async fn ready(mut self) -> Result<Predecessor, Failure> {
        within(MESSAGE_TIMEOUT, async {
            send(&mut self.stream, READY).await?;
            expect(&mut self.stream, GONE).await
        })
        .await?;
        Ok(Predecessor::new(self.stream))
    }
}

#[cfg(test)]
mod tests;
