//! `proxy status`, for people.

use std::time::{Duration, SystemTime};

use countersign_proxy::status::{
    ListenerStatus, SessionState, SessionStatus, Status, TargetStatus,
};

use super::duration;
use crate::output::columns;

/// Tables of the targets, their tokens and the sessions.
pub(super) fn text(status: &Status, now: SystemTime) -> String {
    let most = status.max_connections.map(|most| format!(" of at most {most}")).unwrap_or_default();
    let phase = match (status.draining, status.startup_complete) {
        (true, _) => "draining",
        (false, true) => "up",
        (false, false) => "starting",
    };
    let since = ago(status.started_at, now);
    let mut parts = vec![format!(
        "version {}, process {}, {phase} for {since}, {} connections{most}",
        status.version, status.pid, status.connections
    )];
    parts.push(table(
        &["TARGET", "DATABASE", "LISTENS ON", "CLIENTS", "POOL", "LOGINS"],
        status.targets.iter().map(target),
    ));
    let failures = status.targets.iter().filter_map(failures);
    parts.extend(failures);
    if status.targets.iter().any(|target| target.credentials.is_some()) {
        let rows = status.targets.iter().flat_map(|target| credentials(target, now));
        parts.push(table(&["TARGET", "CREDENTIALS", "KEY", "END", "USER", "TOKEN"], rows));
    }
    if !status.sessions.is_empty() {
        let heading = [
            "SESSION", "TARGET", "CLIENT", "USER", "DATABASE", "SINCE", "STATE", "SENT",
            "RECEIVED", "SERVER",
        ];
        parts.push(table(&heading, status.sessions.iter().map(|one| session(one, now))));
    }
    parts.join("\n\n")
}

fn table(heading: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let heading = heading.iter().map(|word| (*word).to_owned()).collect();
    columns(&std::iter::once(heading).chain(rows).collect::<Vec<Vec<String>>>())
}

fn target(target: &TargetStatus) -> Vec<String> {
    let place = |listener: &ListenerStatus| match &listener.failure {
        Some(_) => format!("{} (failed)", listener.address),
        None => listener.address.clone(),
    };
    let pool = target.pool;
    let queued = if target.logins_queued > 0 {
        format!(", {} wait", target.logins_queued)
    } else {
        String::new()
    };
    vec![
        target.name.clone(),
        format!("{} {}", target.engine, target.endpoint),
        target.listeners.iter().map(place).collect::<Vec<_>>().join(", "),
        target.connections.to_string(),
        format!(
            "{} idle, {} in use{}",
            pool.idle,
            pool.in_use,
            if pool.connecting > 0 {
                format!(", {} coming", pool.connecting)
            } else {
                String::new()
            }
        ),
        format!("{}{queued}", if target.health.healthy { "well" } else { "fail" }),
    ]
}

/// What is wrong with a target, in a line for each.
fn failures(target: &TargetStatus) -> Option<String> {
    let listeners = target.listeners.iter().filter_map(|listener| listener.failure.clone());
    let credentials = target.credentials.iter().filter_map(|identity| identity.failure.clone());
    let logins = target.health.last_failure.iter().map(|setback| {
        format!("{} (failed {} times in a row)", setback.detail, setback.consecutive_failures)
    });
    let lines: Vec<String> = listeners
        .chain(credentials)
        .chain(logins)
        .map(|why| crate::output::escape_control(&format!("{}: {why}", target.name)))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// A target's credentials, and a row for each of its tokens.
fn credentials(target: &TargetStatus, now: SystemTime) -> Vec<Vec<String>> {
    let Some(credentials) = &target.credentials else {
        return Vec::new();
    };
    let end = credentials
        .expires_at
        .map_or_else(|| "-".to_owned(), |end| format!("in {}", until(end, now)));
    let key = credentials.access_key_id.clone().unwrap_or_else(|| "none yet".to_owned());
    let row = |user: String, token: String| {
        vec![target.name.clone(), credentials.source.clone(), key.clone(), end.clone(), user, token]
    };
    if target.tokens.is_empty() {
        return vec![row("-".to_owned(), "-".to_owned())];
    }
    let token = |token: &countersign_proxy::status::TokenStatus| {
        row(
            token.user.clone(),
            format!("{} old, good for {}", seconds(token.age), until(token.expires_at, now)),
        )
    };
    target.tokens.iter().map(token).collect()
}

fn session(session: &SessionStatus, now: SystemTime) -> Vec<String> {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let state = match session.state {
        SessionState::LoggingIn => "logging in",
        SessionState::Idle => "idle",
        SessionState::Active => "active",
        SessionState::InTransaction => "in transaction",
    };
    vec![
        session.id.to_string(),
        session.target.clone(),
        session.client.clone(),
        or_none(&session.user),
        or_none(&session.database),
        ago(session.connected_at, now),
        state.to_owned(),
        bytes(session.bytes_to_server),
        bytes(session.bytes_to_client),
        or_none(&session.server),
    ]
}

fn seconds(time: Duration) -> String {
    duration::written(Duration::from_secs(time.as_secs()))
}

fn ago(then: SystemTime, now: SystemTime) -> String {
    seconds(now.duration_since(then).unwrap_or_default())
}

fn until(then: SystemTime, now: SystemTime) -> String {
    seconds(then.duration_since(now).unwrap_or_default())
}

/// A number of bytes, in the unit that leaves at most four digits.
fn bytes(number: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB"];
    let mut rest = number;
    for unit in units {
        if rest < 10_000 {
            return format!("{rest} {unit}");
        }
        rest /= 1024;
    }
    format!("{rest} TiB")
}

#[cfg(test)]
mod tests;
