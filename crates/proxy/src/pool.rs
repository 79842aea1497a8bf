//! Sessions that are kept ready: logged in ahead of need, or left by a client and reset.

mod buckets;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use countersign_connect::dialer::{ConnectError, Dialer};
use countersign_core::failure::{Class, Failure};
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;

use crate::failover::FailoverEpoch;
use crate::health::Health;
use crate::metrics::TargetMetrics;
use crate::protocol::{self, Protocol};
use crate::settings;
use crate::telemetry::{self, Step};
use crate::upstream::Upstream;
use buckets::Buckets;

/// How long a session may take to be reset before it is given up.
const RESET_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// The sessions of one target, and what logs in to more.
#[derive(Debug)]
pub(crate) struct Pool<P: Protocol> {
    pub(crate) target: Arc<settings::Target>,
    pub(crate) protocol: Arc<P>,
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) metrics: Arc<TargetMetrics>,
    pub(crate) health: Arc<Health>,
    pub(crate) term: Arc<FailoverEpoch>,
    pub(crate) kinds: Mutex<Buckets<P>>,
}

/// What may be shown of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Sessions that wait for a client.
    pub(crate) idle: usize,
    /// Logins ahead of need that are under way.
    pub(crate) dialling: usize,
}

impl<P: Protocol> Pool<P> {
    /// A session as `wish` has it: one that waits, or a new one.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        wish: &P::Wish,
        deadline: Instant,
    ) -> Result<Upstream<P>, ConnectError> {
        let Some(kind) = P::pool_key(wish).filter(|_| self.is_on()) else {
            return self.dial(wish, deadline).await;
        };
        let found = self.take(&kind);
        self.replenish(&kind);
        match found {
            Some(upstream) => {
                self.metrics.pool_hits.inc();
                Ok(upstream)
            }
            None => {
                self.metrics.pool_misses.inc();
                self.dial(wish, deadline).await
            }
        }
    }

    /// Takes back a session whose client has gone at a point where it is nobody's: it is reset and kept, or closed.
    pub(crate) async fn release(self: &Arc<Self>, mut upstream: Upstream<P>) {
        let reusable =
            self.target.pool.reuse && self.is_fresh(&upstream) && P::is_reusable(&upstream.wish);
        let kind = P::pool_key(&upstream.wish).filter(|_| reusable);
        let Some(kind) = kind else {
            return upstream.close().await;
        };
        match timeout_at(Instant::now() + RESET_TIMEOUT, P::reset(&mut upstream)).await {
            Ok(Ok(())) if upstream.inbox.is_empty() => {
                self.metrics.pool_resets.inc();
                if let Some(surplus) = self.keep(&kind, upstream) {
                    self.discard(surplus).await;
                }
            }
            Ok(Ok(())) => self.discard(upstream).await,
            Ok(Err(error)) => {
                tracing::debug!(
                    target = self.target.name,
                    "a session can't be reset, and is closed: {error}"
                );
                self.discard(upstream).await;
            }
            Err(_) => {
                tracing::debug!(
                    target = self.target.name,
                    "a session was not reset in time, and is closed"
                );
                self.discard(upstream).await;
            }
        }
    }

    /// Logs in, on the server that the target's role asks for.
    pub(crate) async fn dial(
        &self,
        wish: &P::Wish,
        deadline: Instant,
    ) -> Result<Upstream<P>, ConnectError> {
        let began = Instant::now();
        let span = Step::Dial.span();
        let result = self.dial_writer(wish, deadline).instrument(span.clone()).await;
        match &result {
            Ok(upstream) => {
                telemetry::dialled(&span, upstream.address);
                self.metrics.logins.inc();
                self.metrics.login_time.observe(began.elapsed());
                self.health.succeeded(SystemTime::now());
            }
            Err(refusal) => {
                telemetry::failed(&span, refusal.failure.class);
                self.metrics.login_failures.count(refusal.failure.class);
                self.health.failed(&refusal.failure, SystemTime::now());
            }
        }
        result
    }

    async fn dial_writer(
        &self,
        wish: &P::Wish,
        deadline: Instant,
    ) -> Result<Upstream<P>, ConnectError> {
        let term = self.term.now();
        let user = protocol::user(P::names(wish).0)?;
        let dialled = self
            .dialer
            .dial(&user, deadline, |credential, security| P::dial(wish, credential, security))
            .await?;
        self.protocol.on_upstream_login(&dialled.session);
        let mut upstream = Upstream {
            transport: dialled.transport,
            inbox: dialled.inbox,
            session: Arc::new(dialled.session),
            wish: wish.clone(),
            address: dialled.address,
            term,
            connected_at: Instant::now(),
        };
        if self.target.role == settings::Role::Any {
            return Ok(upstream);
        }
        let asked = timeout_at(deadline, P::is_writer(&mut upstream)).await;
        match asked {
            Ok(Ok(true)) => Ok(upstream),
            Ok(Ok(false)) => {
                let detail = format!(
                    "{} at {} takes no writes: it is not the writer, or not yet",
                    self.dialer.host_port(),
                    upstream.address
                );
                upstream.close().await;
                Err(Failure::new(Class::Unavailable, detail).into())
            }
            Ok(Err(error)) => Err(Failure::new(
                Class::Unavailable,
                format!(
                    "{} does not say whether it is the writer: {error}",
                    self.dialer.host_port()
                ),
            )
            .into()),
            Err(_) => Err(Failure::new(
                Class::TimedOut,
                format!("{} did not say in time whether it is the writer", self.dialer.host_port()),
            )
            .into()),
        }
    }

    /// Whether kinds of sessions are told apart: to keep some, or to watch the writer as one of them.
    fn is_on(&self) -> bool {
        self.target.pool.warm > 0
            || self.target.pool.reuse
            || self.target.role == settings::Role::Writer
    }

    /// Whether another client may have it: it is not too old, and a client that logs in anew would come to the same server.
    fn is_fresh(&self, upstream: &Upstream<P>) -> bool {
        let is_where_the_host_is = !self.dialer.is_stale(upstream.address);
        upstream.connected_at.elapsed() < self.target.pool.lifetime
            && upstream.term == self.term.now()
            && is_where_the_host_is
    }

    fn take(&self, kind: &P::Wish) -> Option<Upstream<P>> {
        loop {
            let mut upstream = self.kinds().take(kind)?;
            if self.is_fresh(&upstream) && upstream.is_quiet() {
                match upstream.rehome() {
                    Ok(upstream) => return Some(upstream),
                    Err(error) => tracing::debug!(
                        target = self.target.name,
                        "a session that waited is lost: {error}"
                    ),
                }
            }
            self.metrics.pool_discarded.inc();
        }
    }

    fn keep(&self, kind: &P::Wish, upstream: Upstream<P>) -> Option<Upstream<P>> {
        self.kinds().keep(kind, upstream, self.target.pool.most_idle)
    }

    async fn discard(&self, upstream: Upstream<P>) {
        self.metrics.pool_discarded.inc();
        upstream.close().await;
    }

    /// Logs in ahead of need until as many wait as shall.
    fn replenish(self: &Arc<Self>, kind: &P::Wish) {
        let missing = self.kinds().begin(kind, self.target.pool.warm);
        for _ in 0..missing {
            let (pool, kind) = (Arc::clone(self), kind.clone());
            tokio::spawn(async move {
                let dialled = pool.dial(&kind, Instant::now() + pool.target.connect_timeout).await;
                pool.kinds().dial_finished(&kind, dialled.is_err());
                match dialled {
                    Ok(upstream) => {
                        if let Some(surplus) = pool.keep(&kind, upstream) {
                            pool.discard(surplus).await;
                        }
                    }
                    Err(refusal) => tracing::warn!(
                        target = pool.target.name,
                        "no session could be logged in ahead of need: {refusal}"
                    ),
                }
            });
        }
    }

    /// Logs in ahead of the first client that asks for this.
    pub(crate) fn prewarm(self: &Arc<Self>, wish: &P::Wish) {
        if let Some(kind) = P::pool_key(wish).filter(|_| self.target.pool.warm > 0) {
            self.replenish(&kind);
        }
    }

    /// Closes what has waited too long, can't be given to anybody any more or was closed by its server, and logs in anew where that
    /// leaves too few.
    pub(crate) async fn maintain(self: &Arc<Self>) {
        if self.counts().idle > 0
            && let Err(failure) = self.dialer.addresses().await
        {
            tracing::debug!(
                target = self.target.name,
                "whether the host has moved can't be told: {failure}"
            );
        }
        let settings::Pool { idle_timeout, warm, most_idle, .. } = self.target.pool;
        let ended = self.kinds().evict(idle_timeout, warm, |upstream| self.is_fresh(upstream));
        for upstream in ended {
            self.discard(upstream).await;
        }
        let lacking = self.kinds().underfilled(idle_timeout, warm, most_idle);
        lacking.iter().for_each(|kind| self.replenish(kind));
    }

    /// Closes all that waits, such as when the server has failed over.
    pub(crate) async fn clear(&self) {
        let all = self.kinds().clear();
        for upstream in all {
            self.discard(upstream).await;
        }
    }

    /// Closes all that waits, and keeps nothing for a while: a client needs a database that nobody else is in. A server waits some
    /// seconds for others to leave it.
    pub(crate) fn close_idle_for_ddl(self: &Arc<Self>) {
        let all = self.kinds().vacate();
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            for upstream in all {
                pool.discard(upstream).await;
            }
        });
    }

    /// What was asked for last.
    pub(crate) fn latest(&self) -> Option<P::Wish> {
        self.kinds().latest()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.kinds().counts()
    }

    fn kinds(&self) -> MutexGuard<'_, Buckets<P>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
