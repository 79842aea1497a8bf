use std::time::{Duration, SystemTime};

use countersign_proxy::status::{
    CredentialsStatus, HealthStatus, LastFailure, ListenerStatus, PoolStatus, SessionState,
    SessionStatus, Status, TargetStatus, TokenStatus,
};

use super::{bytes, text};

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
            failure: failure.as_ref().map(|_| "it is taken".to_owned()),
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
fn tables_say_what_is_going_on() {
    let setback = LastFailure {
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
        targets: vec![target("orders", None), target("billing", Some(setback))],
        sessions: vec![session],
    };
    insta::assert_snapshot!(text(&status, at(60)), @r#"
    version 0.1.0, process 42, up for 1m, 1 connections of at most 10

    TARGET   DATABASE                           LISTENS ON               CLIENTS  POOL                        LOGINS
    orders   postgres orders.example.com:5432   127.0.0.1:5432           1        1 idle, 1 in use, 1 coming  well, 3 wait
    billing  postgres billing.example.com:5432  127.0.0.1:5432 (failed)  1        1 idle, 1 in use, 1 coming  fail, 3 wait

    billing: it is taken
    billing: no answer\u{1b}[2J (failed 4 times in a row)

    TARGET   CREDENTIALS        KEY          END     USER  TOKEN
    orders   the profile "dev"  ASIAEXAMPLE  in 59m  app   1m old, good for 9m
    billing  the profile "dev"  ASIAEXAMPLE  in 59m  app   1m old, good for 9m

    SESSION  TARGET  CLIENT           USER  DATABASE  SINCE  STATE           SENT   RECEIVED  SERVER
    7        orders  127.0.0.1:50000  app   -         1m     in transaction  100 B  19 MiB    10.0.0.1:5432
    "#);
}

#[test]
fn numbers_of_bytes_are_short() {
    let said = [0, 9_999, 10_000, 20_480_000, u64::MAX].map(bytes);
    assert_eq!(said, ["0 B", "9999 B", "9 KiB", "19 MiB", "16777215 TiB"].map(str::to_owned));
}
