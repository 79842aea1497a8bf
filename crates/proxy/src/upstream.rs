//! A logged-in connection to a server.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use countersign_connect::drive::{DriveError, TlsConfig, drive};
use countersign_connect::transport::Transport;
use countersign_wire::{Exchange, ReadBuffer};
use tokio::time::Instant;

/// A connection to a server after its login. `S` is the session that the login resulted in, `L`
/// the type of the login parameters.
#[derive(Debug)]
pub(crate) struct Upstream<S, L> {
    pub(crate) transport: Transport,
    /// Bytes received from the server and not yet processed.
    pub(crate) buffer: ReadBuffer,
    pub(crate) session: Arc<S>,
    /// Parameters of the login.
    pub(crate) params: L,
    pub(crate) address: SocketAddr,
    /// Epoch of the target at the login: see [`crate::failover::FailoverEpoch`].
    pub(crate) failover_epoch: u64,
    pub(crate) connected_at: Instant,
}

impl<S, L> Upstream<S, L> {
    /// Runs an exchange of the proxy while no client uses the connection.
    pub(crate) async fn exchange<E: Exchange>(
        &mut self,
        exchange: E,
    ) -> Result<E::Output, DriveError> {
        drive(&mut self.transport, &mut self.buffer, exchange, &TlsConfig::None).await
    }

    /// Returns true if the server has sent nothing and has not closed the connection. Otherwise
    /// the connection must not be given to a client.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.buffer.is_empty() && self.transport.has_no_pending_data()
    }

    /// Moves the connection to the runtime of the current thread: see
    /// [`Transport::reregister`].
    pub(crate) fn reregister(self) -> io::Result<Self> {
        Ok(Self { transport: self.transport.reregister()?, ..self })
    }

    /// Sends `terminate` and closes the connection.
    pub(crate) async fn close(mut self, terminate: &[u8]) {
        // The server may have closed the connection already.
        let _closed = self.transport.write_all(terminate).await;
        self.transport.close().await;
    }
}
