//! What this crate's tests have in common: sessions of PostgreSQL whose server is the test.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use countersign_connect::transport::{Socket, Transport};
use countersign_wire::ReadBuffer;
use countersign_wire::pg::{StartupParams, client};
use tokio::time::Instant;

use crate::protocol::postgres::Postgres;
use crate::upstream::Upstream;

/// What `user` asks for.
pub(crate) fn wish(user: &str) -> StartupParams {
    StartupParams { minor: 0, user: user.to_owned(), database: None, parameters: Vec::new() }
}

/// A connection, and its other end, which does not wait.
pub(crate) fn connection() -> (Transport, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    for end in [&ours, &theirs] {
        end.set_nonblocking(true).unwrap();
    }
    (Transport::from(Socket::Unix(tokio::net::UnixStream::from_std(ours).unwrap())), theirs)
}

/// A session of `user`, and its server.
pub(crate) fn session(user: &str) -> (Upstream<Postgres>, UnixStream) {
    let (transport, server) = connection();
    let session = client::Session {
        minor: 0,
        parameters: Vec::new(),
        key: None,
        notices: Vec::new(),
        status: b'I',
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 5432));
    let upstream = Upstream {
        transport,
        inbox: ReadBuffer::default(),
        session: Arc::new(session),
        wish: wish(user),
        address,
        term: 0,
        connected_at: Instant::now(),
    };
    (upstream, server)
}

/// All that has come by now.
pub(crate) fn received(mut end: &UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What is still open has no end to come to.
    let _would_wait = end.read_to_end(&mut bytes);
    bytes
}

/// Says all of it.
pub(crate) fn say(mut end: &UnixStream, bytes: &[u8]) {
    end.write_all(bytes).unwrap();
}
