//! A proxy's log and traces.

use std::io;

use countersign_core::failure::Failure;
use countersign_proxy::telemetry;
use tokio::runtime::Handle;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

pub(super) use countersign_proxy::telemetry::Traces;

use super::plan::Logs;
use crate::output;

/// What is logged unless it is to be quiet: who came and went, too.
const USUAL: &str = "warn,countersign=info,countersign_proxy=info";

/// The part of the connections that is traced: all, for who has a collector may sample there.
const RATIO: f64 = 1.0;

/// Logs to standard error, in lines or as JSON, `COUNTERSIGN_LOG` asking for more or less; and sends traces to `collector`.
pub(super) fn start(
    logs: Logs,
    collector: Option<&str>,
    runtime: &Handle,
) -> Result<Option<Traces>, Failure> {
    let (layer, traces) =
        collector.map(|url| telemetry::layer(url, RATIO, runtime.clone())).transpose()?.unzip();
    let usual = if logs.quiet { "error" } else { USUAL };
    let filter =
        EnvFilter::try_from_env("COUNTERSIGN_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = if logs.structured {
        lines.json().flatten_event(true).with_filter(filter).boxed()
    } else {
        lines.with_ansi(output::use_color(&io::stderr())).with_filter(filter).boxed()
    };
    registry().with(lines).with(layer).init();
    Ok(traces)
}
