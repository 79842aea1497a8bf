//! Fetching a small document from somebody else's server: over TLS, with bounds, and without following it elsewhere.

use std::fmt;
use std::future::poll_fn;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

/// How long a connection that nobody uses stays open.
const IDLE: Duration = Duration::from_secs(30);

/// Why there is no document: a sentence for the log, which repeats no URL.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Neither https, nor http to this machine.
    #[error("the URL is not https://HOST/…, or http:// to a loopback address")]
    Url,
    /// There is no TLS.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// Nobody answered, or not as HTTP has it.
    #[error("the server can't be reached: {0}")]
    Unreachable(String),
    /// It took too long.
    #[error("the server did not answer within {0:?}")]
    TimedOut(Duration),
    /// Something else than 200, a redirect perhaps.
    #[error(
        "the server answered with status {0}; only 200 will do, and redirects are not followed"
    )]
    Status(u16),
    /// It is too long, or broke off.
    #[error("the answer is longer than {0} bytes, or broke off")]
    Body(usize),
}

/// The bounds of one fetch.
#[derive(Debug, Clone, Copy)]
pub struct FetchLimits {
    /// For everything, from the look-up of the name to the last byte.
    pub timeout: Duration,
    /// The longest answer, in bytes.
    pub max_size: usize,
}

/// Fetches over HTTPS. Clones share their connections.
#[derive(Clone)]
pub struct Fetcher(Client<HttpsConnector<HttpConnector>, String>);

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fetcher")
    }
}

impl Fetcher {
    /// Trusts the system's certificate authorities (or those of `SSL_CERT_FILE`), and `more`.
    ///
    /// # Errors
    /// [`FetchError::Tls`]
    pub fn new(more: &[CertificateDer<'static>]) -> Result<Self, FetchError> {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::warn!(%error, "some of the system's certificate authorities can't be read");
        }
        roots.add_parsable_certificates(system.certs);
        for root in more {
            roots.add(root.clone())?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = tls.with_root_certificates(roots).with_no_client_auth();
        // `get` is what refuses plain HTTP to others.
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_idle_timeout(IDLE).pool_timer(TokioTimer::new()).http1_max_buf_size(64 * 1024);
        Ok(Self(client.build(connector)))
    }

    /// The body of the answer to a GET.
    ///
    /// # Errors
    /// Every [`FetchError`] but `Tls`.
    pub async fn get(
        &self,
        url: &str,
        headers: &[(HeaderName, &str)],
        bounds: FetchLimits,
    ) -> Result<Vec<u8>, FetchError> {
        let uri: Uri = url.parse().map_err(|_| FetchError::Url)?;
        if !is_safe(&uri) {
            return Err(FetchError::Url);
        }
        let mut request = Request::new(String::new());
        *request.uri_mut() = uri;
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(name, HeaderValue::from_str(value).map_err(|_| FetchError::Url)?);
        }
        timeout(bounds.timeout, self.answer(request, bounds.max_size))
            .await
            .map_err(|_| FetchError::TimedOut(bounds.timeout))?
    }

    async fn answer(&self, request: Request<String>, size: usize) -> Result<Vec<u8>, FetchError> {
        let answer = self
            .0
            .request(request)
            .await
            .map_err(|error| FetchError::Unreachable(innermost(&error)))?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        receive(answer.into_body(), size).await.ok_or(FetchError::Body(size))
    }
}

/// Whether nobody on the way can read or change what is said: https, or http that does not leave this machine.
pub fn is_safe(uri: &Uri) -> bool {
    let Some(host) = uri.host().filter(|host| !host.is_empty()) else {
        return false;
    };
    let userinfo = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    match uri.scheme_str() {
        Some("https") => !userinfo,
        Some("http") => !userinfo && is_loopback(host),
        _ => false,
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
}

/// The whole body; `None` for one that is longer than `size`, or that breaks off.
async fn receive(mut body: Incoming, size: usize) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        // What is not data is a trailer, and means nothing here.
        let Ok(data) = frame.ok()?.into_data() else {
            continue;
        };
        if data.len() > size - whole.len() {
            return None;
        }
        whole.extend_from_slice(&data);
    }
    Some(whole)
}

/// The first cause: the outer errors only say that there is one.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
