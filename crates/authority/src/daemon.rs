//! The verifier's Unix socket: one question on each connection, from those alone who may ask.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use countersign_core::ask::{Answer, MAX_QUESTION, Question, frame, frame_length};
use countersign_core::failure::{Class, Failure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::accept;
use crate::verifier::{Login, Verifier};

/// How long one question may take, from the connection to the answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// How many questions are open at once; more wait in the socket's queue.
const MAX_OPEN: usize = 256;

/// The users who may ask, by number: the database servers', and the verifier's own.
#[derive(Debug, Clone)]
pub struct Askers(BTreeSet<u32>);

impl Askers {
    /// `uids`, the verifier's own user and root.
    #[must_use]
    pub fn new(uids: impl IntoIterator<Item = u32>) -> Self {
        let own = rustix::process::getuid().as_raw();
        Self(uids.into_iter().chain([own, 0]).collect())
    }
}

/// Binds the socket, readable and writable by its owner and `group`; one that nobody listens on any more is replaced.
///
/// # Errors
/// The system's; `AddrInUse` where another verifier listens there.
pub fn bind(path: &Path, group: Option<u32>) -> io::Result<UnixListener> {
    use std::os::unix::fs::{PermissionsExt, chown};

    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("another verifier listens on {}", path.display())));
    }
    // Made under another name, so that the socket is never open to more than it should be.
    let fresh = path.with_extension("new");
    for stale in [path, &fresh] {
        match std::fs::remove_file(stale) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let listener = UnixListener::bind(&fresh)?;
    chown(&fresh, None, group)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(if group.is_some() { 0o660 } else { 0o600 }))?;
    std::fs::rename(&fresh, path)?;
    Ok(listener)
}

/// Answers questions until it is dropped. No connection, however bad, ends it.
pub async fn serve(listener: UnixListener, verifier: Arc<Verifier>, askers: Askers) {
    let converse = |stream| {
        let (verifier, askers) = (Arc::clone(&verifier), askers.clone());
        async move {
            let answered = timeout(DEADLINE, converse(stream, verifier, &askers)).await;
            let late = || Failure::new(Class::TimedOut, format!("it took longer than {} s", DEADLINE.as_secs()));
            if let Err(failure) = answered.unwrap_or_else(|_| Err(late())) {
                tracing::warn!(class = %failure.class, detail = %failure.detail, "a question went unanswered");
            }
        }
    };
    accept::each("daemon", MAX_OPEN, || listener.accept(), converse).await;
}

async fn converse(mut stream: UnixStream, verifier: Arc<Verifier>, askers: &Askers) -> Result<(), Failure> {
    let peer = stream.peer_cred().map_err(|error| broken(&error))?;
    if !askers.0.contains(&peer.uid()) {
        return Err(Failure::new(Class::UntrustedPeer, format!("user {} may not ask", peer.uid())));
    }
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.map_err(|error| broken(&error))?;
    let mut body = Zeroizing::new(vec![0; frame_length(head, MAX_QUESTION)?]);
    stream.read_exact(&mut body).await.map_err(|error| broken(&error))?;
    let question = Question::parse(&body)?;
    let nonce = question.nonce();
    let answer = match decide(question, verifier).await {
        Ok(()) => Answer::Allow { nonce },
        Err(class) => Answer::Deny { nonce, class },
    };
    stream.write_all(&frame(&answer, 256)?).await.map_err(|error| broken(&error))
}

/// The decision on a thread that may wait for the disk. A panic there denies.
async fn decide(question: Question, verifier: Arc<Verifier>) -> Result<(), Class> {
    let decided = tokio::task::spawn_blocking(move || {
        let login = Login {
            engine: question.engine,
            instance: &question.instance,
            user: &question.user,
            token: &question.token,
            client: question.client.as_deref(),
            tls: question.tls,
        };
        verifier.decide(&login, SystemTime::now()).map(drop).map_err(|failure| failure.class)
    });
    decided.await.unwrap_or(Err(Class::Internal))
}

fn broken(error: &io::Error) -> Failure {
    Failure::new(Class::Unavailable, format!("the connection broke: {error}"))
}

#[cfg(test)]
mod tests;
