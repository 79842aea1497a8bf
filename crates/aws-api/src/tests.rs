//! Requests to the API over a connection, signed as AWS clients sign them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::region::Partition;
use countersign_core::sigv4::{Identity as Signing, Normalization, Payload, Request, Signer};
use countersign_core::token::KeyStatus;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use countersign_http_server::Limits;

use crate::http::{LIMITS, MAX_OPEN, serve_within};
use countersign_authority::log::AccessLog;
use countersign_authority::model::{Identity, IdentityKind};
use countersign_authority::store::{NewIdentity, SessionRequest, Store};
use countersign_authority::verifier::{ContextKeys, Verifier, VerifierConfig};

/// Short limits for the tests of timeouts, and the time that anything may take on a busy machine.
const SHORT: Limits = Limits {
    lifetime: Duration::from_millis(1500),
    head_timeout: Duration::from_millis(400),
    body_timeout: Duration::from_millis(400),
    ..LIMITS
};
const PATIENCE: Duration = Duration::from_secs(5);

/// Start of a request.
const HALF: &[u8] = b"POST / HTTP/1.1\r\nhost: x\r\n";

const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

struct Api {
    _directory: TempDir,
    verifier: Arc<Verifier>,
    address: String,
    identity: Identity,
    key: Credentials,
}

async fn api() -> Api {
    api_within(LIMITS).await
}

async fn api_within(limits: Limits) -> Api {
    let directory = TempDir::new().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let account = "123456789012".parse().unwrap();
    store.ensure_account(&account, Partition::Aws).unwrap();
    let identity = Identity::new(account, IdentityKind::User, "jane").unwrap();
    let made = store.create_identity(
        &NewIdentity { identity: &identity, trust: None, policy: None },
        SystemTime::now(),
    );
    let key = made.unwrap().unwrap();
    let log = AccessLog::open(directory.path()).unwrap();
    let verifier = Arc::new(Verifier::new(
        store,
        log,
        VerifierConfig { limit: None, context_keys: ContextKeys::AsRds },
    ));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(serve_within(
        listener,
        Arc::new(super::Api::new(
            Arc::clone(&verifier),
            countersign_authority::oidc::fetch::Fetcher::new(&[]).unwrap(),
            countersign_authority::issuer::DEFAULT_URL,
        )),
        limits,
    ));
    Api { _directory: directory, verifier, address, identity, key }
}

/// Parameters of a signature.
struct Signed<'a> {
    key: &'a Credentials,
    body: &'a str,
    service: &'a str,
    now: SystemTime,
}

impl Api {
    fn signed<'a>(&self, key: &'a Credentials) -> Signed<'a> {
        Signed { key, body: BODY, service: "sts", now: SystemTime::now() }
    }

    async fn send(&self, signed: &Signed<'_>) -> (u16, String) {
        let kind = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
        let headers = [kind, ("host", self.address.as_str())];
        let payload = Payload::Body(signed.body.as_bytes());
        let request = Request { method: "POST", path: "/", query: "", headers: &headers, payload };
        let signer = Signer {
            identity: Signing::Whole(signed.key),
            region: "us-east-1",
            service: signed.service,
            normalization: Normalization::Rfc3986,
            now: signed.now,
        };
        let added = signer.sign_by_header(&request).unwrap();
        let lines: String = headers
            .iter()
            .copied()
            .chain(added.iter().map(|(name, value)| (*name, value.as_str())))
            .map(|(n, v)| format!("{n}: {v}\r\n"))
            .collect();
        self.raw(&format!(
            "POST / HTTP/1.1\r\n{lines}content-length: {}\r\nconnection: close\r\n\r\n{}",
            signed.body.len(),
            signed.body
        ))
        .await
    }

    /// Opens a connection and sends `bytes`.
    async fn open(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    async fn raw(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }
}

#[tokio::test]
async fn a_signed_request_returns_the_caller_identity() {
    let api = api().await;
    let (status, answer) = api.send(&api.signed(&api.key)).await;
    assert_eq!(status, 200, "{answer}");
    assert!(
        answer.contains("<Arn>arn:aws:iam::123456789012:user/jane</Arn>")
            && answer.contains("<Account>123456789012</Account>"),
        "{answer}"
    );

    let request = SessionRequest {
        identity: &api.identity,
        name: None,
        duration: Duration::from_secs(60),
        policy: None,
    };
    let session = api.verifier.store().create_session(&request, SystemTime::now()).unwrap();
    assert_eq!(api.send(&api.signed(&session)).await.0, 200);
}

#[tokio::test]
async fn rejected_requests_have_aws_error_codes_and_statuses() {
    let api = api().await;
    let other_secret = Credentials { secret: Secret::new("other").unwrap(), ..api.key.clone() };
    let other_key =
        Credentials { access_key_id: "AKIAUNKNOWN".parse().unwrap(), ..api.key.clone() };
    let token_too_many = Credentials { session_token: Secret::new("x"), ..api.key.clone() };
    let request = SessionRequest {
        identity: &api.identity,
        name: None,
        duration: Duration::ZERO,
        policy: None,
    };
    let ended = api.verifier.store().create_session(&request, SystemTime::now()).unwrap();
    let good = || api.signed(&api.key);
    let hour = Duration::from_secs(3600);
    for (signed, status, code) in [
        (Signed { key: &other_secret, ..good() }, 403, "SignatureDoesNotMatch"),
        (Signed { key: &other_key, ..good() }, 403, "InvalidClientTokenId"),
        (Signed { key: &token_too_many, ..good() }, 403, "InvalidClientTokenId"),
        (Signed { key: &ended, ..good() }, 403, "ExpiredToken"),
        (Signed { service: "rds", ..good() }, 403, "SignatureDoesNotMatch"),
        (Signed { now: SystemTime::now() - hour, ..good() }, 403, "SignatureDoesNotMatch"),
        (Signed { now: SystemTime::now() + hour, ..good() }, 403, "SignatureDoesNotMatch"),
        (Signed { body: "Action=GetFish&Version=2011-06-15", ..good() }, 400, "InvalidAction"),
        (Signed { body: "Version=2011-06-15", ..good() }, 400, "MissingAction"),
        (Signed { body: "Action=GetCallerIdentity", ..good() }, 400, "InvalidAction"),
    ] {
        let (actual, answer) = api.send(&signed).await;
        assert!(
            actual == status && answer.contains(&format!("<Code>{code}</Code>")),
            "{status} {code}: {answer}"
        );
    }
    let (status, answer) = api
        .raw("GET /?Action=GetCallerIdentity HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await;
    assert!(status == 403 && answer.contains("MissingAuthenticationToken"), "{answer}");
    let (status, _) = api
        .raw(&format!(
            "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 70000\r\n\r\n{}",
            "x".repeat(70_000)
        ))
        .await;
    assert_eq!(status, 413);
    api.verifier.store().set_key_status(&api.key.access_key_id, KeyStatus::Inactive).unwrap();
    assert_eq!(api.send(&good()).await.0, 403);
}

/// Reads until the server closes or resets the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let _reset =
        timeout(PATIENCE, stream.read_to_end(&mut heard)).await.expect("the connection is cut");
    String::from_utf8(heard).unwrap()
}

#[tokio::test]
async fn incomplete_requests_time_out_and_others_are_served() {
    let api = api_within(SHORT).await;
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(api.open(HALF).await);
    }
    let (status, answer) =
        timeout(PATIENCE, api.send(&api.signed(&api.key))).await.expect("a turn");
    assert_eq!(status, 200, "{answer}");
    for stream in &mut held {
        assert_eq!(rest(stream).await, "");
    }
}

#[tokio::test]
async fn slow_connections_are_evicted_while_others_are_served() {
    let api = api().await;
    let mut held = Vec::new();
    for at in 0..2 * MAX_OPEN {
        held.push(api.open(HALF).await);
        if at % 100 == 99 {
            assert_eq!(api.send(&api.signed(&api.key)).await.0, 200, "after {at}");
        }
    }
    assert_eq!(rest(&mut held[0]).await, "", "the first is evicted");
    let last = held.last_mut().unwrap();
    last.write_all(b"connection: close\r\n\r\n").await.unwrap();
    assert!(rest(last).await.starts_with("HTTP/1.1 403 "), "the last is not evicted");
}

#[tokio::test]
async fn slow_heads_and_idle_connections_time_out() {
    let api = api_within(SHORT).await;
    let start = Instant::now();
    let mut dribbling = api.open(HALF).await;
    while dribbling.write_all(b"a: b\r\n").await.is_ok() {
        assert!(start.elapsed() < PATIENCE);
        sleep(SHORT.head_timeout / 8).await;
    }
    let mut idle = api.open(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(rest(&mut idle).await.starts_with("HTTP/1.1 403 "));
    assert_eq!(rest(&mut api.open(b"").await).await, "");
}

#[tokio::test]
async fn a_slow_body_times_out() {
    let api = api_within(SHORT).await;
    let (mut reader, mut writer) =
        api.open(&[HALF, b"content-length: 1000\r\n\r\n"].concat()).await.into_split();
    let dribbling = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            sleep(SHORT.body_timeout / 8).await;
        }
    });
    let mut heard = Vec::new();
    let _reset =
        timeout(PATIENCE, reader.read_to_end(&mut heard)).await.expect("the connection is cut");
    let heard = String::from_utf8(heard).unwrap();
    assert!(
        heard.starts_with("HTTP/1.1 408 ") && heard.contains("<Code>RequestTimeout</Code>"),
        "{heard}"
    );
    timeout(PATIENCE, dribbling).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_is_closed_after_its_maximum_lifetime() {
    let api = api_within(SHORT).await;
    let start = Instant::now();
    let mut busy = api.open(b"").await;
    let mut answer = [0; 4096];
    while busy.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.is_ok()
        && busy.read(&mut answer).await.is_ok_and(|read| read > 0)
    {
        assert!(start.elapsed() < PATIENCE);
        sleep(SHORT.head_timeout / 4).await;
    }
    assert!(start.elapsed() >= SHORT.lifetime / 2);
}

#[tokio::test]
async fn too_many_headers_are_rejected() {
    let api = api().await;
    let many = "a: b\r\n".repeat(1000);
    let long = format!("a: {}\r\n", "b".repeat(100_000));
    for flood in [many, long] {
        let mut stream = TcpStream::connect(&api.address).await.unwrap();
        // The server may close the connection before all is sent.
        let _reset = stream
            .write_all(&[HALF, flood.as_bytes(), b"connection: close\r\n\r\n"].concat())
            .await;
        let answer = rest(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    assert_eq!(api.send(&api.signed(&api.key)).await.0, 200);
}

#[tokio::test]
async fn a_body_of_maximum_size_is_accepted() {
    let api = api().await;
    let action = format!("{BODY}&x=");
    let body = format!("{action}{}", "x".repeat(LIMITS.max_body - action.len()));
    let (status, answer) = api.send(&Signed { body: &body, ..api.signed(&api.key) }).await;
    assert!(
        status == 400 && answer.contains("The parameter x of GetCallerIdentity is unknown"),
        "{answer}"
    );
    let endless = format!(
        "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n11000\r\n{}\r\n",
        "x".repeat(0x11000)
    );
    assert_eq!(api.raw(&endless).await.0, 413);
}
