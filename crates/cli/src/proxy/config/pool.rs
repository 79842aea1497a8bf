//! Parser of `pool`: `"off"` or a table.

use std::time::Duration;

use countersign_config_file::{DiagnosticSink, Fields, Location};
use countersign_core::json::{Node, Value};

use super::fields::duration;

/// Maximum number of pooled sessions: RDS's largest instances accept about 16,000 connections.
const MAX_SESSIONS: u32 = 16_000;

/// Pool as it is configured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct PoolConfig {
    pub(crate) min_idle: Option<usize>,
    pub(crate) reuse: Option<bool>,
    pub(crate) max_idle: Option<usize>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_lifetime: Option<Duration>,
}

impl PoolConfig {
    const OFF: Self = Self {
        min_idle: Some(0),
        reuse: Some(false),
        max_idle: Some(0),
        idle_timeout: None,
        max_lifetime: None,
    };
}

pub(super) fn read(fields: &mut Fields<'_>, sink: &DiagnosticSink) -> Option<PoolConfig> {
    let (location, node) = fields.take("pool")?;
    match &node.value {
        Value::String(word) if word == "off" => Some(PoolConfig::OFF),
        Value::Object(_) => table(node, location, sink),
        _ => {
            sink.add(
                &location,
                "\"off\" or a table such as { min-idle = 2, reuse = true } is expected",
            );
            None
        }
    }
}

fn table(node: &Node, location: Location, sink: &DiagnosticSink) -> Option<PoolConfig> {
    let mut fields = Fields::of(node, location, sink)?;
    let mut sessions =
        |key| fields.number(key, 0..=MAX_SESSIONS).and_then(|number| usize::try_from(number).ok());
    let (min_idle, max_idle) = (sessions("min-idle"), sessions("max-idle"));
    let pool = PoolConfig {
        min_idle,
        reuse: fields.flag("reuse"),
        max_idle,
        idle_timeout: duration(&mut fields, "idle-timeout", sink),
        max_lifetime: duration(&mut fields, "max-lifetime", sink),
    };
    fields.finish();
    Some(pool)
}
