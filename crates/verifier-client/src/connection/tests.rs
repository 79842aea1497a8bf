use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use countersign_core::failure::{Class, Failure};
use countersign_core::name::Engine;
use countersign_core::token::MAX_TOKEN;
use countersign_core::verifier_protocol::{
    Nonce, VerifyRequest, VerifyResponse, frame, round_trip,
};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};
use tempfile::TempDir;

use super::{Connection, Deadline, TrustedUsers};

/// The uid of the operating system's user `nobody` on Debian; any uid except that of root works.
const UNPRIVILEGED_UID: u32 = 65_534;

const NONCE: Nonce = Nonce([7; 16]);

/// Timeout in the tests of late responses, and the maximum duration of a test on a busy machine.
const SHORT: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(3);

struct SocketDir(TempDir);

impl SocketDir {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        Self(dir)
    }

    fn socket(&self) -> PathBuf {
        self.0.path().join("verifier.sock")
    }

    /// Starts a verifier that accepts one connection.
    fn verifier(&self, serve: impl FnOnce(UnixStream) + Send + 'static) -> JoinHandle<()> {
        let listener = UnixListener::bind(self.socket()).unwrap();
        thread::spawn(move || serve(listener.accept().unwrap().0))
    }
}

fn own() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn verify_as(
    path: &Path,
    trusted: TrustedUsers,
    token: &str,
    within: Duration,
) -> Result<(), Failure> {
    let user = "jane".parse().unwrap();
    let request = VerifyRequest::new(
        NONCE,
        Engine::Postgres,
        "orders".parse().unwrap(),
        user,
        token.to_owned().into(),
    );
    round_trip(&mut Connection::open(path, trusted, Deadline::after(within))?, &request)
}

fn verify(path: &Path, within: Duration) -> Result<(), Failure> {
    verify_as(path, TrustedUsers::new(None), "a-token", within)
}

/// Returns a failure and checks that it occurs in time.
fn fails_in_time(verify: impl FnOnce() -> Result<(), Failure>) -> Failure {
    let start = Instant::now();
    let failure = verify().unwrap_err();
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    failure
}

fn read_request(stream: &mut UnixStream) {
    let mut head = [0; 4];
    stream.read_exact(&mut head).unwrap();
    let mut body = vec![0; u32::from_be_bytes(head) as usize];
    stream.read_exact(&mut body).unwrap();
    assert_eq!(VerifyRequest::parse(&body).unwrap().nonce(), NONCE);
}

fn allow() -> Vec<u8> {
    frame(&VerifyResponse::Allow { nonce: NONCE }, 0).unwrap().to_vec()
}

#[test]
fn a_response_that_allows_is_accepted() {
    let dir = SocketDir::new();
    let verifier = dir.verifier(|mut stream| {
        read_request(&mut stream);
        stream.write_all(&allow()).unwrap();
    });
    verify(&dir.socket(), PATIENCE).unwrap();
    verifier.join().unwrap();
}

#[test]
fn the_longest_token_is_sent() {
    let dir = SocketDir::new();
    let verifier = dir.verifier(|mut stream| {
        read_request(&mut stream);
        stream.write_all(&allow()).unwrap();
    });
    verify_as(&dir.socket(), TrustedUsers::new(None), &"\u{1}".repeat(MAX_TOKEN), PATIENCE)
        .unwrap();
    verifier.join().unwrap();
}

#[test]
fn the_timeout_bounds_a_verifier_that_does_not_respond() {
    let dir = SocketDir::new();
    let verifier = dir.verifier(|mut stream| {
        // After the request, the module sends nothing and closes the connection at its timeout.
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
    let failure = fails_in_time(|| verify(&dir.socket(), SHORT));
    assert_eq!(failure.class, Class::TimedOut);
    assert!(failure.detail.contains("300 ms"), "{failure}");
    verifier.join().unwrap();
}

#[test]
fn the_timeout_bounds_a_verifier_that_does_not_read() {
    let dir = SocketDir::new();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let verifier = dir.verifier(move |stream| {
        let _ = wait.recv();
        drop(stream);
    });
    // Escaped, it is longer than the buffers of the sockets.
    let token = "\u{1}".repeat(MAX_TOKEN);
    assert_eq!(
        fails_in_time(|| verify_as(&dir.socket(), TrustedUsers::new(None), &token, SHORT)).class,
        Class::TimedOut
    );
    drop(done);
    verifier.join().unwrap();
}

#[test]
fn a_slow_response_does_not_extend_the_timeout() {
    let dir = SocketDir::new();
    let verifier = dir.verifier(|mut stream| {
        read_request(&mut stream);
        for byte in allow() {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(SHORT / 6);
        }
    });
    assert_eq!(fails_in_time(|| verify(&dir.socket(), SHORT)).class, Class::TimedOut);
    verifier.join().unwrap();
}

#[test]
fn the_timeout_bounds_a_full_queue() {
    let dir = SocketDir::new();
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(dir.socket()).unwrap()).unwrap();
    listen(&listener, 0).unwrap();
    // A queue of length 0 holds one connection, which is never accepted.
    let _first = UnixStream::connect(dir.socket()).unwrap();
    let failure = fails_in_time(|| verify(&dir.socket(), SHORT));
    assert_eq!(failure.class, Class::TimedOut);
    assert!(failure.detail.contains("did not accept"), "{failure}");
}

#[test]
fn malformed_and_partial_responses_are_errors() {
    let whole = allow();
    let responses: [(&[u8], Class); 6] = [
        (b"", Class::Unavailable),
        (b"HTTP/1.1 200 OK\r\n\r\n", Class::Protocol),
        (&[0, 0, 0, 2, b'{', b'}'], Class::Protocol),
        (&[0, 0, 0, 200, b'{'], Class::Unavailable),
        (&[255; 64], Class::Protocol),
        (&whole[..whole.len() - 1], Class::Unavailable),
    ];
    for (response, class) in responses {
        let dir = SocketDir::new();
        let bytes = response.to_vec();
        let verifier = dir.verifier(move |mut stream| {
            read_request(&mut stream);
            stream.write_all(&bytes).unwrap();
        });
        assert_eq!(fails_in_time(|| verify(&dir.socket(), PATIENCE)).class, class, "{response:?}");
        verifier.join().unwrap();
    }
}

#[test]
fn a_closed_connection_is_an_error() {
    let dir = SocketDir::new();
    let verifier = dir.verifier(drop);
    // Longer than the buffers of the sockets, so that the module still writes after the close.
    let token = "\u{1}".repeat(MAX_TOKEN);
    assert_eq!(
        fails_in_time(|| verify_as(&dir.socket(), TrustedUsers::new(None), &token, PATIENCE)).class,
        Class::Unavailable
    );
    verifier.join().unwrap();
}

#[test]
fn a_missing_a_stale_and_an_inaccessible_socket_have_remedies() {
    let dir = SocketDir::new();
    let missing = verify(&dir.socket(), PATIENCE).unwrap_err();
    assert_eq!(missing.class, Class::Unavailable);
    assert!(missing.detail.contains("socket not found"), "{missing}");
    drop(UnixListener::bind(dir.socket()).unwrap());
    let stale = verify(&dir.socket(), PATIENCE).unwrap_err();
    assert_eq!(stale.class, Class::Unavailable);
    assert!(stale.detail.contains("no process listens"), "{stale}");
    std::fs::remove_file(dir.socket()).unwrap();
    let _listener = UnixListener::bind(dir.socket()).unwrap();
    std::fs::set_permissions(dir.socket(), std::fs::Permissions::from_mode(0o000)).unwrap();
    let path = dir.socket();
    let denied = thread::spawn(move || {
        switch_to_unprivileged_user();
        verify(&path, PATIENCE).unwrap_err()
    });
    let denied = denied.join().unwrap();
    assert_eq!(denied.class, Class::Unavailable);
    assert!(denied.detail.contains("needs w on the socket"), "{denied}");
}

/// A process of another user listens and receives no data. As root, that user is the operating
/// system's user `nobody`; otherwise it is the test's own user, which is not trusted then.
#[test]
fn a_socket_of_another_user_receives_no_data() {
    let dir = SocketDir::new();
    let (other, trusted) = match own() {
        0 => (UNPRIVILEGED_UID, TrustedUsers { server_uid: 0, configured_uid: None }),
        uid => (uid, TrustedUsers { server_uid: uid + 1, configured_uid: Some(uid + 2) }),
    };
    let (path, (listens, ready)) = (dir.socket(), std::sync::mpsc::channel());
    let impostor = thread::spawn(move || {
        switch_to_unprivileged_user();
        let listener = UnixListener::bind(&path).unwrap();
        listens.send(()).unwrap();
        let mut seen = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut seen).unwrap();
        let mut stream = listener.accept().unwrap().0;
        read_request(&mut stream);
        stream.write_all(&allow()).unwrap();
        seen
    });
    ready.recv().unwrap();
    let failure = verify_as(&dir.socket(), trusted, "a-token", PATIENCE).unwrap_err();
    assert_eq!(failure.class, Class::UntrustedPeer);
    assert!(failure.detail.contains(&format!("runs as user {other}")), "{failure}");
    // The same process is trusted if the settings name its user.
    verify_as(
        &dir.socket(),
        TrustedUsers { configured_uid: Some(other), ..trusted },
        "a-token",
        PATIENCE,
    )
    .unwrap();
    assert_eq!(impostor.join().unwrap(), b"");
}

#[test]
fn root_the_servers_user_and_the_configured_user_are_trusted() {
    let trusted = TrustedUsers { server_uid: 70, configured_uid: Some(998) };
    assert!([0, 70, 998].into_iter().all(|uid| trusted.includes(uid)));
    assert!(!trusted.includes(71));
    assert!(!TrustedUsers { server_uid: 70, configured_uid: None }.includes(998));
}

/// As root, switches only the calling thread to the system user `nobody`: the system call affects
/// one thread.
fn switch_to_unprivileged_user() {
    if own() == 0 {
        let nobody = rustix::process::Uid::from_raw(UNPRIVILEGED_UID);
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
    }
}

/// Each test has its own directory, so a socket whose owner was changed does not remain.
#[test]
fn the_socket_may_belong_to_another_user_than_the_process() {
    if own() != 0 {
        return;
    }
    let dir = SocketDir::new();
    let verifier = dir.verifier(|mut stream| {
        read_request(&mut stream);
        stream.write_all(&allow()).unwrap();
    });
    chown(dir.socket(), Some(UNPRIVILEGED_UID), Some(UNPRIVILEGED_UID)).unwrap();
    verify(&dir.socket(), PATIENCE).unwrap();
    verifier.join().unwrap();
}
