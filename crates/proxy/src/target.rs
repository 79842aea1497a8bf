//! A database as the proxy serves it.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use countersign_connect::dialer::{self, ConnectError, Dialer};
use countersign_core::failure::{Class, Failure};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::context::Context;
use crate::failover::FailoverEpoch;
use crate::handover::{AcceptGate, Predecessor};
use crate::health::Health;
use crate::metrics::{Metrics, TargetMetrics};
use crate::pool::Pool;
use crate::protocol::Protocol;
use crate::sessions::Sessions;
use crate::shutdown::ShutdownPhase;
use crate::upstream::Upstream;
use crate::workers::Workers;

use crate::settings;

/// What all targets of a proxy share.
#[derive(Debug, Clone)]
pub(crate) struct SharedState {
    pub(crate) context: Context,
    pub(crate) metrics: Metrics,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) stop: watch::Receiver<ShutdownPhase>,
    pub(crate) door: AcceptGate,
    pub(crate) predecessor: Arc<OnceLock<Predecessor>>,
}

/// A database, in its protocol.
#[derive(Debug)]
pub(crate) struct Target<P: Protocol> {
    pub(crate) name: Arc<str>,
    pub(crate) settings: Arc<settings::Target>,
    pub(crate) login_timeout: Duration,
    pub(crate) protocol: Arc<P>,
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) pool: Arc<Pool<P>>,
    pub(crate) metrics: Arc<TargetMetrics>,
    pub(crate) health: Arc<Health>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) stop: watch::Receiver<ShutdownPhase>,
    pub(crate) term: Arc<FailoverEpoch>,
    pub(crate) workers: Workers,
    /// The proxy whose place this one has taken: it may still have sessions.
    predecessor: Arc<OnceLock<Predecessor>>,
}

impl<P: Protocol> Target<P> {
    /// Nothing is dialled, looked up or loaded yet.
    pub(crate) fn new(
        settings: settings::Target,
        login_timeout: Duration,
        house: &SharedState,
    ) -> Result<Self, Failure> {
        let protocol = Arc::new(P::new(&settings)?);
        let dialer = Arc::new(dialer(&settings, &house.context)?);
        let settings = Arc::new(settings);
        let metrics = house.metrics.target(&settings.name);
        let health = Arc::new(Health::default());
        let term = Arc::new(FailoverEpoch::default());
        let pool = Pool {
            target: Arc::clone(&settings),
            protocol: Arc::clone(&protocol),
            dialer: Arc::clone(&dialer),
            metrics: Arc::clone(&metrics),
            health: Arc::clone(&health),
            term: Arc::clone(&term),
            kinds: Mutex::default(),
        };
        Ok(Self {
            name: settings.name.as_str().into(),
            settings,
            login_timeout,
            protocol,
            dialer,
            pool: Arc::new(pool),
            metrics,
            health,
            sessions: Arc::clone(&house.sessions),
            stop: house.stop.clone(),
            term,
            workers: house.context.workers.clone(),
            predecessor: Arc::clone(&house.predecessor),
        })
    }

    /// A session as a client wishes it.
    pub(crate) async fn acquire(&self, wish: &P::Wish) -> Result<Upstream<P>, ConnectError> {
        self.pool.acquire(wish, self.deadline()).await
    }

    /// Does what a client came for that wants no session.
    pub(crate) async fn answer(&self, call: P::Call) -> Result<(), ConnectError> {
        let Some(call) = self.protocol.handle_cancel(&self.dialer, call, self.deadline()).await?
        else {
            return Ok(());
        };
        match self.predecessor.get() {
            Some(before) => Ok(before.cancel(&self.name, &P::call_to_bytes(&call)).await?),
            None => Err(Failure::new(
                Class::Protocol,
                "a cancel request came with a key that is no session's",
            )
            .into()),
        }
    }

    /// When a login that begins now is given up.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.settings.connect_timeout
    }
}

fn dialer(target: &settings::Target, context: &Context) -> Result<Dialer, Failure> {
    let login = match &target.login {
        settings::Login::Iam(identity) => dialer::ServerAuth::Iam(identity.clone()),
        settings::Login::Password(password) => dialer::ServerAuth::Password(password.0.clone()),
    };
    let settings = dialer::DialerConfig {
        engine: target.engine,
        host: target.host.clone(),
        port: target.port,
        sign: target.sign.clone(),
        region: target.region.clone(),
        environment_region: context.environment_region.clone(),
        login,
        verification: target.tls.verification,
        logins_per_second: target.logins_per_second,
    };
    Dialer::new(
        settings,
        target.tls.roots.as_deref(),
        context.resolver.clone(),
        context.clock.clone(),
    )
}
