//! The atomics. None of them orders anything, so all are relaxed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use countersign_core::failure::Class;

/// How long things may take, in seconds: from a session out of the pool to a login that waits for its turn.
const BOUNDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// As many as somebody else has counted.
    pub fn set_total(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }

    /// How many there were.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What grows and shrinks. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// One more, until what is returned is dropped.
    #[must_use]
    pub fn hold(&self) -> GaugeGuard {
        self.0.fetch_add(1, Ordering::Relaxed);
        GaugeGuard(Arc::clone(&self.0))
    }

    /// So many, whatever it was.
    pub fn set(&self, count: i64) {
        self.0.store(count, Ordering::Relaxed);
    }

    /// How many there are.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One of those that a gauge counts.
#[derive(Debug)]
pub struct GaugeGuard(Arc<AtomicI64>);

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Failures, by class.
#[derive(Debug)]
pub struct Failures([AtomicU64; Class::ALL.len()]);

impl Default for Failures {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; Class::ALL.len()])
    }
}

impl Failures {
    /// One more of `class`.
    pub fn count(&self, class: Class) {
        let found = Class::ALL.iter().zip(&self.0).find(|(known, _)| **known == class);
        if let Some((_, counter)) = found {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many there were of each class that occurred.
    pub fn each(&self) -> impl Iterator<Item = (Class, u64)> {
        let counted = Class::ALL
            .iter()
            .zip(&self.0)
            .map(|(class, counter)| (*class, counter.load(Ordering::Relaxed)));
        counted.filter(|(_, count)| *count > 0)
    }
}

/// How long something took, in classes of duration.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    microseconds: AtomicU64,
}

impl Histogram {
    /// It took so long once more.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let place = BOUNDS.iter().take_while(|bound| **bound < seconds).count();
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        // u64 holds half a million years of them.
        self.microseconds
            .fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How often it happened.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// The seconds in all, and how many there were up to each bound, but above the bound before it.
    pub(super) fn read(&self) -> (f64, Vec<(f64, u64)>) {
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets = BOUNDS.into_iter().chain([f64::INFINITY]).zip(counts).collect();
        (Duration::from_micros(self.microseconds.load(Ordering::Relaxed)).as_secs_f64(), buckets)
    }
}
