//! Pool of server connections: opened in advance, or returned by clients and reset.

mod buckets;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use countersign_connect::dialer::{ConnectError, Dialer};
use countersign_core::failure::{Class, Failure};
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

use crate::health::Health;
use crate::lifecycle::FailoverEpoch;
use crate::metrics::TargetMetrics;
use crate::protocol::{LoginParams as _, ServerProtocol, UpstreamOf};
use crate::settings::{PoolSettings, TargetSessionAttrs, TargetSettings};
use crate::telemetry::{self, Step};
use buckets::Buckets;

pub(crate) use buckets::PoolCounts;

/// Maximum duration of resetting a session.
const RESET_TIMEOUT: Duration = Duration::from_secs(5);

/// Server connections of one target.
#[derive(Debug)]
pub(crate) struct Pool<P: ServerProtocol> {
    target: Arc<TargetSettings>,
    protocol: Arc<P>,
    dialer: Arc<Dialer>,
    metrics: Arc<TargetMetrics>,
    health: Arc<Health>,
    epoch: Arc<FailoverEpoch>,
    buckets: Mutex<Buckets<P>>,
}

impl<P: ServerProtocol> Pool<P> {
    pub(crate) fn new(
        target: Arc<TargetSettings>,
        protocol: Arc<P>,
        dialer: Arc<Dialer>,
        metrics: Arc<TargetMetrics>,
        health: Arc<Health>,
        epoch: Arc<FailoverEpoch>,
    ) -> Self {
        Self { target, protocol, dialer, metrics, health, epoch, buckets: Mutex::default() }
    }

    /// Returns an idle connection with these parameters, or opens one.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        params: &P::Params,
        deadline: Instant,
    ) -> Result<UpstreamOf<P>, ConnectError> {
        let Some(key) = params.pool_key().filter(|_| self.uses_keys()) else {
            return self.connect(params, deadline).await;
        };
        let idle = self.take(&key);
        self.replenish(&key);
        match idle {
            Some(upstream) => {
                self.metrics.pool_hits.inc();
                Ok(upstream)
            }
            None => {
                self.metrics.pool_misses.inc();
                self.connect(params, deadline).await
            }
        }
    }

    /// Takes back a connection that is idle outside of a transaction: resets and keeps it, or
    /// closes it.
    pub(crate) async fn release(self: &Arc<Self>, mut upstream: UpstreamOf<P>) {
        let reusable =
            self.target.pool.reuse && self.is_fresh(&upstream) && upstream.params.is_reusable();
        let Some(key) = upstream.params.pool_key().filter(|_| reusable) else {
            return upstream.close(&P::terminate_message()).await;
        };
        let reset = timeout_at(Instant::now() + RESET_TIMEOUT, P::reset(&mut upstream)).await;
        let error = match reset {
            Ok(Ok(())) if upstream.buffer.is_empty() => {
                self.metrics.pool_resets.inc();
                return self.put(&key, upstream).await;
            }
            Ok(Ok(())) => "unexpected message of the server".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "timed out".to_owned(),
        };
        tracing::debug!(db.target = self.target.name, error, "session reset failed");
        self.discard(upstream).await;
    }

    /// Opens a connection, to the writer if the target requires it.
    pub(crate) async fn connect(
        &self,
        params: &P::Params,
        deadline: Instant,
    ) -> Result<UpstreamOf<P>, ConnectError> {
        let started = Instant::now();
        let span = Step::Dial.span();
        let result = self.connect_checked(params, deadline).instrument(span.clone()).await;
        match &result {
            Ok(upstream) => {
                telemetry::record_server(&span, upstream.address);
                self.metrics.logins.inc();
                self.metrics.login_duration.observe(started.elapsed());
                self.health.succeeded(SystemTime::now());
            }
            Err(error) => {
                telemetry::record_failure(&span, error.failure.class);
                self.metrics.login_failures.count(error.failure.class);
                self.health.failed(&error.failure, SystemTime::now());
            }
        }
        result
    }

    async fn connect_checked(
        &self,
        params: &P::Params,
        deadline: Instant,
    ) -> Result<UpstreamOf<P>, ConnectError> {
        // Read before the lookup: a failover after it makes the connection stale.
        let failover_epoch = self.epoch.current();
        let connected = self
            .dialer
            .dial(&params.db_user()?, deadline, |credential, security| {
                P::login(params, credential, security)
            })
            .await?;
        self.protocol.on_upstream_login(&connected.session);
        let upstream = UpstreamOf::<P> {
            transport: connected.transport,
            buffer: connected.inbox,
            session: Arc::new(connected.session),
            params: params.clone(),
            address: connected.address,
            failover_epoch,
            connected_at: Instant::now(),
        };
        match self.target.target_session_attrs {
            TargetSessionAttrs::Any => Ok(upstream),
            TargetSessionAttrs::ReadWrite => self.require_writer(upstream, deadline).await,
        }
    }

    async fn require_writer(
        &self,
        mut upstream: UpstreamOf<P>,
        deadline: Instant,
    ) -> Result<UpstreamOf<P>, ConnectError> {
        let server = self.dialer.host_port();
        let (class, detail) = match timeout_at(deadline, P::is_writer(&mut upstream)).await {
            Ok(Ok(true)) => return Ok(upstream),
            Ok(Ok(false)) => {
                let address = upstream.address;
                upstream.close(&P::terminate_message()).await;
                let detail = format!("{server} at {address} does not accept writes");
                (Class::Unavailable, detail)
            }
            Ok(Err(error)) => (
                Class::Unavailable,
                format!("cannot check whether {server} accepts writes: {error}"),
            ),
            Err(_) => (
                Class::TimedOut,
                format!("cannot check whether {server} accepts writes: timed out"),
            ),
        };
        Err(Failure::new(class, detail).into())
    }

    /// Returns true if connections are kept by key, or if the writer is watched with the
    /// parameters of the last client.
    fn uses_keys(&self) -> bool {
        self.target.pool.min_idle > 0
            || self.target.pool.reuse
            || self.target.target_session_attrs == TargetSessionAttrs::ReadWrite
    }

    /// Returns true if another client may get the connection: it is not too old, and a new
    /// connection would reach the same server.
    fn is_fresh(&self, upstream: &UpstreamOf<P>) -> bool {
        upstream.connected_at.elapsed() < self.target.pool.max_lifetime
            && upstream.failover_epoch == self.epoch.current()
            && !self.dialer.is_stale(upstream.address)
    }

    fn take(&self, key: &P::Params) -> Option<UpstreamOf<P>> {
        loop {
            let mut upstream = self.buckets().take(key)?;
            if self.is_fresh(&upstream) && upstream.is_quiet() {
                match upstream.reregister() {
                    Ok(upstream) => return Some(upstream),
                    Err(error) => {
                        tracing::debug!(db.target = self.target.name, %error, "idle session lost");
                    }
                }
            }
            self.metrics.pool_discarded.inc();
        }
    }

    /// Keeps an idle connection, and closes the oldest one if there are too many.
    async fn put(&self, key: &P::Params, upstream: UpstreamOf<P>) {
        let surplus = self.buckets().put(key, upstream, self.target.pool.max_idle);
        if let Some(surplus) = surplus {
            self.discard(surplus).await;
        }
    }

    async fn discard(&self, upstream: UpstreamOf<P>) {
        self.metrics.pool_discarded.inc();
        upstream.close(&P::terminate_message()).await;
    }

    async fn discard_all(&self, connections: Vec<UpstreamOf<P>>) {
        for upstream in connections {
            self.discard(upstream).await;
        }
    }

    /// Opens connections in the background until `min_idle` are idle.
    fn replenish(self: &Arc<Self>, key: &P::Params) {
        let missing = self.buckets().begin_connecting(key, self.target.pool.min_idle);
        for _ in 0..missing {
            let (pool, key) = (Arc::clone(self), key.clone());
            tokio::spawn(async move {
                let deadline = Instant::now() + pool.target.connect_timeout;
                let connected = pool.connect(&key, deadline).await;
                pool.buckets().connecting_finished(&key, connected.is_err());
                match connected {
                    Ok(upstream) => pool.put(&key, upstream).await,
                    Err(error) => {
                        tracing::warn!(db.target = pool.target.name, %error, "pool login failed");
                    }
                }
            });
        }
    }

    /// Opens connections for these parameters before the first client requests them.
    pub(crate) fn prewarm(self: &Arc<Self>, params: &P::Params) {
        if let Some(key) = params.pool_key().filter(|_| self.target.pool.min_idle > 0) {
            self.replenish(&key);
        }
    }

    /// Closes connections that timed out, are stale or were closed by the server, and replaces
    /// them up to `min_idle`.
    pub(crate) async fn maintain(self: &Arc<Self>) {
        // Refreshes the addresses that `is_fresh` compares with.
        if self.counts().idle > 0
            && let Err(error) = self.dialer.addresses().await
        {
            tracing::debug!(db.target = self.target.name, %error, "host lookup failed");
        }
        let PoolSettings { idle_timeout, min_idle, max_idle, .. } = self.target.pool;
        let evicted =
            self.buckets().evict(idle_timeout, min_idle, |upstream| self.is_fresh(upstream));
        self.discard_all(evicted).await;
        let underfilled = self.buckets().underfilled(idle_timeout, min_idle, max_idle);
        underfilled.iter().for_each(|key| self.replenish(key));
    }

    /// Closes all idle connections.
    pub(crate) async fn clear(&self) {
        let idle = self.buckets().clear();
        self.discard_all(idle).await;
    }

    /// Closes all idle connections and keeps none for a while, for a statement that fails while
    /// other sessions use its database. The server waits some seconds for them to end.
    pub(crate) fn close_idle_for_ddl(self: &Arc<Self>) {
        let idle = self.buckets().close_idle_for_ddl();
        let pool = Arc::clone(self);
        tokio::spawn(async move { pool.discard_all(idle).await });
    }

    /// Returns the parameters that were requested last.
    pub(crate) fn last_requested(&self) -> Option<P::Params> {
        self.buckets().last_requested()
    }

    pub(crate) fn counts(&self) -> PoolCounts {
        self.buckets().counts()
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets<P>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
