//! Against real servers of HTTP and HTTPS on this machine.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::{IssuerError, IssuerKeyCache, Pace, USUAL};
use crate::oidc::fetch::{FetchError, Fetcher};
use crate::oidc::issuer_key::{IssuerKey, jwks_document};

/// So short that each question is asked anew.
const HASTY: Pace = Pace { least: Duration::ZERO, most: Duration::ZERO };

/// An issuer whose two documents a test may change, and which counts how often it is asked.
#[derive(Default)]
struct Published {
    discovery: Mutex<Option<Response<String>>>,
    keys: Mutex<String>,
    asked: AtomicUsize,
}

struct Server {
    issuer: String,
    published: Arc<Published>,
}

fn answer(request: &Request<Incoming>, issuer: &str, published: &Published) -> Response<String> {
    published.asked.fetch_add(1, Ordering::SeqCst);
    let found = |document: &Value| Response::new(document.to_string());
    match request.uri().path() {
        "/id/.well-known/openid-configuration" => {
            let other = published.discovery.lock().unwrap().take();
            other.unwrap_or_else(|| {
                found(&json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/keys") }))
            })
        }
        "/id/keys" => Response::new(published.keys.lock().unwrap().clone()),
        _ => Response::builder().status(404).body(String::new()).unwrap(),
    }
}

async fn serve() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let issuer = format!("http://{}/id", listener.local_addr().unwrap());
    let published = Arc::new(Published::default());
    *published.keys.lock().unwrap() = json!({ "keys": [] }).to_string();
    let server = Server { issuer: issuer.clone(), published: Arc::clone(&published) };
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (issuer, published) = (issuer.clone(), Arc::clone(&published));
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let response = answer(&request, &issuer, &published);
                    async move { Ok::<_, Infallible>(response) }
                });
                let _closed =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    server
}

impl Server {
    fn publish(&self, keys: &[&IssuerKey]) {
        *self.published.keys.lock().unwrap() = jwks_document(keys.iter().copied()).to_string();
    }

    /// Answers the next question for the discovery document so.
    fn next(&self, discovery: Response<String>) {
        *self.published.discovery.lock().unwrap() = Some(discovery);
    }

    fn asked(&self) -> usize {
        self.published.asked.load(Ordering::SeqCst)
    }
}

fn issuers(pace: Pace) -> IssuerKeyCache {
    IssuerKeyCache::at_pace(Fetcher::new(&[]).unwrap(), pace)
}

#[tokio::test]
async fn keys_are_fetched_once_and_kept() {
    let (server, key) = (serve().await, IssuerKey::generate().unwrap());
    server.publish(&[&key]);
    let issuers = issuers(USUAL);
    for _ in 0..3 {
        assert!(issuers.keys(&server.issuer, key.id()).await.unwrap().has(key.id()));
    }
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_but_not_more_often_than_the_pace_allows() {
    let [old, new] = [(); 2].map(|()| IssuerKey::generate().unwrap());
    let server = serve().await;
    server.publish(&[&old]);
    let issuers = issuers(Pace { least: Duration::from_millis(300), ..USUAL });
    issuers.keys(&server.issuer, old.id()).await.unwrap();
    server.publish(&[&old, &new]);
    for _ in 0..10 {
        issuers.keys(&server.issuer, "made up").await.unwrap();
    }
    let asked = server.asked();
    assert!(asked <= 4, "asked {asked} times");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !issuers.keys(&server.issuer, new.id()).await.unwrap().has(new.id()) {
        assert!(tokio::time::Instant::now() < deadline, "the new key never comes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn failures_are_kept_for_a_while_too() {
    let server = serve().await;
    let issuers = issuers(USUAL);
    server.next(Response::builder().status(500).body(String::new()).unwrap());
    for _ in 0..3 {
        let error = issuers.keys(&server.issuer, "key").await.unwrap_err();
        assert!(matches!(error, IssuerError::Fetch { .. }), "{error}");
        assert_eq!(error.aws_code(), "IDPCommunicationError");
    }
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn an_issuer_that_lies_or_leads_elsewhere_is_refused() {
    let (server, other) = (serve().await, serve().await);
    let issuers = issuers(HASTY);
    let redirect = Response::builder()
        .status(302)
        .header("location", format!("{}/keys", other.issuer))
        .body(String::new())
        .unwrap();
    let document = |issuer: &str, keys: &str| {
        Response::new(json!({ "issuer": issuer, "jwks_uri": keys }).to_string())
    };
    let own = server.issuer.as_str();
    for (response, expected) in [
        (redirect, "redirects are not followed"),
        (document(&other.issuer, &format!("{own}/keys")), "names another issuer"),
        (document(&format!("{own}/"), &format!("{own}/keys")), "names another issuer"),
        (document(own, "http://192.0.2.1/keys"), "the URL is not https"),
        (document(own, "file:///etc/passwd"), "the URL is not https"),
        (document(own, "/id/keys"), "the URL is not https"),
        (Response::new("{}".to_owned()), "is not JSON with"),
        (
            Response::new(format!(
                r#"{{"issuer": "x", "issuer": "{own}", "jwks_uri": "{own}/keys"}}"#
            )),
            "is not JSON with",
        ),
        (Response::new(" ".repeat(300_000)), "longer than 262144 bytes"),
        (document(own, &format!("{own}/.well-known/openid-configuration")), "not a JWK set"),
        (document(own, &format!("{own}/nowhere")), "status 404"),
    ] {
        server.next(response);
        let error = issuers.keys(own, "key").await.unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert_eq!(other.asked(), 0);
    assert!(issuers.keys(own, "key").await.is_ok());
}

#[tokio::test]
async fn only_safe_issuers_are_asked_at_all() {
    let issuers = issuers(USUAL);
    let long = format!("https://issuer.example/{}", "x".repeat(255));
    for issuer in [
        "",
        "issuer.example",
        "http://issuer.example",
        "http://192.0.2.1/id",
        "http://localhost.evil.example",
        "http://127.0.0.1@evil.example/",
        "https://user@issuer.example",
        "https:///id",
        "https://issuer.example/?a=b",
        "https://issuer.example/#a",
        "ftp://issuer.example",
        "file:///etc/passwd",
        &long,
    ] {
        assert!(matches!(issuers.keys(issuer, "key").await, Err(IssuerError::Url)), "{issuer}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let bounds =
        crate::oidc::fetch::FetchLimits { timeout: Duration::from_millis(200), max_size: 100 };
    let error = Fetcher::new(&[]).unwrap().get(&url, &[], bounds).await.unwrap_err();
    assert!(matches!(error, FetchError::TimedOut(_)), "{error}");
}

/// The certificate must be of a CA that is trusted, and for the name that was asked for.
#[tokio::test]
async fn tls_is_verified() {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new([]).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = ca.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::from_params(&ca, &ca_key);
    let server_key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(["localhost".to_owned()])
        .unwrap()
        .signed_by(&server_key, &issuer)
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(server_key.serialize_der());
    let tls = Arc::new(
        tls.with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap(),
    );

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) =
                tokio_rustls::TlsAcceptor::from(Arc::clone(&tls)).accept(stream).await
            else {
                continue;
            };
            let _cut = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
                .await;
            let _cut = stream.shutdown().await;
        }
    });
    let trusting = Fetcher::new(&[authority.der().clone()]).unwrap();
    let bounds = crate::oidc::fetch::FetchLimits { timeout: Duration::from_secs(5), max_size: 100 };
    assert_eq!(
        trusting.get(&format!("https://localhost:{port}/"), &[], bounds).await.unwrap(),
        b"ok"
    );
    for (fetcher, host) in [(&trusting, "127.0.0.1"), (&Fetcher::new(&[]).unwrap(), "localhost")] {
        let error = fetcher.get(&format!("https://{host}:{port}/"), &[], bounds).await.unwrap_err();
        assert!(matches!(error, FetchError::Unreachable(_)), "{error}");
    }
}
