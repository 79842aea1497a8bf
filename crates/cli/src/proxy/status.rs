//! Text output of `countersign proxy status`.

use std::time::{Duration, SystemTime};

use countersign_proxy::status::{
    ListenerStatus, SessionState, SessionStatus, Status, TargetStatus,
};

use super::duration;
use crate::output::columns;

/// Formats tables of the targets, their tokens and the sessions.
pub(super) fn status_text(status: &Status, now: SystemTime) -> String {
    let max = status.max_connections.map(|max| format!(" of {max}")).unwrap_or_default();
    let phase = match (status.draining, status.startup_complete) {
        (true, _) => "draining",
        (false, true) => "running",
        (false, false) => "starting",
    };
    let since = ago(status.started_at, now);
    let mut parts = vec![format!(
        "version {}, process {}, {phase} for {since}, {} connections{max}",
        status.version, status.pid, status.connections
    )];
    parts.push(table(
        &["TARGET", "DATABASE", "LISTENS ON", "CLIENTS", "POOL", "LOGINS"],
        status.targets.iter().map(target_row),
    ));
    parts.extend(status.targets.iter().filter_map(failures));
    if status.targets.iter().any(|target| target.credentials.is_some()) {
        let rows = status.targets.iter().flat_map(|target| credential_rows(target, now));
        parts.push(table(
            &["TARGET", "CREDENTIALS", "ACCESS KEY", "EXPIRES", "USER", "TOKEN"],
            rows,
        ));
    }
    if !status.sessions.is_empty() {
        let heading = [
            "SESSION",
            "TARGET",
            "CLIENT",
            "USER",
            "DATABASE",
            "AGE",
            "STATE",
            "TO SERVER",
            "TO CLIENT",
            "SERVER",
        ];
        parts
            .push(table(&heading, status.sessions.iter().map(|session| session_row(session, now))));
    }
    parts.join("\n\n")
}

fn table(heading: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let heading = heading.iter().map(|word| (*word).to_owned()).collect();
    columns(&std::iter::once(heading).chain(rows).collect::<Vec<Vec<String>>>())
}

fn target_row(target: &TargetStatus) -> Vec<String> {
    let address = |listener: &ListenerStatus| match &listener.failure {
        Some(_) => format!("{} (failed)", listener.address),
        None => listener.address.clone(),
    };
    let pool = target.pool;
    let queued = if target.logins_queued > 0 {
        format!(", {} queued", target.logins_queued)
    } else {
        String::new()
    };
    vec![
        target.name.clone(),
        format!("{} {}", target.engine, target.endpoint),
        target.listeners.iter().map(address).collect::<Vec<_>>().join(", "),
        target.connections.to_string(),
        format!(
            "{} idle, {} in use{}",
            pool.idle,
            pool.in_use,
            if pool.connecting > 0 {
                format!(", {} connecting", pool.connecting)
            } else {
                String::new()
            }
        ),
        format!("{}{queued}", if target.health.healthy { "ok" } else { "failing" }),
    ]
}

/// Formats the failures of a target, one per line.
fn failures(target: &TargetStatus) -> Option<String> {
    let listeners = target.listeners.iter().filter_map(|listener| listener.failure.clone());
    let credentials = target.credentials.iter().filter_map(|identity| identity.failure.clone());
    let logins = target.health.last_failure.iter().map(|failure| {
        format!("{} ({} consecutive failures)", failure.detail, failure.consecutive_failures)
    });
    let lines: Vec<String> = listeners
        .chain(credentials)
        .chain(logins)
        .map(|cause| crate::output::escape_control(&format!("{}: {cause}", target.name)))
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Returns one row per token of a target, with the target's credentials.
fn credential_rows(target: &TargetStatus, now: SystemTime) -> Vec<Vec<String>> {
    let Some(credentials) = &target.credentials else {
        return Vec::new();
    };
    let expires = credentials
        .expires_at
        .map_or_else(|| "-".to_owned(), |expiry| format!("in {}", until(expiry, now)));
    let key = credentials.access_key_id.clone().unwrap_or_else(|| "not loaded".to_owned());
    let row = |user: String, token: String| {
        vec![
            target.name.clone(),
            credentials.source.clone(),
            key.clone(),
            expires.clone(),
            user,
            token,
        ]
    };
    if target.tokens.is_empty() {
        return vec![row("-".to_owned(), "-".to_owned())];
    }
    let token = |token: &countersign_proxy::status::TokenStatus| {
        row(
            token.user.clone(),
            format!("{} old, expires in {}", seconds(token.age), until(token.expires_at, now)),
        )
    };
    target.tokens.iter().map(token).collect()
}

fn session_row(session: &SessionStatus, now: SystemTime) -> Vec<String> {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
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
        or_dash(&session.user),
        or_dash(&session.database),
        ago(session.connected_at, now),
        state.to_owned(),
        bytes(session.bytes_to_server),
        bytes(session.bytes_to_client),
        or_dash(&session.server),
    ]
}

fn seconds(time: Duration) -> String {
    duration::format(Duration::from_secs(time.as_secs()))
}

fn ago(then: SystemTime, now: SystemTime) -> String {
    seconds(now.duration_since(then).unwrap_or_default())
}

fn until(then: SystemTime, now: SystemTime) -> String {
    seconds(then.duration_since(now).unwrap_or_default())
}

/// Formats a number of bytes in the unit that leaves at most four digits.
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
mod tests {
    use std::time::{Duration, SystemTime};

    use countersign_proxy::status::{
        CredentialsStatus, HealthStatus, LastFailure, ListenerStatus, PoolStatus, SessionState,
        SessionStatus, Status, TargetStatus, TokenStatus,
    };

    use super::{bytes, status_text};

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)
    }

    fn target(name: &str, failure: Option<LastFailure>) -> TargetStatus {
        TargetStatus {
            name: name.to_owned(),
            engine: "postgres".parse().unwrap(),
            endpoint: format!("{name}.example.com:5432"),
            sign_host: None,
            region: None,
            listeners: vec![ListenerStatus {
                address: "127.0.0.1:5432".to_owned(),
                failure: failure.as_ref().map(|_| "address in use".to_owned()),
            }],
            health: HealthStatus {
                healthy: failure.is_none(),
                last_login: None,
                last_failure: failure,
            },
            connections: 1,
            max_connections: None,
            credentials: Some(CredentialsStatus {
                source: "the profile \"dev\"".to_owned(),
                access_key_id: Some("ASIAEXAMPLE".to_owned()),
                expires_at: Some(at(3600)),
                loaded_at: Some(at(0)),
                failure: None,
            }),
            tokens: vec![TokenStatus {
                user: "app".to_owned(),
                minted_at: at(0),
                expires_at: at(600),
                age: Duration::from_secs(60),
            }],
            pool: PoolStatus { idle: 1, connecting: 1, min_idle: 2, in_use: 1 },
            logins_queued: 3,
        }
    }

    #[test]
    fn formats_tables() {
        let failure = LastFailure {
            class: countersign_core::failure::Class::TimedOut,
            detail: "no answer\u{1b}[2J".to_owned(),
            failed_at: at(0),
            consecutive_failures: 4,
        };
        let session = SessionStatus {
            id: 7,
            target: "orders".to_owned(),
            client: "127.0.0.1:50000".to_owned(),
            user: Some("app".to_owned()),
            database: None,
            connected_at: at(0),
            state: SessionState::InTransaction,
            bytes_to_server: 100,
            bytes_to_client: 20_480_000,
            server: Some("10.0.0.1:5432".to_owned()),
            server_age: None,
        };
        let status = Status {
            version: "0.1.0".to_owned(),
            pid: 42,
            started_at: at(0),
            startup_complete: true,
            draining: false,
            connections: 1,
            max_connections: Some(10),
            clients_per_worker: vec![1],
            targets: vec![target("orders", None), target("billing", Some(failure))],
            sessions: vec![session],
        };
        insta::assert_snapshot!(status_text(&status, at(60)), @r#"
        version 0.1.0, process 42, running for 1m, 1 connections of 10

        TARGET   DATABASE                           LISTENS ON               CLIENTS  POOL                            LOGINS
        orders   postgres orders.example.com:5432   127.0.0.1:5432           1        1 idle, 1 in use, 1 connecting  ok, 3 queued
        billing  postgres billing.example.com:5432  127.0.0.1:5432 (failed)  1        1 idle, 1 in use, 1 connecting  failing, 3 queued

        billing: address in use
        billing: no answer\u{1b}[2J (4 consecutive failures)

        TARGET   CREDENTIALS        ACCESS KEY   EXPIRES  USER  TOKEN
        orders   the profile "dev"  ASIAEXAMPLE  in 59m   app   1m old, expires in 9m
        billing  the profile "dev"  ASIAEXAMPLE  in 59m   app   1m old, expires in 9m

        SESSION  TARGET  CLIENT           USER  DATABASE  AGE  STATE           TO SERVER  TO CLIENT  SERVER
        7        orders  127.0.0.1:50000  app   -         1m   in transaction  100 B      19 MiB     10.0.0.1:5432
        "#);
    }

    #[test]
    fn formats_numbers_of_bytes() {
        let formatted = [0, 9_999, 10_000, 20_480_000, u64::MAX].map(bytes);
        assert_eq!(
            formatted,
            ["0 B", "9999 B", "9 KiB", "19 MiB", "16777215 TiB"].map(str::to_owned)
        );
    }
}
