//! The AWS credentials of one target: loaded once, refreshed ahead of their end, asked for by one at a time.

mod role;
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
use countersign_core::region::Region;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::clock::Clock;
use state::{Load, Next, State};

pub use role::{Role, RoleArn};

/// The longest that a source may take. A process behind `credential_process` may ask somebody for a code; instance metadata
/// gives up by itself long before.
const LOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Where a target's credentials come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct CredentialsConfig {
    /// A profile of the shared files; none is the whole chain of the AWS SDK.
    pub profile: Option<String>,
    /// The roles to assume, one with the credentials of the other: the first with those of the profile or chain.
    pub roles: Vec<Role>,
    /// Where STS is asked; none is the region of the profile or the environment.
    pub region: Option<Region>,
}

impl fmt::Display for CredentialsConfig {
    /// As errors name it: `the profile "dev", then the role arn:aws:iam::…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.profile {
            Some(profile) => write!(f, "the profile {profile:?}")?,
            None => f.write_str("the default chain")?,
        }
        self.roles.iter().try_for_each(|role| write!(f, ", then the role {}", role.arn))
    }
}

/// Credentials on their way.
pub type Loading = Pin<Box<dyn Future<Output = Result<Credentials, Failure>> + Send>>;

/// What loads credentials.
type Source = Box<dyn Fn() -> Loading + Send + Sync>;

/// The outcome of a load, for everybody who waits for it.
type Landing = Option<Result<Arc<Credentials>, Failure>>;

/// The credentials of a target. Clones share them.
#[derive(Clone)]
pub struct CredentialsCache(Arc<Inner>);

struct Inner {
    /// As errors and reports name it.
    name: String,
    clock: Clock,
    source: Source,
    state: Mutex<State<watch::Receiver<Landing>>>,
}

/// What may be shown of credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Where they come from.
    pub source: String,
    /// The public half of the key; none before the first load.
    pub access_key_id: Option<AccessKeyId>,
    /// When they end, where they do.
    pub expires: Option<SystemTime>,
    /// When they were loaded.
    pub loaded: Option<SystemTime>,
    /// Why the last load failed, until one succeeds.
    pub failure: Option<String>,
    /// How many loads gave credentials.
    pub loads: u64,
    /// How many did not.
    pub failures: u64,
}

impl CredentialsCache {
    /// Credentials as `settings` say. Nothing is loaded yet.
    #[must_use]
    pub fn new(settings: CredentialsConfig, clock: Clock) -> Self {
        let name = settings.to_string();
        let settings = Arc::new(settings);
        Self::of(name, clock, move || {
            let settings = Arc::clone(&settings);
            Box::pin(async move { source::load(&settings).await })
        })
    }

    /// Credentials from somewhere else, under a `name` for errors and reports: what `load` gives is cached and refreshed all the
    /// same.
    #[must_use]
    pub fn of(
        name: impl Into<String>,
        clock: Clock,
        load: impl Fn() -> Loading + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            name: name.into(),
            clock,
            source: Box::new(load),
            state: Mutex::default(),
        }))
    }

    /// The credentials: those at hand, or those that the one load under way gives. Those at hand are refreshed in the background
    /// when less than a fifth of their time, and less than five minutes, is left, and serve until they end. Must be called on
    /// a tokio runtime.
    ///
    /// # Errors
    /// What [`crate::credentials::load`] and STS say, a source that failed a moment ago not being asked again;
    /// [`Class::CredentialsExpired`] where the source gives credentials that have ended, [`Class::TimedOut`] where it does not
    /// answer.
    pub async fn credentials(&self) -> Result<Arc<Credentials>, Failure> {
        let mut landing = {
            let mut state = self.0.state();
            match state.next(self.0.clock.now()) {
                Next::Use(credentials) => return Ok(credentials),
                Next::Refuse(failure) => return Err(failure),
                Next::UseAndLoad(credentials) => {
                    self.start(&mut state);
                    return Ok(credentials);
                }
                Next::Load => self.start(&mut state),
                Next::Wait(landing) => landing,
            }
        };
        match landing.wait_for(Option::is_some).await.map(|outcome| outcome.clone()) {
            Ok(Some(outcome)) => outcome,
            Ok(None) | Err(_) => Err(Failure::new(
                Class::Internal,
                format!("the load of credentials from {} was broken off; try again", self.0.name),
            )),
        }
    }

    /// Says that the credentials at hand are not to be trusted: the next who asks has them read anew. They serve on where that
    /// fails.
    pub fn invalidate(&self) {
        self.0.state().invalidate();
    }

    /// What may be shown, without a load.
    #[must_use]
    pub fn describe(&self) -> Description {
        let state = self.0.state();
        let (credentials, loaded) = state.current().unzip();
        Description {
            source: self.0.name.clone(),
            access_key_id: credentials.map(|credentials| credentials.access_key_id.clone()),
            expires: credentials.and_then(|credentials| credentials.expires),
            loaded,
            failure: state.failure().map(ToString::to_string),
            loads: state.loads(),
            failures: state.failures(),
        }
    }

    /// Loads in a task of its own: whoever waits may go away, the others still have their answer.
    fn start(&self, state: &mut State<watch::Receiver<Landing>>) -> watch::Receiver<Landing> {
        let (sender, receiver) = watch::channel(None);
        let flight = state.begin(self.0.clock.now(), receiver.clone());
        let landing = Arrival { inner: Arc::clone(&self.0), flight };
        tokio::spawn(async move {
            let outcome = match timeout(LOAD_TIMEOUT, (landing.inner.source)()).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Failure::new(
                    Class::TimedOut,
                    format!(
                        "{} gave no credentials within {} s",
                        landing.inner.name,
                        LOAD_TIMEOUT.as_secs()
                    ),
                )),
            };
            let outcome = landing.arrive(outcome);
            sender.send_replace(Some(outcome));
        });
        receiver
    }
}

/// A load under way: however it ends, the next may begin.
struct Arrival {
    inner: Arc<Inner>,
    flight: Load,
}

impl Arrival {
    fn arrive(&self, outcome: Result<Credentials, Failure>) -> Result<Arc<Credentials>, Failure> {
        let now = self.inner.clock.now();
        if let Err(failure) = &outcome {
            tracing::warn!(source = self.inner.name, "AWS credentials can't be loaded: {failure}");
        }
        self.inner.state().complete(&self.flight, outcome, now)
    }
}

impl Drop for Arrival {
    /// After `arrive` there is nothing left to do; after a panic or with the runtime gone there is.
    fn drop(&mut self) {
        self.inner.state().cancel(&self.flight);
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State<watch::Receiver<Landing>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CredentialsCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.0.name)
    }
}

#[cfg(test)]
mod tests;
