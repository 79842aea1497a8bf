//! Traces: one for each connection, by OpenTelemetry's protocol over HTTP.
//!
//! The spans that are made here are exported, and nothing else that anybody logs: what they carry is decided in this file, and none of
//! it is a secret. TLS to a collector is rustls, as everywhere, with the system's roots.

mod otlp_http_client;

use std::fmt;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use countersign_core::name::Engine;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::field::{Empty, display};
use tracing::{Span, Subscriber, debug_span};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use otlp_http_client::OtlpHttpClient;

/// The `tracing` target of the spans that are exported.
const TARGET: &str = countersign_connect::dialer::TRACE;

/// Where OTLP over HTTP takes traces. Source: OTLP specification, "OTLP/HTTP Request".
const PATH: &str = "v1/traces";

/// How long the collector may take for one batch.
const EXPORT_TIME: Duration = Duration::from_secs(10);

/// How long the last batch may take when the process ends.
const FINISH_TIME: Duration = Duration::from_secs(3);

/// The longest text of a client's that becomes an attribute, in characters.
const MOST_TEXT: usize = 128;

/// What exports the spans of this process.
pub struct Traces(SdkTracerProvider);

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Traces")
    }
}

impl Traces {
    /// Sends what has not been sent. Blocks for up to three seconds, and must not be called on a thread of the runtime.
    ///
    /// # Errors
    /// [`Class::Unavailable`] where the collector did not take it.
    pub fn finish(self) -> Result<(), Failure> {
        let lost =
            |error| Failure::new(Class::Unavailable, format!("the last traces are lost: {error}"));
        self.0.shutdown_with_timeout(FINISH_TIME).map_err(lost)
    }
}

/// What turns the spans of connections into traces, and sends them to `endpoint`: an URL such as `http://localhost:4318`. `ratio` is the
/// part of the connections that is traced, from 0 to 1. It has a filter of its own: the one of the log must not be put before it.
///
/// # Errors
/// [`Class::Usage`] for what is no such URL, [`Class::Configuration`] where TLS can't be set up.
pub fn layer<S>(
    endpoint: &str,
    ratio: f64,
    runtime: Handle,
) -> Result<(impl Layer<S> + Send + Sync + use<S>, Traces), Failure>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let url = url(endpoint)?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(OtlpHttpClient::new(runtime)?)
        .with_endpoint(url)
        .with_timeout(EXPORT_TIME);
    let unusable =
        |error| Failure::new(Class::Configuration, format!("traces can't be exported: {error}"));
    let exporter = exporter.build().map_err(unusable)?;
    let resource = Resource::builder().with_service_name("countersign-proxy");
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
        .with_resource(
            resource
                .with_attribute(opentelemetry::KeyValue::new(
                    "service.version",
                    env!("CARGO_PKG_VERSION"),
                ))
                .build(),
        )
        .build();
    // Where in the source, on which thread and at which level is of no use to who reads traces.
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("countersign"))
        .with_location(false)
        .with_threads(false);
    let layer = layer.with_target(false).with_level(false).with_tracked_inactivity(false);
    let ours = filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET);
    Ok((layer.with_filter(ours), Traces(provider)))
}

/// The URL to which traces are posted. It may name a path of its own; the errors don't repeat it, for it might hold a key.
fn url(endpoint: &str) -> Result<String, Failure> {
    let refuse = |why: &str| {
        Failure::new(
            Class::Usage,
            format!("the endpoint for traces {why}; write it as http://localhost:4318"),
        )
    };
    let uri: hyper::Uri = endpoint.parse().map_err(|_| refuse("is no URL"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(refuse("is neither http:// nor https:// with a host"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(refuse(
            "holds a user, which would go to every log; put it into OTEL_EXPORTER_OTLP_HEADERS",
        ));
    }
    if matches!(uri.path(), "" | "/") && uri.query().is_none() {
        return Ok(format!("{}/{PATH}", endpoint.trim_end_matches('/')));
    }
    Ok(endpoint.to_owned())
}

/// One client's connection, from its accept to its end. What happens on it becomes its children where it happens within this span.
#[must_use]
pub fn connection(id: u64, target: &str, engine: Engine, client: &str) -> Span {
    let span = debug_span!(
        target: TARGET, "connection", otel.kind = "server", otel.status_code = Empty, error.type = Empty,
        countersign.connection = id, countersign.target = target, client.address = client,
        db.system.name = Empty, db.namespace = Empty, db.user = Empty, countersign.pooled = Empty,
    );
    // The names of OpenTelemetry's semantic conventions for databases.
    let system = match engine {
        Engine::Postgres => "postgresql",
        Engine::Mariadb => "mariadb",
        Engine::Mysql => "mysql",
    };
    span.record("db.system.name", system);
    span
}

/// A step of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The client's TLS and login, up to what it wants.
    Accept,
    /// The whole way to a session with the server: from the pool, or a login.
    Login,
    /// Token, name, TCP, TLS and login of one session with the server. The token has a span of its own within it, `credentials`.
    Dial,
    /// The two sides talking.
    Relay,
}

impl Step {
    /// The span of it, under the one that is current.
    #[must_use]
    pub fn span(self) -> Span {
        macro_rules! step {
            ($name:literal, $kind:literal) => {
                debug_span!(target: TARGET, $name, otel.kind = $kind, otel.status_code = Empty, error.type = Empty, server.address = Empty)
            };
        }
        match self {
            Self::Accept => step!("accept", "internal"),
            Self::Login => step!("login", "internal"),
            Self::Dial => step!("dial", "client"),
            Self::Relay => step!("relay", "internal"),
        }
    }
}

/// Who the client of a [`connection`] is, once it has said so.
pub fn named(connection: &Span, user: &str, database: Option<&str>) {
    connection.record("db.user", start(user));
    if let Some(database) = database {
        connection.record("db.namespace", start(database));
    }
}

/// Whether a [`connection`] was given a session of the pool.
pub fn pooled(connection: &Span, pooled: bool) {
    connection.record("countersign.pooled", pooled);
}

/// Which address was dialled.
pub fn dialled(dial: &Span, address: std::net::SocketAddr) {
    dial.record("server.address", display(address));
}

/// The connection or the step failed. Of the failure there is the class alone: details are the log's.
pub fn failed(span: &Span, class: Class) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", display(class));
}

fn start(text: &str) -> &str {
    text.char_indices().nth(MOST_TEXT).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests;
