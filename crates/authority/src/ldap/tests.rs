use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use countersign_core::audit::AuditRecord;
use countersign_core::failure::{AuditOutcome, Class, Failure};
use countersign_core::name::Engine;
use countersign_core::region::Partition;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::{Bind, MAX_OPEN, serve};
use crate::log::{AccessLog, DECISIONS};
use crate::model::Instance;
use crate::store::Store;
use crate::verifier::{ContextKeys, LoginRequest, Verifier, VerifierConfig};

const PATIENCE: Duration = Duration::from_secs(5);

/// A front that lets in whoever says `open sesame`, and panics at `panic`.
struct Front {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

async fn front() -> Front {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let verify = move |bind: Bind| {
        count.fetch_add(1, Ordering::Relaxed);
        async move {
            sleep(Duration::from_millis(5)).await;
            match bind.token.as_str() {
                "open sesame" => Ok(()),
                "panic" => panic!("a test panics on purpose"),
                _ => Err(Failure::new(Class::SignatureMismatch, "a test")),
            }
        }
    };
    tokio::spawn(serve(listener, verify));
    Front { address, asked }
}

/// Binds as `jane` on `orders`.
fn request(token: &str) -> Vec<u8> {
    let length = u8::try_from(token.len()).unwrap();
    [
        &[0x30, length + 29, 2, 1, 1, 0x60, length + 24, 2, 1, 3, 4, 17],
        &b"cn=jane,dc=orders"[..],
        &[0x80, length],
        token.as_bytes(),
    ]
    .concat()
}

async fn bound(stream: &mut TcpStream, token: &str) -> std::io::Result<u8> {
    stream.write_all(&request(token)).await?;
    let mut start = [0; 10];
    stream.read_exact(&mut start).await?;
    let mut rest = vec![0; usize::from(start[1]) - 8];
    stream.read_exact(&mut rest).await?;
    assert_eq!(start[5], 0x61);
    Ok(start[9])
}

async fn login(address: SocketAddr, token: &str) -> std::io::Result<u8> {
    bound(&mut TcpStream::connect(address).await?, token).await
}

#[tokio::test]
async fn whom_the_verifier_allows_gets_in_and_nobody_else() {
    let front = front().await;
    assert_eq!(login(front.address, "open sesame").await.unwrap(), 0);
    assert_eq!(login(front.address, "open says me").await.unwrap(), 49);
    let mut stream = TcpStream::connect(front.address).await.unwrap();
    assert_eq!(bound(&mut stream, "x").await.unwrap(), 49);
    assert_eq!(bound(&mut stream, "open sesame").await.unwrap(), 0);
    assert_eq!(front.asked.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn no_connection_ends_the_front() {
    let front = front().await;
    let noise =
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x30\x84\xff\xff\xff\xff", b"\x30", b"", &[0xff; 4096]];
    for bytes in noise {
        let mut stream = TcpStream::connect(front.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        drop(stream);
    }
    assert!(login(front.address, "panic").await.is_err());
    assert_eq!(login(front.address, "open sesame").await.unwrap(), 0);
}

/// As many as there are slots hang; the next waits until one of them has hung for too long or hangs up.
#[tokio::test]
async fn hanging_connections_hold_a_slot_and_no_more() {
    let front = front().await;
    let mut hanging = Vec::new();
    for _ in 0..MAX_OPEN {
        hanging.push(TcpStream::connect(front.address).await.unwrap());
    }
    let next = tokio::spawn(login(front.address, "open sesame"));
    sleep(Duration::from_millis(200)).await;
    assert!(!next.is_finished());
    hanging.pop();
    assert_eq!(timeout(PATIENCE, next).await.unwrap().unwrap().unwrap(), 0);
}

#[tokio::test]
async fn logins_at_once_are_all_answered() {
    let front = front().await;
    let logins: Vec<_> = (0..2 * MAX_OPEN)
        .map(|n| tokio::spawn(login(front.address, if n % 2 == 0 { "open sesame" } else { "x" })))
        .collect();
    for (n, login) in logins.into_iter().enumerate() {
        assert_eq!(login.await.unwrap().unwrap(), if n % 2 == 0 { 0 } else { 49 });
    }
}

#[tokio::test]
async fn a_password_that_is_no_text_is_in_the_access_log() {
    let directory = TempDir::new().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let account = "123456789012".parse().unwrap();
    store.ensure_account(&account, Partition::Aws).unwrap();
    let instance = Instance {
        name: "orders".parse().unwrap(),
        account,
        resource_id: "db-ABC".parse().unwrap(),
        engine: Engine::Postgres,
        region: "us-east-1".parse().unwrap(),
        iam_enabled: true,
        addresses: vec![],
    };
    store.put_instance(&instance).unwrap();
    let log = AccessLog::open(directory.path()).unwrap();
    let verifier = Arc::new(Verifier::new(
        store,
        log,
        VerifierConfig { limit: None, context_keys: ContextKeys::AsRds },
    ));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, move |bind: Bind| {
        let Bind { instance, user, token } = &bind;
        let login = LoginRequest {
            engine: Engine::Postgres,
            instance,
            user,
            token,
            client: None,
            tls: None,
        };
        std::future::ready(verifier.decide(&login, SystemTime::now()).map(drop))
    }));

    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut request = request("??");
    let at = request.len() - 2;
    request[at..].copy_from_slice(b"\xff\xfe");
    stream.write_all(&request).await.unwrap();
    let mut start = [0; 10];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(start[9], 49);
    let text = std::fs::read_to_string(directory.path().join(DECISIONS)).unwrap();
    let record: AuditRecord = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!(
        (record.outcome, record.class, record.user.as_str()),
        (AuditOutcome::Denied, Some(Class::Malformed), "jane")
    );
}
