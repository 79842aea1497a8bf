//! How many clients there is room for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign_core::failure::{Class, Failure};

/// The most clients beyond a limit that are let in to be told so. More are closed without a word.
const MOST_TURNED_AWAY: usize = 64;

/// Room for so many clients. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Limit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// 0 is no limit.
    most: AtomicUsize,
    open: AtomicUsize,
}

/// A client's place, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct ConnPermit(Arc<Inner>);

/// A client's places: the proxy's and the target's.
#[derive(Debug)]
pub(crate) struct Slot {
    _places: [ConnPermit; 2],
}

impl Limit {
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Inner { most: AtomicUsize::new(most), open: AtomicUsize::new(0) }))
    }

    /// Who is there stays, also where they are too many now.
    pub(crate) fn set(&self, most: usize) {
        self.0.most.store(most, Ordering::Relaxed);
    }

    pub(crate) fn most(&self) -> Option<usize> {
        Some(self.0.most.load(Ordering::Relaxed)).filter(|most| *most > 0)
    }

    pub(crate) fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    fn try_acquire(&self) -> Option<ConnPermit> {
        let open = self.0.open.fetch_add(1, Ordering::Relaxed);
        let place = ConnPermit(Arc::clone(&self.0));
        self.most().is_none_or(|most| open < most).then_some(place)
    }
}

impl Drop for ConnPermit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A client that there is no room for, and that is to be told so.
#[derive(Debug)]
pub(crate) struct OverLimit {
    pub(crate) failure: Failure,
    _place: ConnPermit,
}

/// What counts those that are turned away, so that they stay few.
#[derive(Debug)]
pub(crate) struct Admission {
    proxy: Limit,
    target: Limit,
    away: Limit,
}

impl Admission {
    pub(crate) fn new(proxy: Limit, target: Limit) -> Self {
        Self { proxy, target, away: Limit::new(MOST_TURNED_AWAY) }
    }

    /// The client's places; the reason where there are none; `None` where not even that is to be said.
    pub(crate) fn enter(&self, name: &str) -> Option<Result<Slot, OverLimit>> {
        let full = |limit: &Limit, what: String| {
            let most = limit.most().unwrap_or_default();
            let failure = Failure::new(
                Class::Throttled,
                format!("{what} has {most} connections open, which is its limit; try again later"),
            );
            self.away.try_acquire().map(|place| Err(OverLimit { failure, _place: place }))
        };
        let Some(proxy) = self.proxy.try_acquire() else {
            return full(&self.proxy, "the proxy".to_owned());
        };
        let Some(target) = self.target.try_acquire() else {
            return full(&self.target, format!("the target {name}"));
        };
        Some(Ok(Slot { _places: [proxy, target] }))
    }

    pub(crate) fn target(&self) -> &Limit {
        &self.target
    }
}

#[cfg(test)]
mod tests;
