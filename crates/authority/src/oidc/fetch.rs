//! Fetching of small documents from external servers: over TLS, with limits, without redirects.

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

/// Time after which an idle connection is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Reason for which a document was not fetched. The text contains no URL.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL is neither https nor http to a loopback address.
    #[error("URL is not https://HOST/… or http:// to a loopback address")]
    Url,
    /// TLS is not available.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The connection or the HTTP exchange failed.
    #[error("cannot reach the server: {0}")]
    Unreachable(String),
    /// The time limit was reached.
    #[error("no response from the server within {0:?}")]
    TimedOut(Duration),
    /// The status is not 200, such as that of a redirect.
    #[error("server responded with status {0}, not 200; redirects are not followed")]
    Status(u16),
    /// The response is too large or incomplete.
    #[error("response exceeds {0} bytes or is incomplete")]
    Body(usize),
}

/// Limits of one request.
#[derive(Debug, Clone, Copy)]
pub struct FetchLimits {
    /// Maximum time, from name resolution to the last byte.
    pub timeout: Duration,
    /// Maximum size of the response, in bytes.
    pub max_size: usize,
}

/// HTTPS client. Clones share their connections.
#[derive(Clone)]
pub struct Fetcher(Client<HttpsConnector<HttpConnector>, String>);

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fetcher")
    }
}

impl Fetcher {
    /// Makes a client that trusts the system's root certificates (or those of `SSL_CERT_FILE`) and
    /// `roots`.
    ///
    /// # Errors
    /// [`FetchError::Tls`]
    pub fn new(roots: &[CertificateDer<'static>]) -> Result<Self, FetchError> {
        let mut store = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::warn!(%error, "cannot read a system root certificate");
        }
        store.add_parsable_certificates(system.certs);
        for root in roots {
            store.add(root.clone())?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = tls.with_root_certificates(store).with_no_client_auth();
        // `get` rejects plain HTTP to other machines.
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        let mut client = Client::builder(TokioExecutor::new());
        client
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(64 * 1024);
        Ok(Self(client.build(connector)))
    }

    /// Sends a GET request and returns the body of the response.
    ///
    /// # Errors
    /// Each [`FetchError`] except `Tls`.
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
        timeout(bounds.timeout, self.fetch(request, bounds.max_size))
            .await
            .map_err(|_| FetchError::TimedOut(bounds.timeout))?
    }

    async fn fetch(
        &self,
        request: Request<String>,
        max_size: usize,
    ) -> Result<Vec<u8>, FetchError> {
        let response = self
            .0
            .request(request)
            .await
            .map_err(|error| FetchError::Unreachable(innermost(&error)))?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        receive(response.into_body(), max_size).await.ok_or(FetchError::Body(max_size))
    }
}

/// Returns true if the exchange cannot be read or changed on its way: https, or http to this
/// machine.
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

/// Reads the whole body; returns `None` if it exceeds `max_size` or is incomplete.
async fn receive(mut body: Incoming, max_size: usize) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        // Frames without data are trailers, which have no meaning here.
        let Ok(data) = frame.ok()?.into_data() else {
            continue;
        };
        if data.len() > max_size - whole.len() {
            return None;
        }
        whole.extend_from_slice(&data);
    }
    Some(whole)
}

/// Returns the text of the innermost source: the outer errors add no information.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
