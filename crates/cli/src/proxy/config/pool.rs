//! `pool`: `"off"`, or a table.

use std::time::Duration;

use countersign_config_file::{DiagnosticSink, Fields, Location, Spanned};
use countersign_core::json::{Node, Value};

use crate::proxy::duration;

/// How many sessions a pool may be told to keep: RDS's largest instances take some 16,000 connections.
const MOST_SESSIONS: u32 = 16_000;

/// A pool as it is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RawPool {
    pub(crate) min_idle: Option<usize>,
    pub(crate) reuse: Option<bool>,
    pub(crate) max_idle: Option<usize>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_lifetime: Option<Duration>,
}

impl RawPool {
    const OFF: Self = Self {
        min_idle: Some(0),
        reuse: Some(false),
        max_idle: Some(0),
        idle_timeout: None,
        max_lifetime: None,
    };
}

pub(super) fn read(fields: &mut Fields<'_>, report: &DiagnosticSink) -> Option<RawPool> {
    let (place, node) = fields.take("pool")?;
    match &node.value {
        Value::String(word) if word == "off" => Some(RawPool::OFF),
        Value::Object(_) => table(node, place, report),
        _ => {
            report.add(
                &place,
                "\"off\" or a table such as { min-idle = 2, reuse = true } is expected",
            );
            None
        }
    }
}

fn table(node: &Node, place: Location, report: &DiagnosticSink) -> Option<RawPool> {
    let mut fields = Fields::of(node, place, report)?;
    let mut sessions =
        |key| fields.number(key, 0..=MOST_SESSIONS).and_then(|number| usize::try_from(number).ok());
    let (min_idle, max_idle) = (sessions("min-idle"), sessions("max-idle"));
    let pool = RawPool {
        min_idle,
        reuse: fields.flag("reuse"),
        max_idle,
        idle_timeout: span(&mut fields, "idle-timeout", report),
        max_lifetime: span(&mut fields, "max-lifetime", report),
    };
    fields.finish();
    Some(pool)
}

/// A duration.
pub(super) fn span(
    fields: &mut Fields<'_>,
    key: &'static str,
    report: &DiagnosticSink,
) -> Option<Duration> {
    let Spanned { location: place, value } = fields.text(key)?;
    duration::parse(value).map_err(|problem| report.add(&place, problem)).ok()
}
