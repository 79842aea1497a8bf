//! Keys by which clients cancel statements, and the server's key of each session.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Cancel keys of the clients of one target. `K` is the key that the proxy gave to the client,
/// `S` the server's key.
#[derive(Debug)]
pub(super) struct CancelMap<K, S>(Mutex<HashMap<K, Entry<S>>>);

#[derive(Debug)]
struct Entry<S> {
    server_key: S,
    forwarded: Arc<AtomicBool>,
}

impl<K, S> Default for CancelMap<K, S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, S> CancelMap<K, S>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    S: Clone + Send + 'static,
{
    /// Registers a session until the guard is dropped.
    pub(super) fn register(self: &Arc<Self>, key: K, server_key: S) -> CancelGuard {
        let forwarded = Arc::new(AtomicBool::new(false));
        self.entries().insert(key.clone(), Entry { server_key, forwarded: Arc::clone(&forwarded) });
        let map = Arc::clone(self);
        CancelGuard { forwarded, unregister: Box::new(move || _ = map.entries().remove(&key)) }
    }

    /// Returns the server's key of a session, and marks the session as cancelled.
    pub(super) fn lookup(&self, key: &K) -> Option<S> {
        let entries = self.entries();
        let entry = entries.get(key)?;
        entry.forwarded.store(true, Ordering::Release);
        Some(entry.server_key.clone())
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<K, Entry<S>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Registration of a session for cancel requests; it ends when the guard is dropped.
pub(crate) struct CancelGuard {
    forwarded: Arc<AtomicBool>,
    unregister: Box<dyn Fn() + Send + Sync>,
}

impl CancelGuard {
    /// Unregisters the session. Returns true if a cancel request was forwarded for it. Such a
    /// connection is not reused: a late cancel could hit the next client.
    pub(crate) fn cancel_was_forwarded(self) -> bool {
        (self.unregister)();
        self.forwarded.load(Ordering::Acquire)
    }
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        (self.unregister)();
    }
}

impl fmt::Debug for CancelGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelGuard").field("forwarded", &self.forwarded).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_valid_until_their_guard_is_dropped() {
        let map = Arc::new(CancelMap::default());
        let guard = map.register(1, "server");
        assert_eq!((map.lookup(&1), map.lookup(&2)), (Some("server"), None));
        drop(guard);
        assert_eq!(map.lookup(&1), None);
    }

    #[test]
    fn guards_report_forwarded_cancels_and_unregister_first() {
        let map = Arc::new(CancelMap::default());
        let [untouched, cancelled] = [1, 2].map(|key| map.register(key, ()));
        assert_eq!(map.lookup(&2), Some(()));
        assert!(!untouched.cancel_was_forwarded() && cancelled.cancel_was_forwarded());
        assert_eq!((map.lookup(&1), map.lookup(&2)), (None, None));
    }
}
