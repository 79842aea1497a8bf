use std::future::poll_fn;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use countersign_wire::pg::codec;

use super::*;
use crate::protocol::TransactionState;
use crate::protocol::postgres::{Follower, Postgres};
use crate::sessions::{SessionGuard, Sessions};
use crate::testing::{connection, received, say, session};

/// A session that is handed through, and the test at both of its ends.
struct Stage {
    client: Transport,
    inbox: ReadBuffer,
    upstream: Upstream<Postgres>,
    follower: Follower,
    presence: SessionGuard,
    at_client: UnixStream,
    at_server: UnixStream,
}

impl Stage {
    fn new() -> Self {
        let (client, at_client) = connection();
        let (upstream, at_server) = session("app");
        let presence = Arc::new(Sessions::default()).register(
            "orders".into(),
            Arc::default(),
            "a test".to_owned(),
        );
        Self {
            client,
            inbox: ReadBuffer::default(),
            upstream,
            follower: Follower::default(),
            presence,
            at_client,
            at_server,
        }
    }

    fn relay(&mut self) -> Relay<'_, Postgres> {
        let Self { client, inbox, upstream, follower, presence, .. } = self;
        Relay { client, inbox, upstream, follower, live: &presence.live }
    }

    /// Hands through until it ends.
    async fn end(&mut self) -> End<Postgres> {
        let mut relay = self.relay();
        tokio::time::timeout(Duration::from_secs(10), poll_fn(|cx| relay.poll(cx)))
            .await
            .expect("an end")
    }

    /// Hands through what there is.
    async fn pass(&mut self) {
        let mut relay = self.relay();
        poll_fn(|cx| {
            assert!(relay.poll(cx).is_pending(), "it goes on");
            Poll::Ready(())
        })
        .await;
        tokio::task::yield_now().await;
    }

    /// Hands through until `end` has got so many bytes: those.
    async fn until(&mut self, end: impl Fn(&Self) -> &UnixStream, count: usize) -> Vec<u8> {
        let work = async {
            let mut heard = Vec::new();
            while heard.len() < count {
                self.pass().await;
                heard.extend(received(end(self)));
            }
            heard
        };
        tokio::time::timeout(Duration::from_secs(10), work).await.expect("all of it")
    }
}

fn query() -> Vec<u8> {
    codec::message(b'Q', b"SELECT 1\0")
}

fn ready() -> Vec<u8> {
    codec::message(b'Z', b"I")
}

#[tokio::test]
async fn each_hears_what_the_other_says() {
    let mut stage = Stage::new();
    say(&stage.at_client, &query());
    assert_eq!(stage.until(|stage| &stage.at_server, query().len()).await, query());
    assert_eq!(stage.follower.standing(), TransactionState::Active);
    say(&stage.at_server, &ready());
    assert_eq!(stage.until(|stage| &stage.at_client, ready().len()).await, ready());
    assert_eq!(stage.follower.standing(), TransactionState::Idle);
    assert_eq!(stage.presence.live.bytes(), (query().len() as u64, ready().len() as u64));
}

#[tokio::test]
async fn a_goodbye_is_not_passed_on() {
    let mut stage = Stage::new();
    say(&stage.at_client, &[query(), codec::terminate()].concat());
    assert!(matches!(stage.end().await, End::Client));
    assert_eq!(received(&stage.at_server), query(), "what was said before it is");
}

#[tokio::test]
async fn the_end_of_either_connection_is_told_apart() {
    let mut stage = Stage::new();
    stage.at_client = UnixStream::pair().unwrap().0;
    assert!(matches!(stage.end().await, End::Client));
    let mut stage = Stage::new();
    say(&stage.at_server, &ready());
    stage.at_server = UnixStream::pair().unwrap().0;
    assert!(matches!(stage.end().await, End::Server));
    assert_eq!(
        received(&stage.at_client),
        ready(),
        "what the server said at last has been handed on"
    );
}

#[tokio::test]
async fn what_came_with_the_logins_goes_first() {
    let mut stage = Stage::new();
    stage.inbox.push(&query());
    stage.upstream.inbox.push(&ready());
    let mut relay = stage.relay();
    assert!(poll_fn(|cx| Poll::Ready(relay.begin(cx).is_ok())).await);
    assert_eq!(stage.until(|stage| &stage.at_server, query().len()).await, query());
    assert_eq!(stage.until(|stage| &stage.at_client, ready().len()).await, ready());
}

#[tokio::test]
async fn nothing_more_is_read_from_a_client_whose_server_does_not_take_it() {
    let mut stage = Stage::new();
    let block = codec::message(b'd', &[b'x'; 32 * 1024]);
    let (mut said, mut refused) = (0, 0);
    while refused < 100 {
        match (&stage.at_client).write(&block[said % block.len()..]) {
            Ok(count) => (said, refused) = (said + count, 0),
            Err(_) => refused += 1,
        }
        stage.pass().await;
    }
    assert!(
        said < 4 << 20,
        "both sockets take so much, and what is between them less: {said} bytes wait"
    );
    assert_eq!(stage.until(|stage| &stage.at_server, said).await.len(), said);
}
