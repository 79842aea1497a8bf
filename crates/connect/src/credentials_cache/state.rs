//! When credentials are used, loaded, or both.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use countersign_core::credentials::Credentials;
use countersign_core::failure::{Class, Failure};
use countersign_core::timestamp::rfc3339;

/// A source isn't asked again sooner.
const PAUSE: Duration = Duration::from_secs(1);

/// How long before their end credentials are refreshed at most.
const MOST_AHEAD: Duration = Duration::from_secs(5 * 60);

/// What is at hand, and what is under way; `L` is how one waits for the latter.
pub(super) struct State<L> {
    current: Option<Current>,
    flight: Option<(Load, L)>,
    /// When the last load began.
    asked: Option<SystemTime>,
    /// Why the last load failed.
    failure: Option<Failure>,
    /// How often the credentials were declared stale.
    stale: u64,
    flights: u64,
    loads: u64,
    failures: u64,
}

struct Current {
    credentials: Arc<Credentials>,
    loaded: SystemTime,
    /// How often they had been declared stale when their load began.
    stale: u64,
}

/// A load under way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    number: u64,
    stale: u64,
}

/// What to do for somebody who wants credentials.
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
            flight: None,
            asked: None,
            failure: None,
            stale: 0,
            flights: 0,
            loads: 0,
            failures: 0,
        }
    }
}

impl<L: Clone> State<L> {
    pub(super) fn next(&self, now: SystemTime) -> Next<L> {
        // A clock that was put back says nothing about how long ago it was.
        let paused = self
            .asked
            .and_then(|asked| now.duration_since(asked).ok())
            .is_some_and(|since| since < PAUSE);
        let alive = self.current.as_ref().filter(|current| current.alive(now));
        match (alive, &self.flight) {
            // Declared stale, they are waited for; a source that was asked a moment ago would only give the same.
            (Some(current), flight) if current.stale < self.stale => match flight {
                Some((_, landing)) => Next::Wait(landing.clone()),
                None if paused => Next::Use(Arc::clone(&current.credentials)),
                None => Next::Load,
            },
            (Some(current), None) if !paused && current.due(now) => {
                Next::UseAndLoad(Arc::clone(&current.credentials))
            }
            (Some(current), _) => Next::Use(Arc::clone(&current.credentials)),
            (None, Some((_, landing))) => Next::Wait(landing.clone()),
            (None, None) => match &self.failure {
                Some(failure) if paused => Next::Refuse(failure.clone()),
                _ => Next::Load,
            },
        }
    }

    pub(super) const fn invalidate(&mut self) {
        self.stale += 1;
    }

    pub(super) fn begin(&mut self, now: SystemTime, landing: L) -> Load {
        self.flights += 1;
        let flight = Load { number: self.flights, stale: self.stale };
        self.asked = Some(now);
        self.flight = Some((flight, landing));
        flight
    }

    /// Takes what a load gave, and says what whoever waited for it is given: where it failed, the credentials at hand as long as
    /// they live.
    pub(super) fn complete(
        &mut self,
        flight: &Load,
        outcome: Result<Credentials, Failure>,
        now: SystemTime,
    ) -> Result<Arc<Credentials>, Failure> {
        self.cancel(flight);
        match outcome.and_then(|credentials| living(credentials, now)) {
            Ok(credentials) => {
                let credentials = Arc::new(credentials);
                self.failure = None;
                self.loads += 1;
                self.current = Some(Current {
                    credentials: Arc::clone(&credentials),
                    loaded: now,
                    stale: flight.stale,
                });
                Ok(credentials)
            }
            Err(failure) => {
                self.failure = Some(failure.clone());
                self.failures += 1;
                let alive = self.current.as_ref().filter(|current| current.alive(now));
                alive.map(|current| Arc::clone(&current.credentials)).ok_or(failure)
            }
        }
    }

    pub(super) fn cancel(&mut self, flight: &Load) {
        if self.flight.as_ref().is_some_and(|(under_way, _)| under_way == flight) {
            self.flight = None;
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
    fn alive(&self, now: SystemTime) -> bool {
        self.credentials.expires.is_none_or(|ends| now < ends)
    }

    /// Whether less than a fifth of their time is left, and less than five minutes.
    fn due(&self, now: SystemTime) -> bool {
        let Some(ends) = self.credentials.expires else {
            return false;
        };
        let whole = ends.duration_since(self.loaded).unwrap_or_default();
        ends.duration_since(now).unwrap_or_default() < (whole / 5).min(MOST_AHEAD)
    }
}

fn living(credentials: Credentials, now: SystemTime) -> Result<Credentials, Failure> {
    match credentials.expires {
        Some(ends) if ends <= now => {
            let detail = format!(
                "those of {} ended at {}; refresh them",
                credentials.access_key_id,
                rfc3339(ends)
            );
            Err(Failure::new(Class::CredentialsExpired, detail))
        }
        _ => Ok(credentials),
    }
}
