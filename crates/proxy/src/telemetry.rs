//! Traces of connections, exported by OTLP over HTTP.
//!
//! Only the spans of this module are exported, not those of other log events. Their attributes
//! are listed here, and none of them is a secret. TLS to the collector uses the roots of the
//! operating system.

mod otlp_http_client;

use std::fmt;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use countersign_core::name::Engine;
use opentelemetry::KeyValue;
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

use otlp_http_client::{EXPORT_TIMEOUT, OtlpHttpClient};

/// `tracing` target of the exported spans.
const TARGET: &str = countersign_connect::dialer::TRACE_TARGET;

/// Default path of the traces. Source: OTLP specification, "OTLP/HTTP Request".
const PATH: &str = "v1/traces";

/// Maximum duration of the last export at the end of the process.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// Maximum length in characters of an attribute chosen by a client.
const MAX_ATTRIBUTE: usize = 128;

/// Exporter of the spans of this process.
pub struct Traces(SdkTracerProvider);

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Traces")
    }
}

impl Traces {
    /// Exports the remaining spans. Blocks for up to three seconds: do not call it on a thread of
    /// the runtime.
    ///
    /// # Errors
    /// [`Class::Unavailable`] if the collector did not accept them.
    pub fn finish(self) -> Result<(), Failure> {
        self.0.shutdown_with_timeout(SHUTDOWN_TIMEOUT).map_err(|error| {
            Failure::new(Class::Unavailable, format!("cannot export the last traces: {error}"))
        })
    }
}

/// Creates the layer that exports the spans of connections to `endpoint`, a URL such as
/// `http://localhost:4318`. `ratio` is the ratio of traced connections, from 0 to 1. The layer has
/// a filter of its own; do not put the filter of the log before it.
///
/// # Errors
/// [`Class::Usage`] for an invalid URL, [`Class::Configuration`] if TLS cannot be set up.
pub fn layer<S>(
    endpoint: &str,
    ratio: f64,
    runtime: Handle,
) -> Result<(impl Layer<S> + Send + Sync + use<S>, Traces), Failure>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(traces_url(endpoint)?)
        .with_http_client(OtlpHttpClient::new(runtime)?)
        .with_timeout(EXPORT_TIMEOUT)
        .build()
        .map_err(|error| {
            Failure::new(Class::Configuration, format!("cannot export traces: {error}"))
        })?;
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource =
        Resource::builder().with_service_name("countersign-proxy").with_attribute(version).build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
        .with_resource(resource)
        .build();
    // Source location, thread and level are not useful in traces.
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("countersign"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false);
    let is_exported = filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET);
    Ok((layer.with_filter(is_exported), Traces(provider)))
}

/// Returns the URL to post traces to; an endpoint with a path is used unchanged. Errors do not
/// contain the URL, which could contain a key.
fn traces_url(endpoint: &str) -> Result<String, Failure> {
    let invalid = |cause: &str| {
        let detail = format!("invalid OTLP endpoint: {cause}; example: http://localhost:4318");
        Failure::new(Class::Usage, detail)
    };
    let uri: hyper::Uri = endpoint.parse().map_err(|_| invalid("not a URL"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(invalid("http:// or https:// and a host are required"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(invalid(
            "it contains a user, which would be logged; use OTEL_EXPORTER_OTLP_HEADERS",
        ));
    }
    if matches!(uri.path(), "" | "/") && uri.query().is_none() {
        return Ok(format!("{}/{PATH}", endpoint.trim_end_matches('/')));
    }
    Ok(endpoint.to_owned())
}

/// Creates the span of a client connection. Spans created within it become its children.
#[must_use]
pub(crate) fn connection(id: u64, target: &str, engine: Engine, client: &str) -> Span {
    let span = debug_span!(
        target: TARGET, "connection", otel.kind = "server", otel.status_code = Empty,
        error.type = Empty, countersign.connection = id, countersign.target = target,
        client.address = client, db.system.name = Empty, db.namespace = Empty, db.user = Empty,
        countersign.pooled = Empty,
    );
    // Names of OpenTelemetry's semantic conventions for databases.
    let system = match engine {
        Engine::Postgres => "postgresql",
        Engine::Mariadb => "mariadb",
        Engine::Mysql => "mysql",
    };
    span.record("db.system.name", system);
    span
}

/// Step of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// TLS and login of the client.
    Accept,
    /// Acquisition of a server connection, from the pool or by a login.
    Login,
    /// Token, name resolution, TCP, TLS and login of one server connection. The token has a child
    /// span of its own, `credentials`.
    Dial,
    /// Forwarding between client and server.
    Relay,
}

impl Step {
    /// Creates a span of the step as a child of the current one.
    #[must_use]
    pub(crate) fn span(self) -> Span {
        macro_rules! step {
            ($name:literal, $kind:literal) => {
                debug_span!(
                    target: TARGET, $name, otel.kind = $kind, otel.status_code = Empty,
                    error.type = Empty, server.address = Empty
                )
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

/// Records user and database of a [`connection`].
pub(crate) fn record_user(connection: &Span, user: &str, database: Option<&str>) {
    connection.record("db.user", truncate(user));
    if let Some(database) = database {
        connection.record("db.namespace", truncate(database));
    }
}

/// Records whether a [`connection`] uses a server connection of the pool.
pub(crate) fn record_pooled(connection: &Span, pooled: bool) {
    connection.record("countersign.pooled", pooled);
}

/// Records the address of the server in a span of [`Step::Dial`].
pub(crate) fn record_server(dial: &Span, address: std::net::SocketAddr) {
    dial.record("server.address", display(address));
}

/// Records the class of a failure. Its detail is only logged.
pub(crate) fn record_failure(span: &Span, class: Class) {
    span.record("otel.status_code", "ERROR");
    span.record("error.type", display(class));
}

fn truncate(text: &str) -> &str {
    let end = text.char_indices().nth(MAX_ATTRIBUTE);
    end.and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests;
