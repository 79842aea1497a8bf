//! What orchestrators ask: whether the proxy is up, and whether clients should be sent to it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::Instant;

use super::AdminHooks;
use super::answer::{Answer, text};
use crate::status::{Status, Target};

/// How long after one round of logins the next may begin. Where no client comes any more because a target is unhealthy, these
/// are the logins that find out when it is not.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// How many targets have to be ready: a parameter of `/readiness`, cloud-sql-proxy's name.
const MIN_READY: &str = "min-ready";

/// When the targets were last logged in to for want of clients.
#[derive(Debug, Default)]
pub(super) struct Probing(Mutex<Option<Instant>>);

impl Probing {
    fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = last.is_none_or(|last| now.duration_since(last) >= PROBE_INTERVAL);
        if due {
            *last = Some(now);
        }
        due
    }
}

/// 200 once every listener has been tried. One that is not there is told of, and does not keep the others from starting.
pub(super) fn startup(status: &Status) -> Answer {
    if !status.up {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the proxy is starting");
    }
    let missing: Vec<String> = status.targets.iter().filter_map(missing).collect();
    if missing.is_empty() {
        text(StatusCode::OK, "ok")
    } else {
        text(StatusCode::OK, format!("ok, but\n{}", missing.join("\n")))
    }
}

/// 200 where a client that comes now is served, by so many of the targets as are asked for, or by all.
pub(super) fn readiness(query: Option<&str>, proxy: &AdminHooks, probing: &Probing) -> Answer {
    let status = (proxy.status)();
    let least = match least(query, status.targets.len()) {
        Ok(least) => least,
        Err(why) => return text(StatusCode::BAD_REQUEST, why),
    };
    // As clients are kept away, somebody else has to see whether it has become better.
    if status.unhealthy().next().is_some() && !status.draining && probing.is_due() {
        tokio::spawn((proxy.probe)());
    }
    let unready: Vec<String> = status.targets.iter().filter_map(unready).collect();
    let ready = status.targets.len().saturating_sub(unready.len());
    let mut reasons = Vec::new();
    if !status.up {
        reasons.push("the proxy is starting".to_owned());
    }
    if status.draining {
        reasons.push("the proxy is stopping".to_owned());
    }
    if status.is_full() {
        reasons.push(format!("{} connections are open, and no more may be", status.connections));
    }
    if ready < least {
        reasons.push(format!(
            "{ready} of {} targets are ready, and {least} have to be",
            status.targets.len()
        ));
    }
    if reasons.is_empty() && unready.is_empty() {
        return text(StatusCode::OK, "ok");
    }
    let verdict = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if reasons.is_empty() {
        reasons.push("ok, but".to_owned());
    }
    text(verdict, reasons.into_iter().chain(unready).collect::<Vec<_>>().join("\n"))
}

/// How many of the targets have to be ready: all, where the query does not say.
fn least(query: Option<&str>, all: usize) -> Result<usize, String> {
    let mut named = query
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, _)| *name == MIN_READY);
    let Some((_, value)) = named.next() else {
        return Ok(all);
    };
    let number =
        value.parse().ok().filter(|least| (1..=all).contains(least) && named.next().is_none());
    number.ok_or_else(|| {
        format!("{MIN_READY} has to be a number from 1 to {all}, the number of targets")
    })
}

/// Why clients should not be sent to a target, where they should not. The details, which name hosts and roles, are not for everybody
/// who reaches this address: `/status` has them.
fn unready(target: &Target) -> Option<String> {
    if let Some(failure) = target.health.failure.as_ref().filter(|_| !target.health.healthy) {
        let times = failure.consecutive_failures;
        return Some(format!(
            "{}: {} ({}); {times} logins in a row have failed",
            target.name,
            failure.class.public(),
            failure.class
        ));
    }
    missing(target)
}

/// What of a target's listeners is not there, where something is not.
fn missing(target: &Target) -> Option<String> {
    let absent: Vec<&str> = target
        .listeners
        .iter()
        .filter(|one| one.failure.is_some())
        .map(|one| one.address.as_str())
        .collect();
    (!absent.is_empty())
        .then(|| format!("{}: does not listen on {}", target.name, absent.join(", ")))
}
