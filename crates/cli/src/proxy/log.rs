//! Log and traces of a proxy.

use std::io;

use countersign_core::failure::Failure;
use countersign_proxy::telemetry;
use tokio::runtime::Handle;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

pub(super) use countersign_proxy::telemetry::Traces;

use super::plan::LogSettings;
use crate::output;

/// Default log filter, which includes opened and closed sessions.
const DEFAULT_FILTER: &str = "warn,countersign=info,countersign_proxy=info";

/// Fraction of connections that is traced. Collectors can sample.
const TRACE_RATIO: f64 = 1.0;

/// Logs to standard error as lines or JSON, and exports traces to `collector`.
///
/// `COUNTERSIGN_LOG` replaces the default filter.
pub(super) fn start(
    settings: LogSettings,
    collector: Option<&str>,
    runtime: &Handle,
) -> Result<Option<Traces>, Failure> {
    let (layer, traces) = collector
        .map(|url| telemetry::layer(url, TRACE_RATIO, runtime.clone()))
        .transpose()?
        .unzip();
    let default = if settings.quiet { "error" } else { DEFAULT_FILTER };
    let filter =
        EnvFilter::try_from_env("COUNTERSIGN_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = if settings.structured {
        lines.json().flatten_event(true).with_filter(filter).boxed()
    } else {
        lines.with_ansi(output::use_color(&io::stderr())).with_filter(filter).boxed()
    };
    registry().with(lines).with(layer).init();
    Ok(traces)
}
