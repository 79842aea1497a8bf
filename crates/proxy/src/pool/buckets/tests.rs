use std::os::unix::net::UnixStream;

use tokio::time::advance;

use super::*;
use crate::protocol::postgres::Postgres;
use crate::testing::{startup_params, upstream, write};

const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// Adds a connection of `user`. Returns the server's end of it.
fn put(buckets: &mut Buckets<Postgres>, user: &str) -> UnixStream {
    let (upstream, server) = upstream(user);
    assert!(buckets.put(&startup_params(user), upstream, 10).is_none());
    server
}

/// Returns the number of evicted connections if all are fresh.
fn evict(buckets: &mut Buckets<Postgres>, min_idle: usize) -> usize {
    buckets.evict(IDLE_TIMEOUT, min_idle, |_| true).len()
}

#[tokio::test]
async fn a_connection_is_given_only_to_requests_with_its_key() {
    let mut buckets = Buckets::<Postgres>::default();
    let _server = put(&mut buckets, "app");
    assert!(buckets.take(&startup_params("jane")).is_none());
    assert!(buckets.take(&startup_params("app")).is_some());
    assert!(buckets.take(&startup_params("app")).is_none());
}

#[tokio::test]
async fn max_idle_limits_the_connections_of_all_keys_together() {
    let mut buckets = Buckets::<Postgres>::default();
    let (first, _first) = upstream("app");
    assert!(buckets.put(&startup_params("app"), first, 1).is_none());
    let (second, _second) = upstream("jane");
    let surplus = buckets.put(&startup_params("jane"), second, 1).expect("one too many");
    assert_eq!(surplus.params, startup_params("app"), "the one that was idle for longest");
    assert_eq!(buckets.counts(), PoolCounts { idle: 1, connecting: 0 });
}

#[tokio::test(start_paused = true)]
async fn missing_connections_are_opened_once() {
    let mut buckets = Buckets::<Postgres>::default();
    let app = startup_params("app");
    let begun = (buckets.begin_connecting(&app, 2), buckets.begin_connecting(&app, 2));
    assert_eq!(begun, (2, 0), "logins in progress count");
    buckets.connecting_finished(&app, false);
    let _server = put(&mut buckets, "app");
    assert_eq!(buckets.begin_connecting(&app, 2), 0);
    assert_eq!(buckets.counts(), PoolCounts { idle: 1, connecting: 1 });
    buckets.connecting_finished(&app, true);
    assert_eq!(buckets.begin_connecting(&app, 2), 0, "backoff after a failed login");
    advance(BACKOFF).await;
    assert_eq!(buckets.begin_connecting(&app, 2), 1);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_beyond_min_idle_are_evicted() {
    let mut buckets = Buckets::<Postgres>::default();
    let _servers = [(); 3].map(|()| put(&mut buckets, "app"));
    advance(IDLE_TIMEOUT / 2).await;
    assert_eq!(evict(&mut buckets, 1), 0);
    // The request marks the key as in use.
    let taken = buckets.take(&startup_params("app")).unwrap();
    assert!(buckets.put(&startup_params("app"), taken, 10).is_none());
    advance(IDLE_TIMEOUT / 2).await;
    assert_eq!((evict(&mut buckets, 1), buckets.counts().idle), (2, 1));
    advance(IDLE_TIMEOUT / 2).await;
    assert_eq!((evict(&mut buckets, 1), buckets.counts().idle), (1, 0), "the key is out of use");
    assert!(buckets.last_requested().is_none(), "the key is removed");
}

#[tokio::test(start_paused = true)]
async fn no_connection_is_kept_after_exclusive_ddl() {
    let mut buckets = Buckets::<Postgres>::default();
    let app = startup_params("app");
    let _idle = put(&mut buckets, "app");
    assert_eq!(buckets.begin_connecting(&app, 2), 1);
    assert_eq!(buckets.close_idle_for_ddl().len(), 1);
    buckets.connecting_finished(&app, false);
    let (late, _late) = upstream("app");
    assert!(buckets.put(&app, late, 10).is_some(), "a login that was in progress");
    assert_eq!(buckets.begin_connecting(&app, 2), 0);
    advance(BACKOFF).await;
    assert_eq!(buckets.begin_connecting(&app, 2), 2);
}

#[tokio::test]
async fn connections_that_are_not_fresh_or_not_quiet_are_evicted() {
    let mut buckets = Buckets::<Postgres>::default();
    let [_first, second] = [(); 2].map(|()| put(&mut buckets, "app"));
    write(&second, b"E");
    let evicted = async {
        while evict(&mut buckets, 2) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), evicted).await.unwrap();
    assert_eq!(buckets.counts().idle, 1);
    assert_eq!(buckets.evict(IDLE_TIMEOUT, 2, |_| false).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_number_of_keys_is_limited() {
    let mut buckets = Buckets::<Postgres>::default();
    for number in 0..=MAX_BUCKETS {
        buckets.begin_connecting(&startup_params(&number.to_string()), 0);
        advance(Duration::from_millis(1)).await;
    }
    assert_eq!(buckets.by_key.len(), MAX_BUCKETS);
    assert!(!buckets.by_key.contains_key(&startup_params("0")), "the least recent one is removed");
}

#[tokio::test(start_paused = true)]
async fn the_most_recent_keys_are_filled_up_to_max_idle() {
    let mut buckets = Buckets::<Postgres>::default();
    for user in ["first", "second", "third"] {
        assert!(buckets.take(&startup_params(user)).is_none());
        advance(Duration::from_secs(1)).await;
    }
    let keys = |users: &[&str]| users.iter().copied().map(startup_params).collect::<Vec<_>>();
    assert_eq!(buckets.underfilled(IDLE_TIMEOUT, 1, 10), keys(&["third", "second", "first"]));
    assert_eq!(buckets.underfilled(IDLE_TIMEOUT, 1, 2), keys(&["third", "second"]));
    let _servers = ["third", "second"].map(|user| put(&mut buckets, user));
    assert!(
        buckets.underfilled(IDLE_TIMEOUT, 1, 2).is_empty(),
        "each new connection would replace another one"
    );
    assert_eq!(buckets.underfilled(IDLE_TIMEOUT, 1, 3), keys(&["first"]));
    advance(IDLE_TIMEOUT).await;
    assert!(buckets.underfilled(IDLE_TIMEOUT, 1, 10).is_empty(), "the keys are out of use");
}
