//! A clock that is passed as an argument: the system's in programs, a manual one in tests.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use countersign_connect::clock::ManualClock;
//!
//! let manual = ManualClock::new(SystemTime::UNIX_EPOCH);
//! let clock = manual.clock();
//! manual.advance(Duration::from_secs(900));
//! assert_eq!(clock.now(), SystemTime::UNIX_EPOCH + Duration::from_secs(900));
//! ```

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// A source of the current time. Clones are cheap and return the same time.
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<Mutex<SystemTime>>>);

impl Clock {
    /// Returns the system's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(None)
    }

    /// Returns the current time.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.0
            .as_ref()
            .map_or_else(SystemTime::now, |at| *at.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("Clock(system)"),
            Some(_) => write!(f, "Clock({:?})", self.now()),
        }
    }
}

/// Controls a [`Clock`] that does not advance by itself.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<SystemTime>>);

impl ManualClock {
    /// Creates a clock that shows `at`.
    #[must_use]
    pub fn new(at: SystemTime) -> Self {
        Self(Arc::new(Mutex::new(at)))
    }

    /// Returns the clock that this controls.
    #[must_use]
    pub fn clock(&self) -> Clock {
        Clock(Some(Arc::clone(&self.0)))
    }

    /// Advances the clock.
    pub fn advance(&self, by: Duration) {
        let mut at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *at += by;
    }

    /// Sets the clock, also to an earlier time.
    pub fn set(&self, at: SystemTime) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::{Clock, ManualClock};

    #[test]
    fn every_clone_shows_the_manual_time() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let manual = ManualClock::new(start);
        let (one, other) = (manual.clock(), manual.clock().clone());
        manual.advance(Duration::from_secs(5));
        assert_eq!([one.now(), other.now()], [start + Duration::from_secs(5); 2]);
        manual.set(start);
        assert_eq!(one.now(), start);
    }

    #[test]
    fn the_system_clock_advances() {
        let before = SystemTime::now();
        let shown = Clock::system().now();
        assert!(before <= shown && shown <= SystemTime::now());
    }
}
