//! Health checks of orchestrators: startup and readiness.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::Instant;

use super::hooks::AdminHooks;
use super::response::{Response, text};
use crate::status::{Status, TargetStatus};

/// Minimum time between two probes of the targets. While an unhealthy target receives no clients,
/// only these logins detect its recovery.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// Query parameter of `/readiness`, named as in cloud-sql-proxy: minimum number of ready targets.
const MIN_READY: &str = "min-ready";

/// Time of the last probe.
#[derive(Debug, Default)]
pub(super) struct LastProbe(Mutex<Option<Instant>>);

impl LastProbe {
    /// Returns true, and records a probe, if the last one is long enough ago.
    fn begin_if_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_due = last.is_none_or(|last| now.duration_since(last) >= PROBE_INTERVAL);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

/// Responds with 200 after the proxy has tried to bind every listener. A listener that failed is
/// reported, and does not prevent the startup.
pub(super) fn startup(status: &Status) -> Response {
    if !status.startup_complete {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the proxy is starting");
    }
    let failed: Vec<String> = status.targets.iter().filter_map(failed_listeners).collect();
    if failed.is_empty() {
        text(StatusCode::OK, "ok")
    } else {
        text(StatusCode::OK, format!("ok, but\n{}", failed.join("\n")))
    }
}

/// Responds with 200 if a new client would be served, by all targets or by the minimum number in
/// the query.
pub(super) fn readiness(
    query: Option<&str>,
    hooks: &AdminHooks,
    last_probe: &LastProbe,
) -> Response {
    let status = (hooks.status)();
    let min_ready = match min_ready(query, status.targets.len()) {
        Ok(min_ready) => min_ready,
        Err(error) => return text(StatusCode::BAD_REQUEST, error),
    };
    let is_unhealthy = status.unhealthy().next().is_some();
    if is_unhealthy && !status.draining && last_probe.begin_if_due() {
        tokio::spawn((hooks.probe)());
    }
    let unready: Vec<String> = status.targets.iter().filter_map(unready).collect();
    let mut lines = unready_reasons(&status, unready.len(), min_ready);
    let (code, heading) = match (lines.is_empty(), unready.is_empty()) {
        (true, true) => (StatusCode::OK, Some("ok")),
        (true, false) => (StatusCode::OK, Some("ok, but")),
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, None),
    };
    lines.extend(heading.map(str::to_owned));
    lines.extend(unready);
    text(code, lines.join("\n"))
}

/// Returns the reasons why the proxy is not ready.
fn unready_reasons(status: &Status, unready: usize, min_ready: usize) -> Vec<String> {
    let mut reasons = Vec::new();
    if !status.startup_complete {
        reasons.push("the proxy is starting".to_owned());
    }
    if status.draining {
        reasons.push("the proxy is shutting down".to_owned());
    }
    if status.is_full() {
        reasons.push(format!("{} connections are open, which is the limit", status.connections));
    }
    let all = status.targets.len();
    let ready = all.saturating_sub(unready);
    if ready < min_ready {
        reasons.push(format!("{ready} of {all} targets are ready, {min_ready} must be"));
    }
    reasons
}

/// Parses the minimum number of ready targets; without the parameter, all must be ready.
fn min_ready(query: Option<&str>, all: usize) -> Result<usize, String> {
    let mut values = query
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, _)| *name == MIN_READY);
    let Some((_, value)) = values.next() else {
        return Ok(all);
    };
    let is_valid = |min: &usize| (1..=all).contains(min);
    let number = value.parse().ok().filter(is_valid).filter(|_| values.next().is_none());
    number.ok_or_else(|| {
        format!("{MIN_READY} must be a number from 1 to {all}, the number of targets")
    })
}

/// Returns the reason why a target is not ready. It contains no failure details, which name hosts
/// and roles: this listener may be reachable by others. `/status` contains them.
fn unready(target: &TargetStatus) -> Option<String> {
    match &target.health.last_failure {
        Some(failure) if !target.health.healthy => Some(format!(
            "{}: {} ({}); {} consecutive logins failed",
            target.name,
            failure.class.public(),
            failure.class,
            failure.consecutive_failures
        )),
        _ => failed_listeners(target),
    }
}

fn failed_listeners(target: &TargetStatus) -> Option<String> {
    let failed: Vec<&str> = target
        .listeners
        .iter()
        .filter(|listener| listener.failure.is_some())
        .map(|listener| listener.address.as_str())
        .collect();
    (!failed.is_empty())
        .then(|| format!("{}: does not listen on {}", target.name, failed.join(", ")))
}
