//! Idle connections of a pool by pool key.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::{ServerProtocol, UpstreamOf};

/// Maximum number of pool keys. Clients choose user, database and parameters, so the number of
/// keys must be bounded.
const MAX_BUCKETS: usize = 256;

/// Time without logins in advance after a failed one, and without idle connections after DDL that
/// needs a database without sessions. Clients still connect on demand.
const BACKOFF: Duration = Duration::from_secs(10);

/// Connections by pool key.
#[derive(Debug)]
pub(super) struct Buckets<P: ServerProtocol> {
    by_key: HashMap<P::Params, Bucket<P>>,
    /// End of the time without idle connections: see [`Buckets::close_idle_for_ddl`].
    closed_until: Option<Instant>,
}

#[derive(Debug)]
struct Bucket<P: ServerProtocol> {
    /// The last one is used first, so that unneeded ones reach the idle timeout.
    idle: Vec<IdleConn<P>>,
    /// Number of logins in progress.
    connecting: usize,
    /// End of the time without logins in advance.
    backoff_until: Option<Instant>,
    last_requested: Instant,
}

#[derive(Debug)]
struct IdleConn<P: ServerProtocol> {
    upstream: UpstreamOf<P>,
    idle_since: Instant,
}

/// Numbers of connections of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PoolCounts {
    pub(crate) idle: usize,
    /// Logins in advance that are in progress.
    pub(crate) connecting: usize,
}

impl<P: ServerProtocol> Default for Buckets<P> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), closed_until: None }
    }
}

impl<P: ServerProtocol> Buckets<P> {
    /// Takes the connection that was returned last.
    pub(super) fn take(&mut self, key: &P::Params) -> Option<UpstreamOf<P>> {
        let bucket = self.bucket(key);
        bucket.last_requested = Instant::now();
        bucket.idle.pop().map(|conn| conn.upstream)
    }

    /// Adds a connection. Returns the one that has been idle for longest if there are more than
    /// `max_idle`.
    pub(super) fn put(
        &mut self,
        key: &P::Params,
        upstream: UpstreamOf<P>,
        max_idle: usize,
    ) -> Option<UpstreamOf<P>> {
        if self.is_closed_for_ddl() {
            return Some(upstream);
        }
        self.bucket(key).idle.push(IdleConn { upstream, idle_since: Instant::now() });
        if self.counts().idle <= max_idle {
            return None;
        }
        let oldest = |bucket: &&mut Bucket<P>| bucket.idle.first().map(|conn| conn.idle_since);
        let bucket =
            self.by_key.values_mut().filter(|bucket| !bucket.idle.is_empty()).min_by_key(oldest)?;
        Some(bucket.idle.remove(0).upstream)
    }

    /// Returns the number of logins to begin to reach `min_idle`, and counts them as in progress.
    pub(super) fn begin_connecting(&mut self, key: &P::Params, min_idle: usize) -> usize {
        let closed = self.is_closed_for_ddl();
        let bucket = self.bucket(key);
        if closed || bucket.backoff_until.is_some_and(|until| Instant::now() < until) {
            return 0;
        }
        let missing = min_idle.saturating_sub(bucket.idle.len() + bucket.connecting);
        bucket.connecting += missing;
        missing
    }

    /// Ends a login that was counted as in progress.
    pub(super) fn connecting_finished(&mut self, key: &P::Params, failed: bool) {
        if let Some(bucket) = self.by_key.get_mut(key) {
            bucket.connecting = bucket.connecting.saturating_sub(1);
            bucket.backoff_until = failed.then(|| Instant::now() + BACKOFF);
        }
    }

    /// Removes connections that are not fresh, that the server has closed or written to, or that
    /// have been idle for `idle_timeout` and exceed `min_idle`. Also removes unused keys.
    pub(super) fn evict(
        &mut self,
        idle_timeout: Duration,
        min_idle: usize,
        is_fresh: impl Fn(&UpstreamOf<P>) -> bool,
    ) -> Vec<UpstreamOf<P>> {
        let mut evicted = Vec::new();
        for bucket in self.by_key.values_mut() {
            let in_use = bucket.last_requested.elapsed() < idle_timeout;
            let mut remaining = bucket.idle.len();
            let mut kept = Vec::with_capacity(remaining);
            for mut conn in bucket.idle.drain(..) {
                let is_needed = in_use && remaining <= min_idle;
                let timed_out = conn.idle_since.elapsed() >= idle_timeout && !is_needed;
                if timed_out || !is_fresh(&conn.upstream) || !conn.upstream.is_quiet() {
                    remaining -= 1;
                    evicted.push(conn.upstream);
                } else {
                    kept.push(conn);
                }
            }
            bucket.idle = kept;
        }
        self.by_key.retain(|_, bucket| {
            bucket.last_requested.elapsed() < idle_timeout
                || !bucket.idle.is_empty()
                || bucket.connecting > 0
        });
        evicted
    }

    /// Returns the keys requested within `idle_timeout` that have fewer than `min_idle`
    /// connections, the last requested first. Stops at `max_idle` connections in total: further
    /// ones would be closed at once.
    pub(super) fn underfilled(
        &self,
        idle_timeout: Duration,
        min_idle: usize,
        max_idle: usize,
    ) -> Vec<P::Params> {
        let PoolCounts { idle, connecting } = self.counts();
        let mut room = max_idle.saturating_sub(idle + connecting);
        let mut in_use: Vec<_> = self
            .by_key
            .iter()
            .filter(|(_, bucket)| bucket.last_requested.elapsed() < idle_timeout)
            .collect();
        in_use.sort_by_key(|(_, bucket)| Reverse(bucket.last_requested));
        let needs_more = |(key, bucket): (&P::Params, &Bucket<P>)| {
            let missing = min_idle.saturating_sub(bucket.idle.len() + bucket.connecting);
            let fits = missing > 0 && missing <= room;
            room -= if fits { missing } else { 0 };
            fits.then(|| key.clone())
        };
        in_use.into_iter().filter_map(needs_more).collect()
    }

    /// Returns the key that was requested last.
    pub(super) fn last_requested(&self) -> Option<P::Params> {
        self.by_key
            .iter()
            .max_by_key(|(_, bucket)| bucket.last_requested)
            .map(|(key, _)| key.clone())
    }

    /// Removes all idle connections, and accepts none for a while.
    pub(super) fn close_idle_for_ddl(&mut self) -> Vec<UpstreamOf<P>> {
        self.closed_until = Some(Instant::now() + BACKOFF);
        self.clear()
    }

    fn is_closed_for_ddl(&self) -> bool {
        self.closed_until.is_some_and(|until| Instant::now() < until)
    }

    /// Removes all idle connections.
    pub(super) fn clear(&mut self) -> Vec<UpstreamOf<P>> {
        self.by_key
            .values_mut()
            .flat_map(|bucket| bucket.idle.drain(..))
            .map(|conn| conn.upstream)
            .collect()
    }

    pub(super) fn counts(&self) -> PoolCounts {
        let sum = |count: fn(&Bucket<P>) -> usize| self.by_key.values().map(count).sum();
        PoolCounts {
            idle: sum(|bucket| bucket.idle.len()),
            connecting: sum(|bucket| bucket.connecting),
        }
    }

    fn bucket(&mut self, key: &P::Params) -> &mut Bucket<P> {
        if self.by_key.len() >= MAX_BUCKETS && !self.by_key.contains_key(key) {
            // The least recently requested one without logins in progress. Dropping it closes its
            // connections.
            let oldest = self
                .by_key
                .iter()
                .filter(|(_, bucket)| bucket.connecting == 0)
                .min_by_key(|(_, bucket)| bucket.last_requested);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.by_key.remove(&oldest);
            }
        }
        self.by_key.entry(key.clone()).or_insert_with(|| Bucket {
            idle: Vec::new(),
            connecting: 0,
            backoff_until: None,
            last_requested: Instant::now(),
        })
    }
}

#[cfg(test)]
mod tests;
