//! Events that end sessions from outside: the shutdown of the proxy, and a failover.

use tokio::sync::watch;

/// Phase of the proxy's shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ShutdownPhase {
    Running,
    /// No new clients are accepted; sessions continue.
    Draining,
    /// Sessions are terminated.
    Terminating,
}

/// Number of failovers of a target. Connections of an earlier epoch are on the wrong server.
#[derive(Debug)]
pub(crate) struct FailoverEpoch(watch::Sender<u64>);

impl Default for FailoverEpoch {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl FailoverEpoch {
    /// Returns the current epoch.
    pub(crate) fn current(&self) -> u64 {
        *self.0.borrow()
    }

    /// Waits until `epoch` is over.
    pub(crate) fn end_of(&self, epoch: u64) -> impl Future<Output = ()> + Send + use<> {
        let mut epochs = self.0.subscribe();
        async move {
            // An error means that the target was dropped, which its sessions prevent.
            let _changed = epochs.wait_for(|current| *current != epoch).await;
        }
    }

    /// Begins a new epoch: the server of the current one is no longer the writer.
    pub(crate) fn advance(&self) {
        self.0.send_modify(|epoch| *epoch += 1);
    }
}
