//! Limits on the number of client connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use countersign_core::failure::{Class, Failure};

/// Maximum number of clients over a limit that receive an error. Further ones are closed without.
const MAX_OVER_LIMIT: usize = 64;

/// Maximum number of connections. Clones share the count.
#[derive(Debug, Clone)]
pub(crate) struct Limit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// 0 means no limit.
    max: AtomicUsize,
    open: AtomicUsize,
}

/// Counts one connection until it is dropped.
#[derive(Debug)]
struct Permit(Arc<Inner>);

/// Permits of one connection, of the proxy and of the target.
#[derive(Debug)]
pub(crate) struct ConnPermits {
    _permits: [Permit; 2],
}

impl Limit {
    pub(crate) fn new(max: usize) -> Self {
        Self(Arc::new(Inner { max: AtomicUsize::new(max), open: AtomicUsize::new(0) }))
    }

    /// Changes the maximum. Open connections are kept, even if they exceed it.
    pub(crate) fn set_max(&self, max: usize) {
        self.0.max.store(max, Ordering::Relaxed);
    }

    pub(crate) fn max(&self) -> Option<usize> {
        Some(self.0.max.load(Ordering::Relaxed)).filter(|max| *max > 0)
    }

    pub(crate) fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    fn try_acquire(&self) -> Option<Permit> {
        let open = self.0.open.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(Arc::clone(&self.0));
        self.max().is_none_or(|max| open < max).then_some(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Error for a client over a limit.
#[derive(Debug)]
pub(crate) struct OverLimit {
    pub(crate) failure: Failure,
    _permit: Permit,
}

/// Admits clients to a target.
#[derive(Debug)]
pub(crate) struct Admission {
    proxy: Limit,
    target: Limit,
    /// Counts the clients over a limit.
    over_limit: Limit,
}

impl Admission {
    pub(crate) fn new(proxy: Limit, target: Limit) -> Self {
        Self { proxy, target, over_limit: Limit::new(MAX_OVER_LIMIT) }
    }

    /// Acquires the permits of a client of the target `name`, or returns the error to send to it.
    /// `None` means that the connection is to be closed without an error.
    pub(crate) fn try_acquire(&self, name: &str) -> Option<Result<ConnPermits, OverLimit>> {
        let over_limit = |limit: &Limit, owner: String| {
            let max = limit.max().unwrap_or_default();
            let detail =
                format!("too many connections: the limit of {owner} is {max}; try again later");
            let failure = Failure::new(Class::Throttled, detail);
            let permit = self.over_limit.try_acquire()?;
            Some(Err(OverLimit { failure, _permit: permit }))
        };
        let Some(proxy) = self.proxy.try_acquire() else {
            return over_limit(&self.proxy, "the proxy".to_owned());
        };
        let Some(target) = self.target.try_acquire() else {
            return over_limit(&self.target, format!("target {name:?}"));
        };
        Some(Ok(ConnPermits { _permits: [proxy, target] }))
    }

    pub(crate) fn target(&self) -> &Limit {
        &self.target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(proxy: usize, target: usize) -> (Admission, Limit) {
        let proxy = Limit::new(proxy);
        (Admission::new(proxy.clone(), Limit::new(target)), proxy)
    }

    #[test]
    fn permits_are_released_when_they_are_dropped() {
        let (admission, proxy) = admission(0, 2);
        let first = admission.try_acquire("t").unwrap().unwrap();
        let second = admission.try_acquire("t").unwrap().unwrap();
        assert_eq!((proxy.open(), admission.target().open()), (2, 2));
        let OverLimit { failure, .. } = admission.try_acquire("t").unwrap().unwrap_err();
        assert_eq!(failure.class, Class::Throttled);
        assert!(failure.detail.contains("the limit of target \"t\" is 2"), "{}", failure.detail);
        assert_eq!(proxy.open(), 2, "a rejected client holds no permit");
        drop(first);
        assert!(admission.try_acquire("t").unwrap().is_ok());
        drop(second);
        assert_eq!(proxy.open(), 0);
    }

    #[test]
    fn targets_share_the_limit_of_the_proxy() {
        let (first, proxy) = admission(1, 0);
        let second = Admission::new(proxy.clone(), Limit::new(0));
        let _permits = first.try_acquire("first").unwrap().unwrap();
        let OverLimit { failure, .. } = second.try_acquire("second").unwrap().unwrap_err();
        assert!(failure.detail.contains("the limit of the proxy is 1"), "{}", failure.detail);
        proxy.set_max(2);
        assert!(second.try_acquire("second").unwrap().is_ok());
    }

    #[test]
    fn the_number_of_rejected_clients_with_an_error_is_limited() {
        let (admission, _) = admission(1, 0);
        let _permits = admission.try_acquire("t").unwrap().unwrap();
        let rejected: Vec<_> =
            (0..MAX_OVER_LIMIT).map(|_| admission.try_acquire("t").unwrap().unwrap_err()).collect();
        assert!(admission.try_acquire("t").is_none());
        drop(rejected);
        assert!(admission.try_acquire("t").is_some());
    }
}
