//! The numbers that clients know their connections by, and the server's numbers behind them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Ours are at least so high: a server counts its own from 1 on, and would have to take in a million clients an hour for three months
/// to come here.
const FIRST: u32 = 1 << 31;

/// The numbers of all clients of a target.
#[derive(Debug)]
pub(crate) struct Ids {
    next: AtomicU32,
    known: Mutex<HashMap<u32, Entry>>,
}

#[derive(Debug)]
struct Entry {
    theirs: u32,
    recalled: Arc<AtomicBool>,
}

impl Ids {
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        // Begun anywhere, so that two proxies before one server seldom give the same.
        Ok(Self { next: AtomicU32::new(getrandom::u32()?), known: Mutex::default() })
    }

    /// A number for a new connection.
    pub(super) fn next(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed) | FIRST
    }

    /// Remembers a client's number until the stay is over.
    pub(super) fn stay(self: &Arc<Self>, ours: u32, theirs: u32) -> Stay {
        let recalled = Arc::new(AtomicBool::new(false));
        self.known().insert(ours, Entry { theirs, recalled: Arc::clone(&recalled) });
        Stay { ids: Arc::clone(self), ours, recalled }
    }

    /// The server's number behind one of ours; the session counts as recalled from here on.
    pub(super) fn find(&self, ours: u32) -> Option<u32> {
        let known = self.known();
        let entry = known.get(&ours)?;
        entry.recalled.store(true, Ordering::Release);
        Some(entry.theirs)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u32, Entry>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that can be killed, until it is dropped.
#[derive(Debug)]
pub(crate) struct Stay {
    ids: Arc<Ids>,
    ours: u32,
    recalled: Arc<AtomicBool>,
}

impl Stay {
    pub(super) fn is_recalled(&self) -> bool {
        // Nobody finds the number from here on.
        self.ids.known().remove(&self.ours);
        self.recalled.load(Ordering::Acquire)
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.ids.known().remove(&self.ours);
    }
}

#[cfg(test)]
mod tests;
