use std::time::{Duration, SystemTime};

use countersign_core::name::Engine;

use super::*;

/// A proxy with one healthy target and one client.
pub(crate) fn example() -> Status {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    Status {
        version: "0.1.0".to_owned(),
        pid: 7,
        started_at: at,
        startup_complete: true,
        draining: false,
        connections: 1,
        max_connections: Some(2),
        clients_per_worker: vec![1, 0],
        targets: vec![TargetStatus {
            name: "orders".to_owned(),
            engine: Engine::Postgres,
            endpoint: "orders.example:5432".to_owned(),
            sign_host: None,
            region: Some("eu-west-1".to_owned()),
            listeners: vec![ListenerStatus { address: "127.0.0.1:5432".to_owned(), failure: None }],
            health: HealthStatus { healthy: true, last_login: Some(at), last_failure: None },
            connections: 1,
            max_connections: None,
            credentials: None,
            tokens: vec![TokenStatus {
                user: "app".to_owned(),
                minted_at: at,
                expires_at: at,
                age: Duration::from_secs(3),
            }],
            pool: PoolStatus::default(),
            logins_queued: 0,
        }],
        sessions: vec![SessionStatus {
            id: 1,
            target: "orders".to_owned(),
            client: "127.0.0.1:40000".to_owned(),
            user: Some("app".to_owned()),
            database: None,
            connected_at: at,
            state: SessionState::InTransaction,
            bytes_to_server: 10,
            bytes_to_client: 20,
            server: None,
            server_age: Some(Duration::from_secs(9)),
        }],
    }
}

#[test]
fn a_status_is_read_back_as_it_was_written() {
    let json = serde_json::to_string(&example()).expect("JSON");
    assert!(json.contains(r#""started_at":"2023-11-14T22:13:20.000Z""#), "{json}");
    assert!(json.contains(r#""state":"in-transaction""#), "{json}");
    assert_eq!(serde_json::from_str::<Status>(&json).expect("a status"), example());
}

#[test]
fn a_proxy_is_full_at_its_limit() {
    let mut status = example();
    assert!(!status.is_full());
    status.connections = 2;
    assert!(status.is_full());
    status.max_connections = None;
    assert!(!status.is_full());
}
