//! State machine of the cache: decides if credentials are returned, loaded, or both.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use countersign_core::credentials::Credentials;
use countersign_core::failure::{Class, Failure};
use countersign_core::timestamp::rfc3339;

/// Minimum time between the starts of two loads.
const MIN_LOAD_INTERVAL: Duration = Duration::from_secs(1);

/// Credentials are refreshed at most this long before they expire.
const MAX_REFRESH_AHEAD: Duration = Duration::from_secs(5 * 60);

/// The cached credentials and the running load; `L` is a handle to wait for the load.
pub(super) struct State<L> {
    current: Option<Current>,
    running: Option<(Load, L)>,
    /// Start of the last load.
    last_load: Option<SystemTime>,
    /// Error of the last load, if it failed.
    failure: Option<Failure>,
    /// Number of calls of `invalidate`.
    invalidations: u64,
    started: u64,
    loads: u64,
    failures: u64,
}

struct Current {
    credentials: Arc<Credentials>,
    loaded: SystemTime,
    /// Number of calls of `invalidate` when their load began.
    invalidations: u64,
}

/// A running load.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    number: u64,
    invalidations: u64,
}

/// The action that a request for credentials requires.
pub(super) enum Next<L> {
    Use(Arc<Credentials>),
    UseAndLoad(Arc<Credentials>),
    Load,
    Wait(L),
    Refuse(Failure),
}

impl<L> Default for State<L> {
    fn default() -> Self {
        Self {
            current: None,
            running: None,
            last_load: None,
            failure: None,
            invalidations: 0,
            started: 0,
            loads: 0,
            failures: 0,
        }
    }
}

impl<L: Clone> State<L> {
    pub(super) fn next(&self, now: SystemTime) -> Next<L> {
        // After the clock was set back, the time since the last load is unknown.
        let too_soon = self
            .last_load
            .and_then(|started| now.duration_since(started).ok())
            .is_some_and(|since| since < MIN_LOAD_INTERVAL);
        let valid = self.current.as_ref().filter(|current| current.valid(now));
        match (valid, &self.running) {
            // Stale credentials are reloaded before use. A source that was called less than a
            // second ago would return the same ones.
            (Some(current), running) if current.invalidations < self.invalidations => match running
            {
                Some((_, result)) => Next::Wait(result.clone()),
                None if too_soon => Next::Use(Arc::clone(&current.credentials)),
                None => Next::Load,
            },
            (Some(current), None) if !too_soon && current.needs_refresh(now) => {
                Next::UseAndLoad(Arc::clone(&current.credentials))
            }
            (Some(current), _) => Next::Use(Arc::clone(&current.credentials)),
            (None, Some((_, result))) => Next::Wait(result.clone()),
            (None, None) => match &self.failure {
                Some(failure) if too_soon => Next::Refuse(failure.clone()),
                _ => Next::Load,
            },
        }
    }

    pub(super) const fn invalidate(&mut self) {
        self.invalidations += 1;
    }

    pub(super) fn begin(&mut self, now: SystemTime, result: L) -> Load {
        self.started += 1;
        let load = Load { number: self.started, invalidations: self.invalidations };
        self.last_load = Some(now);
        self.running = Some((load, result));
        load
    }

    /// Records the result of a load and returns the result for its waiters: if the load failed, the
    /// cached credentials as long as they are valid.
    pub(super) fn complete(
        &mut self,
        load: &Load,
        outcome: Result<Credentials, Failure>,
        now: SystemTime,
    ) -> Result<Arc<Credentials>, Failure> {
        self.cancel(load);
        match outcome.and_then(|credentials| check_expiry(credentials, now)) {
            Ok(credentials) => {
                let credentials = Arc::new(credentials);
                self.failure = None;
                self.loads += 1;
                self.current = Some(Current {
                    credentials: Arc::clone(&credentials),
                    loaded: now,
                    invalidations: load.invalidations,
                });
                Ok(credentials)
            }
            Err(failure) => {
                self.failure = Some(failure.clone());
                self.failures += 1;
                let valid = self.current.as_ref().filter(|current| current.valid(now));
                valid.map(|current| Arc::clone(&current.credentials)).ok_or(failure)
            }
        }
    }

    pub(super) fn cancel(&mut self, load: &Load) {
        if self.running.as_ref().is_some_and(|(running, _)| running == load) {
            self.running = None;
        }
    }

    pub(super) fn current(&self) -> Option<(&Credentials, SystemTime)> {
        self.current.as_ref().map(|current| (&*current.credentials, current.loaded))
    }

    pub(super) const fn loads(&self) -> u64 {
        self.loads
    }

    pub(super) const fn failures(&self) -> u64 {
        self.failures
    }

    pub(super) const fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}

impl Current {
    fn valid(&self, now: SystemTime) -> bool {
        self.credentials.expires.is_none_or(|expires| now < expires)
    }

    /// Returns true if less than a fifth of their lifetime and less than five minutes remain.
    fn needs_refresh(&self, now: SystemTime) -> bool {
        let Some(expires) = self.credentials.expires else {
            return false;
        };
        let lifetime = expires.duration_since(self.loaded).unwrap_or_default();
        expires.duration_since(now).unwrap_or_default() < (lifetime / 5).min(MAX_REFRESH_AHEAD)
    }
}

fn check_expiry(credentials: Credentials, now: SystemTime) -> Result<Credentials, Failure> {
    match credentials.expires {
        Some(expires) if expires <= now => {
            let detail = format!(
                "those of {} expired at {}; refresh them",
                credentials.access_key_id,
                rfc3339(expires)
            );
            Err(Failure::new(Class::CredentialsExpired, detail))
        }
        _ => Ok(credentials),
    }
}
