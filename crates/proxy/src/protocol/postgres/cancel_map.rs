//! The keys that clients cancel their statements with, and the server's keys behind them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_wire::pg::CancelKey;

/// The keys of all clients of a target.
#[derive(Debug, Default)]
pub(crate) struct Cancels(Mutex<HashMap<CancelKey, Entry>>);

#[derive(Debug)]
struct Entry {
    /// The server and its key; a server that gives none can't be asked.
    theirs: Option<(SocketAddr, CancelKey)>,
    recalled: Arc<AtomicBool>,
}

impl Cancels {
    /// Remembers a client's key until the stay is over.
    pub(super) fn stay(
        self: &Arc<Self>,
        key: CancelKey,
        theirs: Option<(SocketAddr, CancelKey)>,
    ) -> Stay {
        let recalled = Arc::new(AtomicBool::new(false));
        self.keys().insert(key.clone(), Entry { theirs, recalled: Arc::clone(&recalled) });
        Stay { cancels: Arc::clone(self), key, recalled }
    }

    /// The server and its key, where the client's is one that is known; the session counts as recalled from here on.
    pub(super) fn find(&self, key: &CancelKey) -> Option<(SocketAddr, CancelKey)> {
        let keys = self.keys();
        let entry = keys.get(key)?;
        entry.recalled.store(true, Ordering::Release);
        entry.theirs.clone()
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<CancelKey, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that can cancel, until it is dropped.
#[derive(Debug)]
pub(crate) struct Stay {
    cancels: Arc<Cancels>,
    key: CancelKey,
    recalled: Arc<AtomicBool>,
}

impl Stay {
    pub(super) fn is_recalled(&self) -> bool {
        // Nobody finds the key from here on.
        self.cancels.keys().remove(&self.key);
        self.recalled.load(Ordering::Acquire)
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.cancels.keys().remove(&self.key);
    }
}

#[cfg(test)]
mod tests;
