//! HTTP client of the OTLP exporter.
//!
//! The clients of `opentelemetry-http` do not fit: the exporter's thread has no tokio runtime,
//! which its hyper client needs; that client also reads responses of any size, and the exporter
//! does not report failures.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// Maximum duration of the export of a batch.
pub(super) const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum size of a response in bytes. It contains the number of rejected spans and the reason.
const MAX_RESPONSE: usize = 64 * 1024;

type HttpsClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Sends batches to the collector, on the runtime of the proxy.
#[derive(Debug)]
pub(super) struct OtlpHttpClient {
    client: HttpsClient,
    runtime: Handle,
    /// True if the last export failed: only changes are logged.
    failing: AtomicBool,
}

impl OtlpHttpClient {
    pub(super) fn new(runtime: Handle) -> Result<Self, Failure> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls_config()?)
            .https_or_http()
            .enable_http1()
            .build();
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_timer(TokioTimer::new()).pool_max_idle_per_host(1);
        Ok(Self { client: client.build(connector), runtime, failing: AtomicBool::new(false) })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let exchange = async move {
            let (head, body) = client.request(request.map(Full::new)).await?.into_parts();
            let body = Limited::new(body, MAX_RESPONSE).collect().await?;
            Ok::<_, HttpError>(Response::from_parts(head, body.to_bytes()))
        };
        self.runtime.spawn(async { timeout(EXPORT_TIMEOUT, exchange).await }).await??
    }

    /// Logs the first failure of several, and the recovery.
    fn log_change(&self, result: &Result<Response<Bytes>, HttpError>) {
        let error = match result {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => {
                Some(format!("the collector responded with status {}", response.status().as_u16()))
            }
            Err(error) => Some(root_cause(error.as_ref())),
        };
        let was_failing = self.failing.swap(error.is_some(), Ordering::Relaxed);
        match error {
            Some(error) if !was_failing => tracing::warn!(error, "trace export failed"),
            None if was_failing => tracing::info!("trace export recovered"),
            _ => {}
        }
    }
}

/// Returns a TLS configuration with the roots of the operating system.
fn tls_config() -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "cannot read some of the system's root certificates");
    }
    roots.add_parsable_certificates(system.certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| {
            let detail = format!("cannot set up TLS to the collector: {error}");
            Failure::new(Class::Configuration, detail)
        })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

impl HttpClient for OtlpHttpClient {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let result = self.send(request).await;
            self.log_change(&result);
            result
        })
    }
}

/// Returns the innermost error. hyper's own messages do not contain it.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
