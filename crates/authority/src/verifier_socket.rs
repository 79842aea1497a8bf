//! The verifier's Unix socket: one question on each connection, from those alone who may ask.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use countersign_core::failure::{Class, Failure};
use countersign_core::verifier_protocol::{
    MAX_REQUEST, VerifyRequest, VerifyResponse, frame, frame_length,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::accept;
use crate::verifier::{LoginRequest, Verifier};

/// How long one question may take, from the connection to the answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// How many questions are open at once; more wait in the socket's queue.
const MAX_OPEN: usize = 256;

/// The users who may ask, by number: the database servers', and the verifier's own.
#[derive(Debug, Clone)]
pub struct AllowedPeers(BTreeSet<u32>);

impl AllowedPeers {
    /// `uids`, the verifier's own user and root.
    #[must_use]
    pub fn new(uids: impl IntoIterator<Item = u32>) -> Self {
        let own = rustix::process::getuid().as_raw();
        Self(uids.into_iter().chain([own, 0]).collect())
    }
}

/// Who may connect to the socket; whether they may ask as well is for [`Askers`] to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketAccess {
    /// The verifier's own user, and root.
    Owner,
    /// The members of a group too, by its number.
    Group(u32),
    /// Everybody. Servers of users who share no group with the verifier can't be let in by the socket's mode. It is not what
    /// keeps the others out: the system says who connects (`SO_PEERCRED`), and whoever is none of the [`Askers`] is hung up
    /// on before a byte of theirs is read.
    Everyone,
}

impl SocketAccess {
    const fn group_and_mode(self) -> (Option<u32>, u32) {
        match self {
            Self::Owner => (None, 0o600),
            Self::Group(group) => (Some(group), 0o660),
            Self::Everyone => (None, 0o666),
        }
    }
}

/// Binds the socket with the mode that `access` names, replacing a stale socket only.
///
/// # Errors
/// `AddrInUse` if a process listens at `path`, `AlreadyExists` if the file there is not a socket, and any error of the
/// operating system.
pub fn bind(path: &Path, access: SocketAccess) -> io::Result<UnixListener> {
    let (group, mode) = access.group_and_mode();
    let listener = countersign_unix_socket::bind(path, mode, group)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Answers questions until it is dropped. No connection, however bad, ends it.
pub async fn serve(listener: UnixListener, verifier: Arc<Verifier>, askers: AllowedPeers) {
    let strangers = Arc::new(RejectLogLimiter::default());
    let converse = |stream| {
        let (verifier, askers, strangers) =
            (Arc::clone(&verifier), askers.clone(), Arc::clone(&strangers));
        async move {
            let answered = timeout(DEADLINE, converse(stream, verifier, &askers)).await;
            let late = || {
                Failure::new(
                    Class::TimedOut,
                    format!("it took longer than {} s", DEADLINE.as_secs()),
                )
            };
            match answered.unwrap_or_else(|_| Err(late())) {
                Err(failure)
                    if failure.class == Class::UntrustedPeer && !strangers.may_be_told_of() => {}
                Err(failure) => {
                    tracing::warn!(class = %failure.class, detail = %failure.detail, "a question went unanswered")
                }
                Ok(()) => {}
            }
        }
    };
    accept::serve_bounded("daemon", MAX_OPEN, || listener.accept(), converse).await;
}

/// When somebody who may not ask was last told of: anybody can connect as often as they like, and must not fill the disk.
#[derive(Debug, Default)]
struct RejectLogLimiter(Mutex<Option<Instant>>);

impl RejectLogLimiter {
    /// How long the next ones go untold of.
    const QUIET: Duration = Duration::from_secs(10);

    fn may_be_told_of(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = last.is_none_or(|last| now.duration_since(last) >= Self::QUIET);
        if due {
            *last = Some(now);
        }
        due
    }
}

async fn converse(
    mut stream: UnixStream,
    verifier: Arc<Verifier>,
    askers: &AllowedPeers,
) -> Result<(), Failure> {
    let peer = stream.peer_cred().map_err(|error| broken(&error))?;
    if !askers.0.contains(&peer.uid()) {
        return Err(Failure::new(Class::UntrustedPeer, format!("user {} may not ask", peer.uid())));
    }
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.map_err(|error| broken(&error))?;
    let mut body = Zeroizing::new(vec![0; frame_length(head, MAX_REQUEST)?]);
    stream.read_exact(&mut body).await.map_err(|error| broken(&error))?;
    let question = VerifyRequest::parse(&body)?;
    let nonce = question.nonce();
    let login = LoginRequest {
        engine: question.engine,
        instance: &question.instance,
        user: &question.user,
        token: &question.token,
        client: question.client.as_deref(),
        tls: question.tls,
    };
    let answer = match verifier.answer(&login).await {
        Ok(()) => VerifyResponse::Allow { nonce },
        Err(failure) => VerifyResponse::Deny { nonce, class: failure.class },
    };
    stream.write_all(&frame(&answer, 256)?).await.map_err(|error| broken(&error))
}

fn broken(error: &io::Error) -> Failure {
    Failure::new(Class::Unavailable, format!("the connection broke: {error}"))
}

#[cfg(test)]
mod tests;
