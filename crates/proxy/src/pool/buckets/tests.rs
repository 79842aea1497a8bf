use std::os::unix::net::UnixStream;

use tokio::time::advance;

use super::*;
use crate::protocol::postgres::Postgres;
use crate::testing::{say, session, wish};

const IDLE: Duration = Duration::from_secs(300);

/// Keeps a session of `user`: its server.
fn keep(kinds: &mut Buckets<Postgres>, user: &str) -> UnixStream {
    let (upstream, server) = session(user);
    assert!(kinds.keep(&wish(user), upstream, 10).is_none());
    server
}

/// How many of the kinds' sessions are taken out when all are fresh.
fn swept(kinds: &mut Buckets<Postgres>, warm: usize) -> usize {
    kinds.evict(IDLE, warm, |_| true).len()
}

#[tokio::test]
async fn a_session_is_for_those_who_ask_for_its_kind() {
    let mut kinds = Buckets::default();
    let _server = keep(&mut kinds, "app");
    assert!(kinds.take(&wish("jane")).is_none());
    assert!(kinds.take(&wish("app")).is_some());
    assert!(kinds.take(&wish("app")).is_none());
}

#[tokio::test]
async fn there_are_no_more_than_the_most() {
    let mut kinds = Buckets::default();
    let (first, _first) = session("app");
    assert!(kinds.keep(&wish("app"), first, 1).is_none());
    let (second, _second) = session("jane");
    let surplus = kinds.keep(&wish("jane"), second, 1).expect("of all kinds together");
    assert_eq!(surplus.wish, wish("app"), "what has waited longest");
    assert_eq!(kinds.counts(), Counts { idle: 1, dialling: 0 });
}

#[tokio::test(start_paused = true)]
async fn as_many_logins_begin_as_are_missing() {
    let mut kinds = Buckets::default();
    let app = wish("app");
    assert_eq!((kinds.begin(&app, 2), kinds.begin(&app, 2)), (2, 0), "those under way count");
    kinds.dial_finished(&app, false);
    let _server = keep(&mut kinds, "app");
    assert_eq!(kinds.begin(&app, 2), 0);
    assert_eq!(kinds.counts(), Counts { idle: 1, dialling: 1 });
    kinds.dial_finished(&app, true);
    assert_eq!(kinds.begin(&app, 2), 0, "after one that failed there is a rest");
    advance(BACKOFF).await;
    assert_eq!(kinds.begin(&app, 2), 1);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_needs_is_taken_out_and_as_many_stay_as_shall() {
    let mut kinds = Buckets::default();
    let _servers = [(); 3].map(|()| keep(&mut kinds, "app"));
    advance(IDLE / 2).await;
    assert_eq!(swept(&mut kinds, 1), 0);
    // Somebody asks for the kind, so that it is in use: the one that was left last is taken.
    let taken = kinds.take(&wish("app")).unwrap();
    assert!(kinds.keep(&wish("app"), taken, 10).is_none());
    advance(IDLE / 2).await;
    assert_eq!((swept(&mut kinds, 1), kinds.counts().idle), (2, 1));
    advance(IDLE / 2).await;
    assert_eq!((swept(&mut kinds, 1), kinds.counts().idle), (1, 0), "nobody has asked for long");
    assert!(kinds.latest().is_none(), "the kind is forgotten");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_while_a_client_has_a_database_for_itself() {
    let mut kinds = Buckets::default();
    let app = wish("app");
    let _waiting = keep(&mut kinds, "app");
    assert_eq!(kinds.begin(&app, 2), 1);
    assert_eq!(kinds.vacate().len(), 1);
    kinds.dial_finished(&app, false);
    let (late, _late) = session("app");
    assert!(kinds.keep(&app, late, 10).is_some(), "a login that was under way");
    assert_eq!(kinds.begin(&app, 2), 0);
    advance(BACKOFF).await;
    assert_eq!(kinds.begin(&app, 2), 2);
}

#[tokio::test]
async fn what_is_not_fresh_or_not_quiet_is_taken_out() {
    let mut kinds = Buckets::default();
    let [_first, second] = [(); 2].map(|()| keep(&mut kinds, "app"));
    say(&second, b"E");
    let loud = async {
        while swept(&mut kinds, 2) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), loud).await.unwrap();
    assert_eq!(kinds.counts().idle, 1);
    assert_eq!(kinds.evict(IDLE, 2, |_| false).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn clients_can_t_have_kinds_without_end_remembered() {
    let mut kinds = Buckets::<Postgres>::default();
    for number in 0..=MOST_KINDS {
        kinds.begin(&wish(&number.to_string()), 0);
        advance(Duration::from_millis(1)).await;
    }
    assert_eq!(kinds.known.len(), MOST_KINDS);
    assert!(!kinds.known.contains_key(&wish("0")), "the one that was asked for longest ago goes");
}

#[tokio::test(start_paused = true)]
async fn the_kinds_that_were_asked_for_last_are_kept_ready_where_there_is_room() {
    let mut kinds = Buckets::<Postgres>::default();
    for user in ["first", "second", "third"] {
        assert!(kinds.take(&wish(user)).is_none());
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!(kinds.underfilled(IDLE, 1, 10), ["third", "second", "first"].map(wish));
    assert_eq!(kinds.underfilled(IDLE, 1, 2), ["third", "second"].map(wish));
    let _servers = ["third", "second"].map(|user| keep(&mut kinds, user));
    assert!(
        kinds.underfilled(IDLE, 1, 2).is_empty(),
        "or one would be closed for each that is logged in to"
    );
    assert_eq!(kinds.underfilled(IDLE, 1, 3), ["first"].map(wish));
    advance(IDLE).await;
    assert!(kinds.underfilled(IDLE, 1, 10).is_empty(), "nobody has asked for long");
}
