//! A database that the proxy serves.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use countersign_connect::clock::Clock;
use countersign_connect::dialer::{self, ConnectError, Dialer};
use countersign_connect::resolve::Resolver;
use countersign_core::failure::{Class, Failure};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::handover::{AcceptGate, Predecessor};
use crate::health::Health;
use crate::lifecycle::{FailoverEpoch, ShutdownPhase};
use crate::limit::Limit;
use crate::metrics::{Metrics, TargetMetrics};
use crate::pool::Pool;
use crate::protocol::{Protocol, UpstreamOf};
use crate::sessions::Sessions;
use crate::settings::{ServerAuth, TargetSettings};
use crate::workers::Workers;

/// Environment of a proxy, chosen by its caller.
#[derive(Debug, Clone)]
pub struct Context {
    /// Clock.
    pub clock: Clock,
    /// DNS resolver.
    pub resolver: Resolver,
    /// Threads that serve clients.
    pub workers: Workers,
    /// Region of the environment variables.
    pub environment_region: Option<String>,
}

/// State shared by all targets of a proxy.
#[derive(Debug, Clone)]
pub(crate) struct SharedState {
    pub(crate) context: Context,
    /// Limit of the client connections of all targets together.
    pub(crate) limit: Limit,
    pub(crate) metrics: Metrics,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) shutdown: watch::Receiver<ShutdownPhase>,
    pub(crate) accept_gate: AcceptGate,
    pub(crate) predecessor: Arc<OnceLock<Predecessor>>,
}

/// A database with its protocol.
#[derive(Debug)]
pub(crate) struct Target<P: Protocol> {
    pub(crate) name: Arc<str>,
    pub(crate) settings: Arc<TargetSettings>,
    pub(crate) login_timeout: Duration,
    pub(crate) protocol: Arc<P>,
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) pool: Arc<Pool<P>>,
    pub(crate) metrics: Arc<TargetMetrics>,
    pub(crate) health: Arc<Health>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) shutdown: watch::Receiver<ShutdownPhase>,
    pub(crate) epoch: Arc<FailoverEpoch>,
    pub(crate) workers: Workers,
    /// The proxy that this one replaced. It may still serve sessions.
    predecessor: Arc<OnceLock<Predecessor>>,
}

impl<P: Protocol> Target<P> {
    /// Creates the target. Connects, resolves and loads nothing yet.
    pub(crate) fn new(
        settings: TargetSettings,
        login_timeout: Duration,
        shared: &SharedState,
    ) -> Result<Self, Failure> {
        let protocol = Arc::new(P::new(&settings)?);
        let dialer = Arc::new(dialer(&settings, &shared.context)?);
        let settings = Arc::new(settings);
        let metrics = shared.metrics.target(&settings.name);
        let health = Arc::new(Health::default());
        let epoch = Arc::new(FailoverEpoch::default());
        let pool = Pool::new(
            Arc::clone(&settings),
            Arc::clone(&protocol),
            Arc::clone(&dialer),
            Arc::clone(&metrics),
            Arc::clone(&health),
            Arc::clone(&epoch),
        );
        Ok(Self {
            name: settings.name.as_str().into(),
            settings,
            login_timeout,
            protocol,
            dialer,
            pool: Arc::new(pool),
            metrics,
            health,
            sessions: Arc::clone(&shared.sessions),
            shutdown: shared.shutdown.clone(),
            epoch,
            workers: shared.context.workers.clone(),
            predecessor: Arc::clone(&shared.predecessor),
        })
    }

    /// Acquires a server connection for a client.
    pub(crate) async fn acquire(&self, params: &P::Params) -> Result<UpstreamOf<P>, ConnectError> {
        self.pool.acquire(params, self.deadline()).await
    }

    /// Forwards a cancel request to the server of its session, or to the predecessor.
    pub(crate) async fn cancel(&self, key: &[u8]) -> Result<(), ConnectError> {
        if self.protocol.forward_cancel(&self.dialer, key, self.deadline()).await? {
            return Ok(());
        }
        match self.predecessor.get() {
            Some(predecessor) => Ok(predecessor.cancel(&self.name, key).await?),
            None => Err(Failure::new(Class::Protocol, "no session has this cancel key").into()),
        }
    }

    /// Returns the deadline of a login that begins now.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.settings.connect_timeout
    }
}

fn dialer(target: &TargetSettings, context: &Context) -> Result<Dialer, Failure> {
    let login = match &target.server_auth {
        ServerAuth::Iam(credentials) => dialer::ServerAuth::Iam(credentials.clone()),
        ServerAuth::Password(password) => dialer::ServerAuth::Password(password.0.clone()),
    };
    let config = dialer::DialerConfig {
        engine: target.engine,
        host: target.host.clone(),
        port: target.port,
        sign_for: target.sign.clone(),
        region: target.region.clone(),
        environment_region: context.environment_region.clone(),
        auth: login,
        verification: target.tls.verification,
        logins_per_second: target.logins_per_second,
    };
    let (resolver, clock) = (context.resolver.clone(), context.clock.clone());
    Dialer::new(config, target.tls.ca_file.as_deref(), resolver, clock)
}
