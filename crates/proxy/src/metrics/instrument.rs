//! Counters, gauges and histograms as atomics. No other memory depends on them, so every access
//! is relaxed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use countersign_core::failure::Class;

/// Upper bounds of the histograms in seconds: from a session of the pool to a queued login.
const BOUNDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// A counter that only increases.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Sets the total, for counts that are maintained elsewhere.
    pub fn set_total(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }

    /// Returns the total.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value that increases and decreases. Clones share the value.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// Adds one until the returned guard is dropped.
    #[must_use]
    pub fn guard(&self) -> GaugeGuard {
        self.0.fetch_add(1, Ordering::Relaxed);
        GaugeGuard(Arc::clone(&self.0))
    }

    /// Sets the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Returns the value.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Subtracts one from its gauge when dropped.
#[derive(Debug)]
pub struct GaugeGuard(Arc<AtomicI64>);

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counters of failures by class.
#[derive(Debug)]
pub struct Failures([AtomicU64; Class::ALL.len()]);

impl Default for Failures {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; Class::ALL.len()])
    }
}

impl Failures {
    /// Counts a failure of `class`.
    pub fn count(&self, class: Class) {
        let found = Class::ALL.iter().zip(&self.0).find(|(known, _)| **known == class);
        if let Some((_, counter)) = found {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the classes with at least one failure, and their totals.
    pub fn totals(&self) -> impl Iterator<Item = (Class, u64)> {
        let counted = Class::ALL
            .iter()
            .zip(&self.0)
            .map(|(class, counter)| (*class, counter.load(Ordering::Relaxed)));
        counted.filter(|(_, count)| *count > 0)
    }
}

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

impl Histogram {
    /// Records a duration.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let index = BOUNDS.iter().take_while(|bound| **bound < seconds).count();
        if let Some(bucket) = self.buckets.get(index) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        // u64 holds half a million years in microseconds.
        self.microseconds
            .fetch_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns the sum in seconds, and for each upper bound the number of durations between the
    /// previous bound and this one.
    pub(super) fn read(&self) -> (f64, Vec<(f64, u64)>) {
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets = BOUNDS.into_iter().chain([f64::INFINITY]).zip(counts).collect();
        (Duration::from_micros(self.microseconds.load(Ordering::Relaxed)).as_secs_f64(), buckets)
    }
}
