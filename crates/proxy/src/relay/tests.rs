use std::future::poll_fn;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use countersign_wire::pg::codec;

use super::*;
use crate::protocol::TransactionState;
use crate::protocol::postgres::{Postgres, Tracker};
use crate::sessions::{SessionGuard, Sessions};
use crate::testing::{connection, read_available, upstream, write};

/// A relayed session, and the peers of both of its connections.
struct Session {
    client: Transport,
    client_buffer: ReadBuffer,
    upstream: UpstreamOf<Postgres>,
    tracker: Tracker,
    guard: SessionGuard,
    client_peer: UnixStream,
    server_peer: UnixStream,
}

impl Session {
    fn new() -> Self {
        let (client, client_peer) = connection();
        let (upstream, server_peer) = upstream("app");
        let guard = Arc::new(Sessions::default()).register(
            "orders".into(),
            Arc::default(),
            "a test".to_owned(),
        );
        Self {
            client,
            client_buffer: ReadBuffer::default(),
            upstream,
            tracker: Tracker::default(),
            guard,
            client_peer,
            server_peer,
        }
    }

    fn relay(&mut self) -> Relay<'_, Postgres> {
        let Self { client, client_buffer, upstream, tracker, guard, .. } = self;
        Relay::new(client, client_buffer, upstream, tracker, &guard.info)
    }

    /// Relays until it stops.
    async fn end(&mut self) -> RelayEnd<Postgres> {
        let mut relay = self.relay();
        tokio::time::timeout(Duration::from_secs(10), poll_fn(|cx| relay.poll(cx)))
            .await
            .expect("an end")
    }

    /// Relays the available bytes.
    async fn forward(&mut self) {
        let mut relay = self.relay();
        poll_fn(|cx| {
            assert!(relay.poll(cx).is_pending(), "the relay stopped");
            Poll::Ready(())
        })
        .await;
        tokio::task::yield_now().await;
    }

    /// Relays until `peer` has received `count` bytes, and returns them.
    async fn receive(&mut self, peer: impl Fn(&Self) -> &UnixStream, count: usize) -> Vec<u8> {
        let receive = async {
            let mut received = Vec::new();
            while received.len() < count {
                self.forward().await;
                received.extend(read_available(peer(self)));
            }
            received
        };
        tokio::time::timeout(Duration::from_secs(10), receive).await.expect("all bytes")
    }

    async fn receive_at_server(&mut self, count: usize) -> Vec<u8> {
        self.receive(|session| &session.server_peer, count).await
    }

    async fn receive_at_client(&mut self, count: usize) -> Vec<u8> {
        self.receive(|session| &session.client_peer, count).await
    }
}

fn query() -> Vec<u8> {
    codec::message(b'Q', b"SELECT 1\0")
}

fn ready_for_query() -> Vec<u8> {
    codec::message(b'Z', b"I")
}

#[tokio::test]
async fn bytes_are_forwarded_in_both_directions() {
    let mut session = Session::new();
    write(&session.client_peer, &query());
    assert_eq!(session.receive_at_server(query().len()).await, query());
    assert_eq!(session.tracker.state(), TransactionState::Active);
    let ready = ready_for_query();
    write(&session.server_peer, &ready);
    assert_eq!(session.receive_at_client(ready.len()).await, ready);
    assert_eq!(session.tracker.state(), TransactionState::Idle);
    assert_eq!(session.guard.info.bytes(), (query().len() as u64, ready.len() as u64));
}

#[tokio::test]
async fn the_terminate_message_is_not_forwarded() {
    let mut session = Session::new();
    write(&session.client_peer, &[query(), codec::terminate()].concat());
    assert!(matches!(session.end().await, RelayEnd::ClientClosed));
    assert_eq!(read_available(&session.server_peer), query(), "messages before it are");
}

#[tokio::test]
async fn the_relay_reports_which_connection_was_closed() {
    let mut session = Session::new();
    session.client_peer = UnixStream::pair().unwrap().0;
    assert!(matches!(session.end().await, RelayEnd::ClientClosed));
    let mut session = Session::new();
    write(&session.server_peer, &ready_for_query());
    session.server_peer = UnixStream::pair().unwrap().0;
    assert!(matches!(session.end().await, RelayEnd::ServerClosed));
    let received = read_available(&session.client_peer);
    assert_eq!(received, ready_for_query(), "the server's last message is forwarded");
}

#[tokio::test]
async fn bytes_buffered_during_the_logins_are_forwarded_first() {
    let mut session = Session::new();
    session.client_buffer.push(&query());
    session.upstream.buffer.push(&ready_for_query());
    assert_eq!(session.receive_at_server(query().len()).await, query());
    let received = session.receive_at_client(ready_for_query().len()).await;
    assert_eq!(received, ready_for_query());
}

#[tokio::test]
async fn a_server_that_does_not_read_stops_reading_from_its_client() {
    let mut session = Session::new();
    let block = codec::message(b'd', &[b'x'; 32 * 1024]);
    let (mut written, mut refused) = (0, 0);
    while refused < 100 {
        match (&session.client_peer).write(&block[written % block.len()..]) {
            Ok(count) => (written, refused) = (written + count, 0),
            Err(_) => refused += 1,
        }
        session.forward().await;
    }
    assert!(written < 4 << 20, "{written} bytes are buffered, more than both sockets hold");
    assert_eq!(session.receive_at_server(written).await.len(), written);
}
