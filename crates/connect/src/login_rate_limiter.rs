//! Limits the rate of logins to a database: a burst waits here instead of being rejected by RDS.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

/// A token bucket with a FIFO queue. Its burst is a tenth of a second's worth of logins, so that
/// the logins of any second exceed the rate only slightly.
pub struct LoginRateLimiter {
    rate: Option<Rate>,
    queued: AtomicUsize,
}

struct Rate {
    /// Time between two logins at the full rate.
    interval: Duration,
    /// How far the logins may run ahead of the rate.
    burst: Duration,
    /// Time of the next login at the rate; `None` or a past time permits a login at once. tokio's
    /// mutex is fair: callers acquire it in the order of their calls.
    next: Mutex<Option<Instant>>,
}

impl LoginRateLimiter {
    /// Limits logins to `per_second`; 0 means no limit.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        let rate = Duration::from_secs(1).checked_div(per_second).map(|interval| Rate {
            interval,
            burst: interval * (per_second / 10).saturating_sub(1),
            next: Mutex::new(None),
        });
        Self { rate, queued: AtomicUsize::new(0) }
    }

    /// Waits until a login is permitted. A cancelled call consumes no permit.
    pub async fn acquire(&self) {
        let Some(rate) = &self.rate else { return };
        let _queued = QueueGuard::new(&self.queued);
        let mut next = rate.next.lock().await;
        let now = Instant::now();
        let due = next.map_or(now, |next| next.max(now));
        let wait = due.saturating_duration_since(now).saturating_sub(rate.burst);
        if !wait.is_zero() {
            sleep(wait).await;
        }
        *next = Some(due + rate.interval);
    }

    /// Number of calls of [`Self::acquire`] that are waiting.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for LoginRateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interval = self.rate.as_ref().map(|rate| rate.interval);
        f.debug_struct("LoginRateLimiter")
            .field("interval", &interval)
            .field("queued", &self.queued())
            .finish()
    }
}

/// Counts one waiting call until it is dropped.
struct QueueGuard<'a>(&'a AtomicUsize);

impl<'a> QueueGuard<'a> {
    fn new(queued: &'a AtomicUsize) -> Self {
        queued.fetch_add(1, Ordering::Relaxed);
        Self(queued)
    }
}

impl Drop for QueueGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tokio::task::yield_now;
    use tokio::time::{Instant, advance};

    use super::LoginRateLimiter;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_spread_over_time() {
        let limiter = LoginRateLimiter::new(100);
        let start = Instant::now();
        for _ in 0..10 {
            limiter.acquire().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO, "a tenth of a second's worth passes at once");
        for _ in 0..100 {
            limiter.acquire().await;
        }
        let elapsed = start.elapsed();
        assert!(
            elapsed >= Duration::from_millis(1000) && elapsed < Duration::from_millis(1200),
            "{elapsed:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_hour_permits_no_more_than_the_burst() {
        let limiter = LoginRateLimiter::new(10);
        limiter.acquire().await;
        advance(Duration::from_secs(3600)).await;
        let start = Instant::now();
        for _ in 0..11 {
            limiter.acquire().await;
        }
        assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_fifo_and_a_cancelled_call_consumes_no_permit() {
        let limiter = Arc::new(LoginRateLimiter::new(1));
        limiter.acquire().await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for number in 0..4 {
            let (limiter, order) = (Arc::clone(&limiter), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                limiter.acquire().await;
                order.lock().unwrap().push(number);
            }));
            yield_now().await;
        }
        assert_eq!(limiter.queued(), 4);
        let start = Instant::now();
        tasks.remove(1).abort();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 2, 3]);
        assert_eq!(start.elapsed().as_secs(), 3);
        assert_eq!(limiter.queued(), 0);
    }

    #[tokio::test]
    async fn zero_is_no_limit() {
        let limiter = LoginRateLimiter::new(0);
        for _ in 0..100_000 {
            limiter.acquire().await;
        }
        assert_eq!(limiter.queued(), 0);
    }
}
