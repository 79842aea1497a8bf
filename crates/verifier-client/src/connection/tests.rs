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

use super::{Connection, Deadline, Trusted};

/// The number of `nobody` on Debian: any but root's would do.
const NOBODY: u32 = 65_534;

const NONCE: Nonce = Nonce([7; 16]);

/// What the tests of lateness give the verifier, and the most that the whole may then take on a busy machine.
const SHORT: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(3);

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        Self(place)
    }

    fn socket(&self) -> PathBuf {
        self.0.path().join("verifier.sock")
    }

    /// A verifier that takes one connection.
    fn verifier(&self, serve: impl FnOnce(UnixStream) + Send + 'static) -> JoinHandle<()> {
        let listener = UnixListener::bind(self.socket()).unwrap();
        thread::spawn(move || serve(listener.accept().unwrap().0))
    }
}

fn own() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn asked_as(path: &Path, trusted: Trusted, token: &str, within: Duration) -> Result<(), Failure> {
    let user = "jane".parse().unwrap();
    let question = VerifyRequest::new(
        NONCE,
        Engine::Postgres,
        "orders".parse().unwrap(),
        user,
        token.to_owned().into(),
    );
    round_trip(&mut Connection::open(path, trusted, Deadline::after(within))?, &question)
}

fn asked(path: &Path, within: Duration) -> Result<(), Failure> {
    asked_as(path, Trusted::new(None), "a-token", within)
}

/// The class of a refusal that has to come in time.
fn late(ask: impl FnOnce() -> Result<(), Failure>) -> Failure {
    let start = Instant::now();
    let failure = ask().unwrap_err();
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    failure
}

fn read_question(stream: &mut UnixStream) {
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
fn a_verifier_that_allows_lets_in() {
    let place = Place::new();
    let verifier = place.verifier(|mut stream| {
        read_question(&mut stream);
        stream.write_all(&allow()).unwrap();
    });
    asked(&place.socket(), PATIENCE).unwrap();
    verifier.join().unwrap();
}

#[test]
fn the_longest_token_gets_through() {
    let place = Place::new();
    let verifier = place.verifier(|mut stream| {
        read_question(&mut stream);
        stream.write_all(&allow()).unwrap();
    });
    asked_as(&place.socket(), Trusted::new(None), &"\u{1}".repeat(MAX_TOKEN), PATIENCE).unwrap();
    verifier.join().unwrap();
}

#[test]
fn a_verifier_that_hangs_costs_no_more_than_the_timeout() {
    let place = Place::new();
    let verifier = place.verifier(|mut stream| {
        // Nothing more than the end of the question comes, when the module gives up.
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
    let failure = late(|| asked(&place.socket(), SHORT));
    assert_eq!(failure.class, Class::TimedOut);
    assert!(failure.detail.contains("300 ms"), "{failure}");
    verifier.join().unwrap();
}

#[test]
fn a_verifier_that_reads_nothing_costs_no_more_than_the_timeout() {
    let place = Place::new();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let verifier = place.verifier(move |stream| {
        let _ = wait.recv();
        drop(stream);
    });
    // Escaped, it is longer than what the sockets buffer between them.
    let token = "\u{1}".repeat(MAX_TOKEN);
    assert_eq!(
        late(|| asked_as(&place.socket(), Trusted::new(None), &token, SHORT)).class,
        Class::TimedOut
    );
    drop(done);
    verifier.join().unwrap();
}

#[test]
fn bytes_that_dribble_in_extend_nothing() {
    let place = Place::new();
    let verifier = place.verifier(|mut stream| {
        read_question(&mut stream);
        for byte in allow() {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(SHORT / 6);
        }
    });
    assert_eq!(late(|| asked(&place.socket(), SHORT)).class, Class::TimedOut);
    verifier.join().unwrap();
}

#[test]
fn a_full_queue_costs_no_more_than_the_timeout() {
    let place = Place::new();
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
    bind(&listener, &SocketAddrUnix::new(place.socket()).unwrap()).unwrap();
    listen(&listener, 0).unwrap();
    // A queue of length 0 takes one; nobody accepts it.
    let _first = UnixStream::connect(place.socket()).unwrap();
    let failure = late(|| asked(&place.socket(), SHORT));
    assert_eq!(failure.class, Class::TimedOut);
    assert!(failure.detail.contains("did not accept"), "{failure}");
}

#[test]
fn garbage_and_half_answers_are_no_answer() {
    let whole = allow();
    let answers: [(&[u8], Class); 6] = [
        (b"", Class::Unavailable),
        (b"HTTP/1.1 200 OK\r\n\r\n", Class::Protocol),
        (&[0, 0, 0, 2, b'{', b'}'], Class::Protocol),
        (&[0, 0, 0, 200, b'{'], Class::Unavailable),
        (&[255; 64], Class::Protocol),
        (&whole[..whole.len() - 1], Class::Unavailable),
    ];
    for (answer, class) in answers {
        let place = Place::new();
        let bytes = answer.to_vec();
        let verifier = place.verifier(move |mut stream| {
            read_question(&mut stream);
            stream.write_all(&bytes).unwrap();
        });
        assert_eq!(late(|| asked(&place.socket(), PATIENCE)).class, class, "{answer:?}");
        verifier.join().unwrap();
    }
}

#[test]
fn a_verifier_that_hangs_up_is_an_error() {
    let place = Place::new();
    let verifier = place.verifier(drop);
    // Longer than the sockets buffer, so that the module still writes when the other end is gone.
    let token = "\u{1}".repeat(MAX_TOKEN);
    assert_eq!(
        late(|| asked_as(&place.socket(), Trusted::new(None), &token, PATIENCE)).class,
        Class::Unavailable
    );
    verifier.join().unwrap();
}

#[test]
fn no_socket_nobody_listening_and_no_access_say_what_to_look_at() {
    let place = Place::new();
    let missing = asked(&place.socket(), PATIENCE).unwrap_err();
    assert_eq!(missing.class, Class::Unavailable);
    assert!(missing.detail.contains("no such socket"), "{missing}");
    drop(UnixListener::bind(place.socket()).unwrap());
    let stale = asked(&place.socket(), PATIENCE).unwrap_err();
    assert_eq!(stale.class, Class::Unavailable);
    assert!(stale.detail.contains("nobody listens"), "{stale}");
    std::fs::remove_file(place.socket()).unwrap();
    let _listener = UnixListener::bind(place.socket()).unwrap();
    std::fs::set_permissions(place.socket(), std::fs::Permissions::from_mode(0o000)).unwrap();
    let path = place.socket();
    let barred = thread::spawn(move || {
        become_nobody();
        asked(&path, PATIENCE).unwrap_err()
    });
    let barred = barred.join().unwrap();
    assert_eq!(barred.class, Class::Unavailable);
    assert!(barred.detail.contains("needs w on the socket"), "{barred}");
}

/// Another user's process listens, and sees not one byte. As root that user is `nobody`; otherwise it is this one, and
/// whoever asks is taken for another.
#[test]
fn a_socket_of_another_user_is_told_nothing() {
    let place = Place::new();
    let (other, trusted) = match own() {
        0 => (NOBODY, Trusted { own: 0, named: None }),
        uid => (uid, Trusted { own: uid + 1, named: Some(uid + 2) }),
    };
    let (path, (listens, ready)) = (place.socket(), std::sync::mpsc::channel());
    let impostor = thread::spawn(move || {
        become_nobody();
        let listener = UnixListener::bind(&path).unwrap();
        listens.send(()).unwrap();
        let mut seen = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut seen).unwrap();
        let mut stream = listener.accept().unwrap().0;
        read_question(&mut stream);
        stream.write_all(&allow()).unwrap();
        seen
    });
    ready.recv().unwrap();
    let failure = asked_as(&place.socket(), trusted, "a-token", PATIENCE).unwrap_err();
    assert_eq!(failure.class, Class::UntrustedPeer);
    assert!(failure.detail.contains(&format!("user {other} listens")), "{failure}");
    // Named in the settings, the same process is the verifier.
    asked_as(&place.socket(), Trusted { named: Some(other), ..trusted }, "a-token", PATIENCE)
        .unwrap();
    assert_eq!(impostor.join().unwrap(), b"");
}

#[test]
fn root_the_own_user_and_the_named_one_are_trusted() {
    let trusted = Trusted { own: 70, named: Some(998) };
    assert!([0, 70, 998].into_iter().all(|uid| trusted.includes(uid)));
    assert!(!trusted.includes(71));
    assert!(!Trusted { own: 70, named: None }.includes(998));
}

/// Where this is root, the calling thread alone goes on as `nobody`: the system call is about one thread.
fn become_nobody() {
    if own() == 0 {
        let nobody = rustix::process::Uid::from_raw(NOBODY);
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
    }
}

/// A directory is made anew for each test, so a socket that a test changed hands of never stays.
#[test]
fn the_socket_may_belong_to_another_user_than_the_process() {
    if own() != 0 {
        return;
    }
    let place = Place::new();
    let verifier = place.verifier(|mut stream| {
        read_question(&mut stream);
        stream.write_all(&allow()).unwrap();
    });
    chown(place.socket(), Some(NOBODY), Some(NOBODY)).unwrap();
    asked(&place.socket(), PATIENCE).unwrap();
    verifier.join().unwrap();
}
