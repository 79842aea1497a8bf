//! The way to the collector: one client over rustls, on the runtime of the proxy.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

use super::EXPORT_TIME;

/// The longest answer of a collector, in bytes: it says how many spans it refused, and why.
const MOST_ANSWER: usize = 64 * 1024;

type Collector = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Posts batches. Whoever makes them waits on a thread of its own, so the work is done by the runtime.
#[derive(Debug)]
pub(super) struct OtlpHttpClient {
    collector: Collector,
    runtime: Handle,
    /// Whether the last batch was not taken: it is said once.
    failing: AtomicBool,
}

impl OtlpHttpClient {
    pub(super) fn new(runtime: Handle) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        for error in &system.errors {
            tracing::warn!(%error, "some of the system's certificate authorities can't be read");
        }
        roots.add_parsable_certificates(system.certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let no_tls = |error| {
            Failure::new(
                Class::Configuration,
                format!("TLS to the collector can't be set up: {error}"),
            )
        };
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(no_tls)?;
        let tls = tls.with_root_certificates(roots).with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_timer(TokioTimer::new()).pool_max_idle_per_host(1);
        Ok(Self { collector: client.build(connector), runtime, failing: AtomicBool::new(false) })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let collector = self.collector.clone();
        let exchange = async move {
            let (head, body) = collector.request(request.map(Full::new)).await?.into_parts();
            let body = Limited::new(body, MOST_ANSWER).collect().await?;
            Ok::<_, HttpError>(Response::from_parts(head, body.to_bytes()))
        };
        self.runtime.spawn(async { timeout(EXPORT_TIME, exchange).await }).await??
    }

    /// The exporter has nobody to complain to.
    fn tell(&self, outcome: &Result<Response<Bytes>, HttpError>) {
        let trouble = match outcome {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => {
                Some(format!("the collector answered with status {}", answer.status().as_u16()))
            }
            Err(error) => Some(innermost(error.as_ref())),
        };
        let failed_before = self.failing.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(error) if !failed_before => {
                tracing::warn!(error, "traces can't be delivered, and are lost until they can")
            }
            None if failed_before => tracing::info!("traces are delivered again"),
            _ => {}
        }
    }
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
            let outcome = self.send(request).await;
            self.tell(&outcome);
            outcome
        })
    }
}

/// What it comes down to: hyper's own errors say little.
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
