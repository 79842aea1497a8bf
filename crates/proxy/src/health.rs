//! Health of a target, derived from its last logins.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use countersign_core::failure::{AuditOutcome, Failure};

use crate::status::{HealthStatus, LastFailure};

/// Number of consecutive failures after which a target is unhealthy. A restart of the server
/// causes fewer.
pub(crate) const FAILURES: u32 = 3;

/// Results of the last logins to a target.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<LastLogins>);

#[derive(Debug, Default)]
struct LastLogins {
    success: Option<SystemTime>,
    failure: Option<LastFailure>,
}

impl Health {
    /// Records a successful login.
    pub(crate) fn succeeded(&self, at: SystemTime) {
        let mut last = self.last();
        last.success = Some(at);
        last.failure = None;
    }

    /// Records a failed login. A denied login is ignored: a client must not be able to make the
    /// proxy unhealthy for others.
    pub(crate) fn failed(&self, failure: &Failure, at: SystemTime) {
        if failure.class.outcome() == AuditOutcome::Denied {
            return;
        }
        let mut last = self.last();
        let previous = last.failure.as_ref().map_or(0, |failure| failure.consecutive_failures);
        last.failure = Some(LastFailure {
            class: failure.class,
            detail: failure.detail.clone(),
            failed_at: at,
            consecutive_failures: previous.saturating_add(1),
        });
    }

    pub(crate) fn status(&self) -> HealthStatus {
        let last = self.last();
        let failures = last.failure.as_ref().map_or(0, |failure| failure.consecutive_failures);
        HealthStatus {
            healthy: failures < FAILURES,
            last_login: last.success,
            last_failure: last.failure.clone(),
        }
    }

    fn last(&self) -> MutexGuard<'_, LastLogins> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::failure::Class;

    use super::*;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn unavailable() -> Failure {
        Failure::new(Class::Unavailable, "connection refused")
    }

    #[test]
    fn a_target_without_logins_is_healthy() {
        assert!(Health::default().status().healthy);
    }

    #[test]
    fn consecutive_failures_make_a_target_unhealthy_until_a_login_succeeds() {
        let health = Health::default();
        for _ in 1..FAILURES {
            health.failed(&unavailable(), NOW);
            assert!(health.status().healthy);
        }
        health.failed(&unavailable(), NOW);
        assert!(!health.status().healthy);
        let failure = health.status().last_failure.expect("a failure");
        assert_eq!((failure.class, failure.consecutive_failures), (Class::Unavailable, FAILURES));
        health.succeeded(NOW);
        assert_eq!(
            health.status(),
            HealthStatus { healthy: true, last_login: Some(NOW), last_failure: None }
        );
    }

    #[test]
    fn denied_logins_do_not_affect_the_health() {
        let health = Health::default();
        for class in [Class::NotAllowed, Class::Expired, Class::Throttled] {
            for _ in 0..FAILURES {
                health.failed(&Failure::new(class, "denied"), NOW);
            }
        }
        assert!(health.status().healthy);
    }
}
