//! Helpers of this crate's tests: PostgreSQL connections whose peer is the test.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use countersign_connect::transport::{Socket, Transport};
use countersign_wire::ReadBuffer;
use countersign_wire::pg::{StartupParams, client};
use tokio::time::Instant;

use crate::protocol::UpstreamOf;
use crate::protocol::postgres::Postgres;

/// Returns the login parameters of `user`.
pub(crate) fn startup_params(user: &str) -> StartupParams {
    StartupParams { minor: 0, user: user.to_owned(), database: None, parameters: Vec::new() }
}

/// Returns a connection and its peer, both non-blocking.
pub(crate) fn connection() -> (Transport, UnixStream) {
    let (socket, peer) = UnixStream::pair().unwrap();
    for end in [&socket, &peer] {
        end.set_nonblocking(true).unwrap();
    }
    (Transport::from(Socket::Unix(tokio::net::UnixStream::from_std(socket).unwrap())), peer)
}

/// Returns an upstream connection of `user`, and its peer.
pub(crate) fn upstream(user: &str) -> (UpstreamOf<Postgres>, UnixStream) {
    let (transport, server) = connection();
    let session = client::Session {
        minor: 0,
        parameters: Vec::new(),
        key: None,
        notices: Vec::new(),
        status: b'I',
    };
    let upstream = UpstreamOf::<Postgres> {
        transport,
        buffer: ReadBuffer::default(),
        session: Arc::new(session),
        params: startup_params(user),
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 5432)),
        failover_epoch: 0,
        connected_at: Instant::now(),
    };
    (upstream, server)
}

/// Reads everything that has arrived.
pub(crate) fn read_available(mut stream: &UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // An open stream ends the read with WouldBlock.
    let _would_block = stream.read_to_end(&mut bytes);
    bytes
}

pub(crate) fn write(mut stream: &UnixStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
}
