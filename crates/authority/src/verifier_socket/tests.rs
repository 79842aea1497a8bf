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
    let verifier =
        Verifier::new(store, log, VerifierConfig { limit: None, context_keys: ContextKeys::AsRds });
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
    if stream.write_all(bytes).and_then(|()| stream.shutdown(std::net::Shutdown::Write)).is_ok() {
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
        for garbage in
            [&b""[..], b"\0", b"GET / HTTP/1.1\r\n\r\n", &huge, b"\0\0\0\x02{}", b"\0\0\0\x05null"]
        {
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
    assert_eq!(bind(&path, SocketAccess::Owner).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
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
