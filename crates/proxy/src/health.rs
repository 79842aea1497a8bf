//! Whether a target can be logged in to, by how its last logins went.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use countersign_core::failure::{AuditOutcome, Failure};

use crate::status;

/// How many logins in a row have to fail before a target counts as unhealthy: one that is restarted loses a few.
pub const FAILURES: u32 = 3;

/// How the last logins to a target went.
#[derive(Debug, Default)]
pub struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last_login: Option<SystemTime>,
    failure: Option<status::LastFailure>,
}

impl Health {
    /// A login went through.
    pub fn succeeded(&self, at: SystemTime) {
        let mut state = self.state();
        state.last_login = Some(at);
        state.failure = None;
    }

    /// A login failed. One that was denied for who asked says nothing about the target: what a client brings must not take the
    /// proxy out of service for the others.
    pub fn failed(&self, failure: &Failure, at: SystemTime) {
        if failure.class.outcome() == AuditOutcome::Denied {
            return;
        }
        let mut state = self.state();
        let in_a_row = state
            .failure
            .as_ref()
            .map_or(0, |before| before.consecutive_failures)
            .saturating_add(1);
        state.failure = Some(status::LastFailure {
            class: failure.class,
            detail: failure.detail.clone(),
            at,
            consecutive_failures: in_a_row,
        });
    }

    /// Whether the last [`FAILURES`] logins have not all failed.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.state().is_healthy()
    }

    /// As [`status::Status`] tells it.
    #[must_use]
    pub fn report(&self) -> status::Health {
        let state = self.state();
        status::Health {
            healthy: state.is_healthy(),
            last_login: state.last_login,
            failure: state.failure.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_healthy(&self) -> bool {
        self.failure.as_ref().is_none_or(|failure| failure.consecutive_failures < FAILURES)
    }
}

#[cfg(test)]
mod tests;
