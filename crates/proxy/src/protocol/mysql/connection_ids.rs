//! Connection ids that the proxy gives to clients, and the server's id of each session.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::protocol::cancel_map::{CancelGuard, CancelMap};

/// Minimum of the ids given to clients. A server counts its own ids from 1: it would have to
/// accept a million clients an hour for three months to reach this.
const FIRST: u32 = 1 << 31;

/// Connection ids of the clients of one target.
#[derive(Debug)]
pub(super) struct ConnectionIds {
    next: AtomicU32,
    map: Arc<CancelMap<u32, u32>>,
}

impl ConnectionIds {
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        // A random start, so that two proxies of one server rarely give the same ids.
        Ok(Self { next: AtomicU32::new(getrandom::u32()?), map: Arc::default() })
    }

    /// Returns an id for a new client.
    pub(super) fn next_client_id(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed) | FIRST
    }

    /// Registers a session until the guard is dropped.
    pub(super) fn register(&self, client_id: u32, server_id: u32) -> CancelGuard {
        self.map.register(client_id, server_id)
    }

    /// Returns the server's id of a session, and marks the session as cancelled.
    pub(super) fn server_id(&self, client_id: u32) -> Option<u32> {
        self.map.lookup(&client_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_ids_are_mapped_to_server_ids_until_the_session_ends() {
        let ids = ConnectionIds::new().unwrap();
        let (first, second) = (ids.next_client_id(), ids.next_client_id());
        assert!(first != second && first >= FIRST && second >= FIRST);
        let guard = ids.register(first, 7);
        assert_eq!(ids.server_id(first), Some(7));
        assert_eq!((ids.server_id(second), ids.server_id(7)), (None, None));
        assert!(guard.cancel_was_forwarded());
        assert_eq!(ids.server_id(first), None);
    }
}
