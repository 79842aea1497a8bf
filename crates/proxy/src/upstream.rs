//! A session on a server, logged in and not yet in anybody's hands.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use countersign_connect::drive::{DriveError, TlsConfig, drive};
use countersign_connect::transport::Transport;
use countersign_wire::{Exchange, ReadBuffer};
use tokio::time::Instant;

use crate::protocol::Protocol;

/// A session on a server.
#[derive(Debug)]
pub(crate) struct Upstream<P: Protocol> {
    pub(crate) transport: Transport,
    /// What the server has sent and nobody has taken.
    pub(crate) inbox: ReadBuffer,
    /// What the login said of it.
    pub(crate) session: Arc<P::Session>,
    /// What it was logged in to for.
    pub(crate) wish: P::Wish,
    pub(crate) address: SocketAddr,
    /// The term of its server as the writer: see [`crate::term::Term`].
    pub(crate) term: u64,
    /// When it was logged in to.
    pub(crate) connected_at: Instant,
}

impl<P: Protocol> Upstream<P> {
    /// Has a word of ours with the server, while nobody else does.
    pub(crate) async fn exchange<E: Exchange>(
        &mut self,
        exchange: E,
    ) -> Result<E::Output, DriveError> {
        drive(&mut self.transport, &mut self.inbox, exchange, &TlsConfig::None).await
    }

    /// Whether the server is silent: one that closes, or that has something to say to nobody, gives its session to no client.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.inbox.is_empty() && self.transport.has_no_pending_data()
    }

    /// See [`Transport::rehome`].
    pub(crate) fn rehome(self) -> io::Result<Self> {
        Ok(Self { transport: self.transport.reregister()?, ..self })
    }

    /// Says goodbye.
    pub(crate) async fn close(mut self) {
        // A server that has gone already needs none.
        let _gone = self.transport.write_all(&P::terminate_message()).await;
        self.transport.close().await;
    }
}
