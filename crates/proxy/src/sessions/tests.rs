use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Sessions;
use crate::protocol::TransactionState;
use crate::status::State;

#[tokio::test]
async fn a_client_is_there_until_it_leaves() {
    let sessions = Arc::new(Sessions::default());
    let presence = sessions.register("orders".into(), Arc::default(), "127.0.0.1:5".to_owned());
    let live = &presence.live;
    live.names("jane", Some("shop"));
    assert_eq!(sessions.report()[0].state, State::LoggingIn);
    live.welcomed("127.0.0.1:5432".parse().unwrap(), Instant::now());
    assert_eq!(sessions.report()[0].state, State::Idle);
    live.sent(3);
    assert_eq!(sessions.report()[0].state, State::Active);
    live.received(5, TransactionState::Transaction);
    let report = sessions.report().remove(0);
    assert_eq!(
        (report.target.as_str(), report.user.as_deref(), report.database.as_deref()),
        ("orders", Some("jane"), Some("shop"))
    );
    assert_eq!((report.state, report.to_server, report.to_client), (State::InTransaction, 3, 5));
    assert_eq!(report.server.as_deref(), Some("127.0.0.1:5432"));
    let empty = tokio::spawn({
        let sessions = Arc::clone(&sessions);
        async move { sessions.empty().await }
    });
    tokio::task::yield_now().await;
    assert!(!empty.is_finished());
    drop(presence);
    timeout(Duration::from_secs(10), empty).await.unwrap().unwrap();
    assert!(sessions.report().is_empty());
}
