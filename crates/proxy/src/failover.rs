//! The terms of a server as the writer.

use tokio::sync::watch;

/// How often the target has failed over. What was dialled before the last time is on the wrong server.
#[derive(Debug)]
pub(crate) struct FailoverEpoch(watch::Sender<u64>);

impl Default for FailoverEpoch {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl FailoverEpoch {
    /// The number of the term that there is now.
    pub(crate) fn now(&self) -> u64 {
        *self.0.borrow()
    }

    /// Hears of the ends of terms.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    /// The server is the writer no longer.
    pub(crate) fn advance(&self) {
        self.0.send_modify(|count| *count += 1);
    }
}
