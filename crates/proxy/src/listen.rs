//! Where clients are taken in.

mod bind;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use countersign_connect::transport::Socket;
use countersign_core::failure::{Class, Failure};
use rustix::io::Errno;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::handover::AcceptGate;
use crate::inherited::InheritedSocket;
use crate::limit::Admission;
use crate::service::TargetHandle;
use crate::session::AcceptedConn;
use crate::settings::{Access, Listen};

use bind::bind;

/// How long nobody is accepted when the system has no more sockets or memory: until somebody has left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// A listening socket.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok(Accepted {
                    socket: Socket::Tcp(stream),
                    origin: address.to_string(),
                    user: None,
                })
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let peer = stream.peer_cred()?;
                let process = peer
                    .pid()
                    .map_or_else(|| "a process".to_owned(), |pid| format!("process {pid}"));
                Ok(Accepted {
                    socket: Socket::Unix(stream),
                    origin: format!("{process} of user {}", peer.uid()),
                    user: Some(peer.uid()),
                })
            }
        }
    }

    /// Whether other machines may reach it. Where the system doesn't say, they may.
    fn is_exposed(&self) -> bool {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().map_or(true, |address| !address.ip().is_loopback())
            }
            Self::Unix(..) => false,
        }
    }

    /// Where it listens, as people write it.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|error| error.to_string(), |address| address.to_string()),
            Self::Unix(_, path) => path.display().to_string(),
        }
    }

    /// As settings would ask for it, with the port that it has.
    pub(crate) fn listen(&self) -> io::Result<Listen> {
        Ok(match self {
            Self::Tcp(listener) => Listen::Tcp(listener.local_addr()?),
            Self::Unix(_, path) => Listen::Unix(path.clone()),
        })
    }

    /// Takes away the path of a Unix socket: nobody listens there any more.
    pub(crate) fn unlink(&self) {
        if let Self::Unix(_, path) = self
            && let Err(error) = countersign_unix_socket::remove(path)
        {
            tracing::warn!("the socket {} can't be removed: {error}", path.display());
        }
    }

    /// The same socket once more, to be handed over.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(listener) => listener.as_fd().try_clone_to_owned(),
            Self::Unix(listener, _) => listener.as_fd().try_clone_to_owned(),
        }
    }
}

struct Accepted {
    socket: Socket,
    origin: String,
    /// The user of the machine behind a Unix socket.
    user: Option<u32>,
}

/// What a listener goes by; it changes when settings are read anew.
#[derive(Clone)]
pub(crate) struct AcceptContext {
    pub(crate) service: Arc<dyn TargetHandle>,
    pub(crate) entrance: Arc<Admission>,
    pub(crate) name: Arc<str>,
    pub(crate) access: Access,
}

/// A listener as `listen` has it, unless it lets strangers in whom nobody has invited.
pub(crate) fn open(
    listen: &Listen,
    access: &Access,
    inherited: &mut Vec<InheritedSocket>,
) -> Result<Listener, Failure> {
    let listener = bind(listen, access, inherited)?;
    if *access == Access::Open && listener.is_exposed() {
        let place = listener.place();
        let advice = "set access to a password, or say open-to-network";
        return Err(Failure::new(
            Class::Configuration,
            format!("everybody who reaches {place} would be let in without a password: {advice}"),
        ));
    }
    Ok(listener)
}

/// Takes clients in until it is dropped, or the door is closed. No error ends it.
pub(crate) async fn accept(
    listener: Arc<Listener>,
    door: AcceptGate,
    reception: watch::Receiver<AcceptContext>,
) {
    while let Some(accepted) = door.accept(|| listener.accept()).await {
        match accepted {
            Ok(accepted) => receive(accepted, &reception.borrow()),
            Err(error) => {
                let name = Arc::clone(&reception.borrow().name);
                if is_resource_exhaustion(&error) {
                    tracing::warn!(target = &*name, "nobody can be accepted for now: {error}");
                    sleep(ACCEPT_BACKOFF).await;
                } else {
                    tracing::debug!(
                        target = &*name,
                        "a client went away before it was accepted: {error}"
                    );
                }
            }
        }
    }
}

fn receive(accepted: Accepted, reception: &AcceptContext) {
    let Accepted { socket, origin, user } = accepted;
    if let (Access::Users(allowed), Some(user)) = (&reception.access, user)
        && !allowed.contains(&user)
    {
        tracing::warn!(
            target = &*reception.name,
            client = origin,
            "refused: the user of the machine is not among those allowed"
        );
        return;
    }
    let Some(slot) = reception.entrance.enter(&reception.name) else {
        tracing::warn!(
            target = &*reception.name,
            client = origin,
            "refused without a word: too many connections"
        );
        return;
    };
    Arc::clone(&reception.service).serve(AcceptedConn {
        socket,
        origin,
        slot,
        accepted: Instant::now(),
    });
}

/// Whether accepting fails for want of something, and would fail again at once; all other errors are a client's.
/// Source: accept(2).
fn is_resource_exhaustion(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}
