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

use super::{Bind, MAX_CONNECTIONS, serve};
use crate::log::{AccessLog, DECISIONS};
use crate::model::Instance;
use crate::store::Store;
use crate::verifier::{ContextKeys, LoginRequest, Verifier, VerifierConfig};

const PATIENCE: Duration = Duration::from_secs(5);

/// Listener that accepts the password `open sesame`, and panics at `panic`.
struct Listener {
    address: SocketAddr,
    verifications: Arc<AtomicUsize>,
}

async fn listen() -> Listener {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let verifications = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&verifications);
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
    Listener { address, verifications }
}

/// Encodes a bind as `jane` to `orders`.
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

async fn bind_on(stream: &mut TcpStream, token: &str) -> std::io::Result<u8> {
    stream.write_all(&request(token)).await?;
    let mut start = [0; 10];
    stream.read_exact(&mut start).await?;
    let mut rest = vec![0; usize::from(start[1]) - 8];
    stream.read_exact(&mut rest).await?;
    assert_eq!(start[5], 0x61);
    Ok(start[9])
}

async fn bind(address: SocketAddr, token: &str) -> std::io::Result<u8> {
    bind_on(&mut TcpStream::connect(address).await?, token).await
}

#[tokio::test]
async fn only_allowed_logins_succeed() {
    let listener = listen().await;
    assert_eq!(bind(listener.address, "open sesame").await.unwrap(), 0);
    assert_eq!(bind(listener.address, "open says me").await.unwrap(), 49);
    let mut stream = TcpStream::connect(listener.address).await.unwrap();
    assert_eq!(bind_on(&mut stream, "x").await.unwrap(), 49);
    assert_eq!(bind_on(&mut stream, "open sesame").await.unwrap(), 0);
    assert_eq!(listener.verifications.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn failed_connections_do_not_end_the_listener() {
    let listener = listen().await;
    let noise =
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x30\x84\xff\xff\xff\xff", b"\x30", b"", &[0xff; 4096]];
    for bytes in noise {
        let mut stream = TcpStream::connect(listener.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        drop(stream);
    }
    assert!(bind(listener.address, "panic").await.is_err());
    assert_eq!(bind(listener.address, "open sesame").await.unwrap(), 0);
}

/// Idle connections take all permits. The next client waits until one times out or closes.
#[tokio::test]
async fn idle_connections_hold_one_permit_each() {
    let listener = listen().await;
    let mut idle = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        idle.push(TcpStream::connect(listener.address).await.unwrap());
    }
    let next = tokio::spawn(bind(listener.address, "open sesame"));
    sleep(Duration::from_millis(200)).await;
    assert!(!next.is_finished());
    idle.pop();
    assert_eq!(timeout(PATIENCE, next).await.unwrap().unwrap().unwrap(), 0);
}

#[tokio::test]
async fn concurrent_logins_all_get_a_response() {
    let listener = listen().await;
    let logins: Vec<_> = (0..2 * MAX_CONNECTIONS)
        .map(|n| tokio::spawn(bind(listener.address, if n % 2 == 0 { "open sesame" } else { "x" })))
        .collect();
    for (n, login) in logins.into_iter().enumerate() {
        assert_eq!(login.await.unwrap().unwrap(), if n % 2 == 0 { 0 } else { 49 });
    }
}

#[tokio::test]
async fn a_password_that_is_not_utf_8_is_in_the_access_log() {
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
