//! Rate limit for logins: RDS rejects more than 200 logins per second to one instance.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use countersign_core::name::InstanceId;

/// Limit of RDS, in logins per second. Source: "Limitations for IAM database authentication" in the
/// RDS user guide.
pub const RDS_LIMIT: NonZeroU32 = NonZeroU32::MIN.saturating_add(199);

/// Counts the logins of each instance in windows of one second.
#[derive(Debug)]
pub struct Throttle {
    limit: Option<NonZeroU32>,
    windows: Mutex<HashMap<InstanceId, Window>>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    began: SystemTime,
    logins: u32,
}

impl Throttle {
    /// Limits each instance to `limit` logins per second; `None` means no limit.
    #[must_use]
    pub fn new(limit: Option<NonZeroU32>) -> Self {
        Self { limit, windows: Mutex::default() }
    }

    /// Counts a login to a known `instance`. Returns false if it exceeds the limit.
    #[must_use]
    pub fn try_acquire(&self, instance: &InstanceId, now: SystemTime) -> bool {
        let Some(limit) = self.limit else { return true };
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(instance.clone()).or_insert(Window { began: now, logins: 0 });
        // A clock that was set back starts a new window too.
        if now.duration_since(window.began).is_ok_and(|age| age >= Duration::from_secs(1))
            || now < window.began
        {
            *window = Window { began: now, logins: 0 };
        }
        window.logins = window.logins.saturating_add(1);
        window.logins <= limit.get()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::{Duration, SystemTime};

    use super::Throttle;

    #[test]
    fn logins_are_limited_per_second_and_instance() {
        let throttle = Throttle::new(NonZeroU32::new(2));
        let (orders, billing) = ("orders".parse().unwrap(), "billing".parse().unwrap());
        let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        assert!(throttle.try_acquire(&orders, at(1000)) && throttle.try_acquire(&orders, at(1500)));
        assert!(!throttle.try_acquire(&orders, at(1999)));
        assert!(throttle.try_acquire(&billing, at(1999)), "each instance has its own count");
        assert!(throttle.try_acquire(&orders, at(2000)));
        assert!(throttle.try_acquire(&orders, at(500)), "a clock set back starts a new window");
        let unlimited = Throttle::new(None);
        assert!((0..10_000).all(|_| unlimited.try_acquire(&orders, at(0))));
    }
}
