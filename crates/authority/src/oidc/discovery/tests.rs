//! Tests with HTTP and HTTPS servers on this machine.

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

use super::{IssuerError, IssuerKeyCache, RefreshPolicy};
use crate::oidc::fetch::{FetchError, Fetcher};
use crate::oidc::issuer_key::{IssuerKey, jwks_document};

/// Policy under which each call sends a request.
const NO_CACHE: RefreshPolicy =
    RefreshPolicy { min_interval: Duration::ZERO, max_age: Duration::ZERO };

/// Documents of a test issuer, and the number of requests for them.
#[derive(Default)]
struct Published {
    discovery: Mutex<Option<Response<String>>>,
    keys: Mutex<String>,
    requests: AtomicUsize,
}

struct Server {
    issuer: String,
    published: Arc<Published>,
}

fn respond(request: &Request<Incoming>, issuer: &str, published: &Published) -> Response<String> {
    published.requests.fetch_add(1, Ordering::SeqCst);
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
                    let response = respond(&request, &issuer, &published);
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

    /// Responds to the next request for the discovery document with `discovery`.
    fn next(&self, discovery: Response<String>) {
        *self.published.discovery.lock().unwrap() = Some(discovery);
    }

    fn request_count(&self) -> usize {
        self.published.requests.load(Ordering::SeqCst)
    }
}

fn key_cache(policy: RefreshPolicy) -> IssuerKeyCache {
    IssuerKeyCache::with_policy(Fetcher::new(&[]).unwrap(), policy)
}

#[tokio::test]
async fn keys_are_fetched_once_and_cached() {
    let (server, key) = (serve().await, IssuerKey::generate().unwrap());
    server.publish(&[&key]);
    let cache = key_cache(RefreshPolicy::DEFAULT);
    for _ in 0..3 {
        assert!(cache.keys(&server.issuer, key.id()).await.unwrap().has(key.id()));
    }
    assert_eq!(server.request_count(), 2);
}

#[tokio::test]
async fn an_unknown_key_causes_requests_at_the_minimum_interval_only() {
    let [old, new] = [(); 2].map(|()| IssuerKey::generate().unwrap());
    let server = serve().await;
    server.publish(&[&old]);
    let policy =
        RefreshPolicy { min_interval: Duration::from_millis(300), ..RefreshPolicy::DEFAULT };
    let cache = key_cache(policy);
    cache.keys(&server.issuer, old.id()).await.unwrap();
    server.publish(&[&old, &new]);
    for _ in 0..10 {
        cache.keys(&server.issuer, "made up").await.unwrap();
    }
    let requests = server.request_count();
    assert!(requests <= 4, "{requests} requests");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !cache.keys(&server.issuer, new.id()).await.unwrap().has(new.id()) {
        assert!(tokio::time::Instant::now() < deadline, "the new key is not fetched");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn failures_are_cached_too() {
    let server = serve().await;
    let cache = key_cache(RefreshPolicy::DEFAULT);
    server.next(Response::builder().status(500).body(String::new()).unwrap());
    for _ in 0..3 {
        let error = cache.keys(&server.issuer, "key").await.unwrap_err();
        assert!(matches!(error, IssuerError::Fetch { .. }), "{error}");
        assert_eq!(error.aws_code(), "IDPCommunicationError");
    }
    assert_eq!(server.request_count(), 1);
}

#[tokio::test]
async fn wrong_discovery_documents_and_redirects_are_rejected() {
    let (server, other) = (serve().await, serve().await);
    let cache = key_cache(NO_CACHE);
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
        (document(own, "http://192.0.2.1/keys"), "URL is not https"),
        (document(own, "file:///etc/passwd"), "URL is not https"),
        (document(own, "/id/keys"), "URL is not https"),
        (Response::new("{}".to_owned()), "not JSON with"),
        (
            Response::new(format!(
                r#"{{"issuer": "x", "issuer": "{own}", "jwks_uri": "{own}/keys"}}"#
            )),
            "not JSON with",
        ),
        (Response::new(" ".repeat(300_000)), "exceeds 262144 bytes"),
        (document(own, &format!("{own}/.well-known/openid-configuration")), "not a JWK set"),
        (document(own, &format!("{own}/nowhere")), "status 404"),
    ] {
        server.next(response);
        let error = cache.keys(own, "key").await.unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert_eq!(other.request_count(), 0);
    assert!(cache.keys(own, "key").await.is_ok());
}

#[tokio::test]
async fn unsafe_issuer_urls_are_rejected_without_a_request() {
    let cache = key_cache(RefreshPolicy::DEFAULT);
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
        assert!(matches!(cache.keys(issuer, "key").await, Err(IssuerError::Url)), "{issuer}");
    }
}

#[tokio::test]
async fn a_silent_server_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let bounds =
        crate::oidc::fetch::FetchLimits { timeout: Duration::from_millis(200), max_size: 100 };
    let error = Fetcher::new(&[]).unwrap().get(&url, &[], bounds).await.unwrap_err();
    assert!(matches!(error, FetchError::TimedOut(_)), "{error}");
}

/// The certificate must come from a trusted CA and be valid for the requested name.
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
            let _closed = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
                .await;
            let _closed = stream.shutdown().await;
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
