//! Cache of one target's AWS credentials: at most one load at a time, refreshed before they expire.

mod config;
mod source;
mod state;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use countersign_core::credentials::Credentials;
use countersign_core::failure::{Class, Failure};
use countersign_core::name::AccessKeyId;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::clock::Clock;
use state::{Load, Next, State};

pub use config::{CredentialsConfig, Role, RoleArn};

/// Maximum duration of a load. A `credential_process` may prompt its user for a code; the timeout
/// of instance metadata is much shorter.
const LOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Future of one load.
pub type LoadFuture = Pin<Box<dyn Future<Output = Result<Credentials, Failure>> + Send>>;

/// Function that starts a load.
type Loader = Box<dyn Fn() -> LoadFuture + Send + Sync>;

/// Result of a load; `None` while it runs.
type LoadResult = Option<Result<Arc<Credentials>, Failure>>;

/// The AWS credentials of a target, loaded on first use and refreshed in the background. Clones
/// share one cache.
#[derive(Clone)]
pub struct CredentialsCache(Arc<Inner>);

struct Inner {
    /// Name of the source in errors and reports.
    name: String,
    clock: Clock,
    loader: Loader,
    state: Mutex<State<watch::Receiver<LoadResult>>>,
}

/// The public part of cached credentials, and the history of their loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialsStatus {
    /// Name of the source.
    pub source: String,
    /// Access key id; `None` before the first load.
    pub access_key_id: Option<AccessKeyId>,
    /// Expiry, if the credentials have one.
    pub expires: Option<SystemTime>,
    /// Time of the last successful load.
    pub loaded: Option<SystemTime>,
    /// Error of the last load, if it failed.
    pub failure: Option<String>,
    /// Number of successful loads.
    pub loads: u64,
    /// Number of failed loads.
    pub failures: u64,
}

impl CredentialsCache {
    /// Creates a cache for the credentials that `settings` describe. Loads nothing yet.
    #[must_use]
    pub fn new(settings: CredentialsConfig, clock: Clock) -> Self {
        let name = settings.to_string();
        let settings = Arc::new(settings);
        Self::with_loader(name, clock, move || {
            let settings = Arc::clone(&settings);
            Box::pin(async move { source::load(&settings).await })
        })
    }

    /// Creates a cache over another source: `load` starts a load, and `name` appears in errors and
    /// reports.
    #[must_use]
    pub fn with_loader(
        name: impl Into<String>,
        clock: Clock,
        load: impl Fn() -> LoadFuture + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            name: name.into(),
            clock,
            loader: Box::new(load),
            state: Mutex::default(),
        }))
    }

    /// Returns the cached credentials, or waits for the load that is running. Cached credentials
    /// are refreshed in the background when less than a fifth of their lifetime and less than five
    /// minutes remain, and are returned until they expire. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// The error of the load ([`crate::credentials::load`] or STS). A source that failed within the
    /// last second is not called again; its error is repeated. [`Class::CredentialsExpired`] if the
    /// source returns expired credentials, [`Class::TimedOut`] if it does not return in time.
    pub async fn credentials(&self) -> Result<Arc<Credentials>, Failure> {
        let mut result = {
            let mut state = self.0.state();
            match state.next(self.0.clock.now()) {
                Next::Use(credentials) => return Ok(credentials),
                Next::Refuse(failure) => return Err(failure),
                Next::UseAndLoad(credentials) => {
                    self.start(&mut state);
                    return Ok(credentials);
                }
                Next::Load => self.start(&mut state),
                Next::Wait(result) => result,
            }
        };
        match result.wait_for(Option::is_some).await.map(|outcome| outcome.clone()) {
            Ok(Some(outcome)) => outcome,
            Ok(None) | Err(_) => Err(Failure::new(
                Class::Internal,
                format!("the load of credentials from {} was aborted; try again", self.0.name),
            )),
        }
    }

    /// Marks the cached credentials as stale: the next call of [`Self::credentials`] reloads them.
    /// If that load fails, the cached ones are returned until they expire.
    pub fn invalidate(&self) {
        self.0.state().invalidate();
    }

    /// Returns the status of the cache without starting a load.
    #[must_use]
    pub fn status(&self) -> CredentialsStatus {
        let state = self.0.state();
        let (credentials, loaded) = state.current().unzip();
        CredentialsStatus {
            source: self.0.name.clone(),
            access_key_id: credentials.map(|credentials| credentials.access_key_id.clone()),
            expires: credentials.and_then(|credentials| credentials.expires),
            loaded,
            failure: state.failure().map(ToString::to_string),
            loads: state.loads(),
            failures: state.failures(),
        }
    }

    /// Loads in a task of its own: a waiting caller may be cancelled without aborting the load for
    /// the others.
    fn start(&self, state: &mut State<watch::Receiver<LoadResult>>) -> watch::Receiver<LoadResult> {
        let (sender, receiver) = watch::channel(None);
        let load = state.begin(self.0.clock.now(), receiver.clone());
        let guard = LoadGuard { inner: Arc::clone(&self.0), load };
        tokio::spawn(async move {
            let outcome = match timeout(LOAD_TIMEOUT, (guard.inner.loader)()).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Failure::new(
                    Class::TimedOut,
                    format!(
                        "{} returned no credentials within {} s",
                        guard.inner.name,
                        LOAD_TIMEOUT.as_secs()
                    ),
                )),
            };
            let outcome = guard.complete(outcome);
            sender.send_replace(Some(outcome));
        });
        receiver
    }
}

/// A running load. When it is dropped, the next load may begin.
struct LoadGuard {
    inner: Arc<Inner>,
    load: Load,
}

impl LoadGuard {
    fn complete(&self, outcome: Result<Credentials, Failure>) -> Result<Arc<Credentials>, Failure> {
        let now = self.inner.clock.now();
        if let Err(failure) = &outcome {
            tracing::warn!(source = self.inner.name, "cannot load AWS credentials: {failure}");
        }
        self.inner.state().complete(&self.load, outcome, now)
    }
}

impl Drop for LoadGuard {
    /// Has no effect after `complete`; needed after a panic or the end of the runtime.
    fn drop(&mut self) {
        self.inner.state().cancel(&self.load);
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State<watch::Receiver<LoadResult>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CredentialsCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CredentialsCache({})", self.0.name)
    }
}

#[cfg(test)]
mod tests;
