//! The verifier's Unix socket: one request on each connection, from allowed users only.

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

/// Maximum time for one request, from the accept to the response.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of open connections. Further ones wait in the socket's queue.
const MAX_CONNECTIONS: usize = 256;

/// User ids that may send requests: those of the database servers, and the verifier's own.
#[derive(Debug, Clone)]
pub struct AllowedPeers(BTreeSet<u32>);

impl AllowedPeers {
    /// Allows `uids`, the verifier's own user and root.
    #[must_use]
    pub fn new(uids: impl IntoIterator<Item = u32>) -> Self {
        let own = rustix::process::getuid().as_raw();
        Self(uids.into_iter().chain([own, 0]).collect())
    }
}

/// Users that may connect to the socket. [`AllowedPeers`] decides which of them may send requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketAccess {
    /// The verifier's own user and root.
    Owner,
    /// Members of the group with this id in addition.
    Group(u32),
    /// All users: for servers whose users share no group with the verifier. [`AllowedPeers`]
    /// protects the verifier in this case: the kernel reports the user of each connection
    /// (`SO_PEERCRED`), and a connection of any other user is closed before a byte of it is read.
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
/// `AddrInUse` if a process listens at `path`, `AlreadyExists` if the file there is not a socket,
/// and any error of the operating system.
pub fn bind(path: &Path, access: SocketAccess) -> io::Result<UnixListener> {
    let (group, mode) = access.group_and_mode();
    let listener = countersign_unix_socket::bind(path, mode, group)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Serves requests until the future is dropped. A failed connection does not end the loop.
pub async fn serve(listener: UnixListener, verifier: Arc<Verifier>, peers: AllowedPeers) {
    let rejections = Arc::new(RejectLogLimiter::default());
    let handler = |stream| {
        let (verifier, peers, rejections) =
            (Arc::clone(&verifier), peers.clone(), Arc::clone(&rejections));
        async move {
            let timed_out = || {
                let limit = REQUEST_TIMEOUT.as_secs();
                Failure::new(Class::TimedOut, format!("request took longer than {limit} s"))
            };
            let result = timeout(REQUEST_TIMEOUT, handle_request(stream, verifier, &peers))
                .await
                .unwrap_or_else(|_| Err(timed_out()));
            if let Err(failure) = result
                && (failure.class != Class::UntrustedPeer || rejections.should_log())
            {
                let Failure { class, detail, .. } = failure;
                tracing::warn!(%class, %detail, "request rejected");
            }
        }
    };
    accept::serve_bounded("verifier socket", MAX_CONNECTIONS, || listener.accept(), handler).await;
}

/// Time of the last logged rejection. Any user may connect at any rate, and must not fill the disk.
#[derive(Debug, Default)]
struct RejectLogLimiter(Mutex<Option<Instant>>);

impl RejectLogLimiter {
    /// Minimum time between two logged rejections.
    const INTERVAL: Duration = Duration::from_secs(10);

    fn should_log(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = last.is_none_or(|last| now.duration_since(last) >= Self::INTERVAL);
        if due {
            *last = Some(now);
        }
        due
    }
}

async fn handle_request(
    mut stream: UnixStream,
    verifier: Arc<Verifier>,
    peers: &AllowedPeers,
) -> Result<(), Failure> {
    let peer = stream.peer_cred().map_err(|error| broken(&error))?;
    if !peers.0.contains(&peer.uid()) {
        return Err(Failure::new(
            Class::UntrustedPeer,
            format!("user id {} is not among the allowed users", peer.uid()),
        ));
    }
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.map_err(|error| broken(&error))?;
    let mut body = Zeroizing::new(vec![0; frame_length(head, MAX_REQUEST)?]);
    stream.read_exact(&mut body).await.map_err(|error| broken(&error))?;
    let request = VerifyRequest::parse(&body)?;
    let nonce = request.nonce();
    let login = LoginRequest {
        engine: request.engine,
        instance: &request.instance,
        user: &request.user,
        token: &request.token,
        client: request.client.as_deref(),
        tls: request.tls,
    };
    let response = match verifier.authenticate(&login).await {
        Ok(()) => VerifyResponse::Allow { nonce },
        Err(failure) => VerifyResponse::Deny { nonce, class: failure.class },
    };
    stream.write_all(&frame(&response, 256)?).await.map_err(|error| broken(&error))
}

fn broken(error: &io::Error) -> Failure {
    Failure::new(Class::Unavailable, format!("connection lost: {error}"))
}

#[cfg(test)]
mod tests {
    //! The socket with valid, invalid, slow and oversized requests.

    use std::io::{Read, Write};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::time::Duration;

    use countersign_core::failure::{Class, Failure};
    use countersign_core::name::Engine;
    use countersign_core::verifier_protocol::{Nonce, VerifyRequest, round_trip};
    use tempfile::TempDir;
    use tokio::task::spawn_blocking;
    use zeroize::Zeroizing;

    use super::{AllowedPeers, SocketAccess, bind, serve};
    use crate::log::AccessLog;
    use crate::store::Store;
    use crate::verifier::{ContextKeys, Verifier, VerifierConfig};

    struct Fixture {
        _directory: TempDir,
        socket: PathBuf,
    }

    fn serve_verifier() -> Fixture {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let log = AccessLog::open(directory.path()).unwrap();
        let verifier = Verifier::new(
            store,
            log,
            VerifierConfig { limit: None, context_keys: ContextKeys::AsRds },
        );
        let socket = directory.path().join("verifier.sock");
        tokio::spawn(serve(
            bind(&socket, SocketAccess::Owner).unwrap(),
            Arc::new(verifier),
            AllowedPeers::new([]),
        ));
        Fixture { _directory: directory, socket }
    }

    fn request() -> VerifyRequest {
        let token = Zeroizing::new("hunter2".to_owned());
        VerifyRequest::new(
            Nonce([3; 16]),
            Engine::Postgres,
            "orders".parse().unwrap(),
            "jane".parse().unwrap(),
            token,
        )
    }

    fn connect(socket: &PathBuf) -> UnixStream {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn verify(socket: &PathBuf) -> Result<(), Failure> {
        round_trip(&mut connect(socket), &request())
    }

    /// Sends bytes that are not a request, and returns the response.
    fn send(socket: &PathBuf, bytes: &[u8]) -> Vec<u8> {
        let mut stream = connect(socket);
        let mut response = Vec::new();
        if stream.write_all(bytes).and_then(|()| stream.shutdown(std::net::Shutdown::Write)).is_ok()
        {
            //     // A reset ends the connection too.
            let _reset = stream.read_to_end(&mut response);
        }
        response
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_response_repeats_the_nonce_and_denies_with_its_class() {
        let daemon = serve_verifier();
        let socket = daemon.socket.clone();
        let denied = spawn_blocking(move || verify(&socket)).await.unwrap().unwrap_err();
        assert_eq!(denied.class, Class::UnknownInstance);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn malformed_requests_get_no_response_and_later_ones_do() {
        let daemon = serve_verifier();
        let socket = daemon.socket.clone();
        spawn_blocking(move || {
            let huge = u32::MAX.to_be_bytes();
            for garbage in [
                &b""[..],
                b"\0",
                b"GET / HTTP/1.1\r\n\r\n",
                &huge,
                b"\0\0\0\x02{}",
                b"\0\0\0\x05null",
            ] {
                assert!(send(&socket, garbage).is_empty(), "{garbage:?}");
            }
            assert_eq!(verify(&socket).unwrap_err().class, Class::UnknownInstance);
        })
        .await
        .unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn silent_connections_do_not_block_others() {
        let daemon = serve_verifier();
        let socket = daemon.socket.clone();
        spawn_blocking(move || {
            let _silent: Vec<UnixStream> = (0..100).map(|_| connect(&socket)).collect();
            assert_eq!(verify(&socket).unwrap_err().class, Class::UnknownInstance);
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn the_socket_has_the_requested_mode_and_replaces_a_stale_one() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("verifier.sock");
        let first = bind(&path, SocketAccess::Owner).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            bind(&path, SocketAccess::Owner).unwrap_err().kind(),
            std::io::ErrorKind::AddrInUse
        );
        drop(first);
        let group = rustix::process::getgid().as_raw();
        let second = bind(&path, SocketAccess::Group(group)).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o660);
        drop(second);
        let _third = bind(&path, SocketAccess::Everyone).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o666);
    }

    #[tokio::test]
    async fn a_file_or_a_link_at_the_socket_s_path_is_kept() {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "kept").unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for path in [&file, &link] {
            let refused = bind(path, SocketAccess::Owner).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);
        }
        assert_eq!(std::fs::read_to_string(link).unwrap(), "kept");
    }
}
