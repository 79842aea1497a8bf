//! How many logins a second a database is asked for: a storm queues here, where RDS would refuse it.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

/// A token bucket with a queue. It holds a tenth of a second's worth, so that no second sees much more than its rate.
pub struct LoginRateLimiter {
    rate: Option<Rate>,
    waiting: AtomicUsize,
}

struct Rate {
    /// Between two logins at the full rate.
    interval: Duration,
    /// How far the logins may run ahead of the rate.
    ahead: Duration,
    /// When the next login is due at the rate; `None` and the past are now. tokio's lock is fair: those who wait for it are
    /// served in the order in which they came.
    due: Mutex<Option<Instant>>,
}

impl LoginRateLimiter {
    /// So many a second; 0 is no limit.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        let rate = Duration::from_secs(1).checked_div(per_second).map(|interval| Rate {
            interval,
            ahead: interval * (per_second / 10).saturating_sub(1),
            due: Mutex::new(None),
        });
        Self { rate, waiting: AtomicUsize::new(0) }
    }

    /// Waits for a place. Whoever stops waiting takes none.
    pub async fn take(&self) {
        let Some(rate) = &self.rate else { return };
        let _place = Place::new(&self.waiting);
        let mut due = rate.due.lock().await;
        let now = Instant::now();
        let turn = due.map_or(now, |due| due.max(now));
        let wait = turn.saturating_duration_since(now).saturating_sub(rate.ahead);
        if !wait.is_zero() {
            sleep(wait).await;
        }
        *due = Some(turn + rate.interval);
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for LoginRateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interval = self.rate.as_ref().map(|rate| rate.interval);
        f.debug_struct("Budget")
            .field("interval", &interval)
            .field("waiting", &self.waiting())
            .finish()
    }
}

/// One of those who wait, until it is dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
