//! A target independent of its protocol.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use countersign_connect::credentials_cache;
use countersign_connect::token_cache::CachedToken;
use countersign_core::failure::Failure;
use tokio::time::sleep;

use crate::limit::Limit;
use crate::pool::PoolCounts;
use crate::protocol::{LoginParams as _, Protocol};
use crate::session::{self, AcceptedConn};
use crate::settings::TargetSessionAttrs;
use crate::status::{CredentialsStatus, PoolStatus, TargetStatus, TokenStatus};
use crate::target::Target;
use crate::writer_watch;

/// Time between two runs of the pool's maintenance.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(1);

/// A boxed future.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A target of any protocol.
pub(crate) trait TargetHandle: Send + Sync {
    /// Serves a client on one of the worker threads.
    fn serve(self: Arc<Self>, conn: AcceptedConn);

    /// Returns the status without that of the listeners.
    fn status(&self, limit: &Limit) -> TargetStatus;

    /// Logs in and disconnects. Without a user of its own, it connects without a login.
    fn probe(self: Arc<Self>) -> BoxFuture<Result<(), Failure>>;

    /// Maintains the pool and watches the writer, until it is dropped.
    fn maintain(self: Arc<Self>) -> BoxFuture<()>;

    /// Forwards a cancel request that the successor received for a session of this proxy.
    fn cancel(self: Arc<Self>, key: Vec<u8>);

    /// Updates the metrics that are counted elsewhere.
    fn update_metrics(&self);

    /// Closes the idle connections of the pool.
    fn clear_pool(self: Arc<Self>) -> BoxFuture<()>;
}

impl<P: Protocol> TargetHandle for Target<P> {
    fn serve(self: Arc<Self>, conn: AcceptedConn) {
        let workers = self.workers.clone();
        workers.serve(session::handle_connection(self, conn));
    }

    fn status(&self, limit: &Limit) -> TargetStatus {
        let PoolCounts { idle, connecting } = self.pool.counts();
        let tokens = self.dialer.tokens();
        TargetStatus {
            name: self.name.to_string(),
            engine: self.settings.engine,
            endpoint: self.dialer.host_port(),
            sign_host: tokens.map(|_| match &self.settings.sign {
                Some((host, port)) => format!("{host}:{port}"),
                None => self.dialer.host_port(),
            }),
            region: self.dialer.known_region().map(|region| region.to_string()),
            listeners: Vec::new(),
            health: self.health.status(),
            connections: limit.open(),
            max_connections: limit.max(),
            credentials: tokens.map(|tokens| credentials(tokens.credentials().status())),
            tokens: tokens.map(|tokens| self.tokens(tokens.entries())).unwrap_or_default(),
            pool: PoolStatus {
                idle,
                connecting,
                min_idle: self.settings.pool.min_idle,
                in_use: usize::try_from(self.metrics.open.get()).unwrap_or_default(),
            },
            logins_queued: self.dialer.queued_logins(),
        }
    }

    fn probe(self: Arc<Self>) -> BoxFuture<Result<(), Failure>> {
        Box::pin(async move {
            let Some(params) = P::Params::for_target_user(&self.settings) else {
                return self.dialer.probe(self.deadline()).await;
            };
            let connected = self.pool.connect(&params, self.deadline()).await;
            let upstream = connected.map_err(|error| error.failure)?;
            upstream.close(&P::terminate_message()).await;
            Ok(())
        })
    }

    fn maintain(self: Arc<Self>) -> BoxFuture<()> {
        Box::pin(async move {
            if let Some(params) = P::Params::for_target_user(&self.settings) {
                self.pool.prewarm(&params);
            }
            let maintain_pool = async {
                loop {
                    sleep(MAINTENANCE_INTERVAL).await;
                    self.pool.maintain().await;
                }
            };
            match self.settings.target_session_attrs {
                TargetSessionAttrs::Any => maintain_pool.await,
                TargetSessionAttrs::ReadWrite => {
                    _ = tokio::join!(maintain_pool, writer_watch::watch_writer(Arc::clone(&self)));
                }
            }
        })
    }

    fn cancel(self: Arc<Self>, key: Vec<u8>) {
        tokio::spawn(async move {
            match Target::cancel(&self, &key).await {
                Ok(()) => self.metrics.cancels_forwarded.inc(),
                Err(error) => {
                    tracing::info!(db.target = &*self.name, "cancel request failed: {error}");
                }
            }
        });
    }

    fn update_metrics(&self) {
        let PoolCounts { idle, connecting } = self.pool.counts();
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.pool_idle.set(gauge(idle));
        self.metrics.pool_connecting.set(gauge(connecting));
        self.metrics.logins_queued.set(gauge(self.dialer.queued_logins()));
        if let Some(tokens) = self.dialer.tokens() {
            let (counts, credentials) = (tokens.counts(), tokens.credentials().status());
            self.metrics.tokens_minted.set_total(counts.minted);
            self.metrics.token_cache_hits.set_total(counts.hits);
            self.metrics.tokens_rejected.set_total(counts.rejected);
            self.metrics.credentials_loads.set_total(credentials.loads);
            self.metrics.credentials_failures.set_total(credentials.failures);
        }
    }

    fn clear_pool(self: Arc<Self>) -> BoxFuture<()> {
        Box::pin(async move { self.pool.clear().await })
    }
}

impl<P: Protocol> Target<P> {
    fn tokens(&self, cached: Vec<CachedToken>) -> Vec<TokenStatus> {
        let now = self.dialer.clock().now();
        let status = |token: CachedToken| TokenStatus {
            user: token.user.to_string(),
            minted_at: token.minted_at,
            expires_at: token.expires_at,
            age: now.duration_since(token.minted_at).unwrap_or_default(),
        };
        cached.into_iter().map(status).collect()
    }
}

fn credentials(description: credentials_cache::CredentialsStatus) -> CredentialsStatus {
    CredentialsStatus {
        source: description.source,
        access_key_id: description.access_key_id.map(|id| id.to_string()),
        expires_at: description.expires,
        loaded_at: description.loaded,
        failure: description.failure,
    }
}
