//! A target as the rest of the proxy deals with it, whichever protocol it has.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use countersign_core::failure::Failure;

use crate::limit::Limit;
use crate::pool;
use crate::protocol::Protocol;
use crate::session::{self, AcceptedConn};
use crate::target::Target;
use crate::{settings, status, writer};

/// A target of whichever protocol.
pub(crate) trait TargetHandle: Send + Sync {
    /// Serves a client, on one of the workers.
    fn serve(self: Arc<Self>, guest: AcceptedConn);

    /// What may be shown of it, but for its listeners.
    fn report(&self, limit: &Limit) -> status::Target;

    /// Logs in once, and out.
    fn probe(self: Arc<Self>) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

    /// Looks after the sessions that wait, for as long as it is polled.
    fn tend(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// Does what a client of ours asks by way of the proxy that has taken our place.
    fn call(self: Arc<Self>, call: &[u8]);

    /// Brings up to date what is counted by nobody.
    fn refresh(&self);

    /// Closes the sessions that wait.
    fn clear(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// How often the sessions that wait are looked after.
const TEND: Duration = Duration::from_secs(1);

impl<P: Protocol> TargetHandle for Target<P> {
    fn serve(self: Arc<Self>, guest: AcceptedConn) {
        let workers = self.workers.clone();
        workers.serve(session::handle_connection(self, guest));
    }

    fn report(&self, limit: &Limit) -> status::Target {
        let waiting = self.pool.counts();
        let tokens = self.dialer.tokens();
        status::Target {
            name: self.name.to_string(),
            engine: self.settings.engine,
            endpoint: self.dialer.host_port(),
            signed_for: tokens.map(|_| match &self.settings.sign {
                Some((host, port)) => format!("{host}:{port}"),
                None => self.dialer.host_port(),
            }),
            region: self.dialer.known_region().map(|region| region.to_string()),
            listeners: Vec::new(),
            health: self.health.report(),
            connections: limit.open(),
            max_connections: limit.most(),
            identity: tokens.map(|tokens| identity(tokens.credentials().status())),
            tokens: tokens.map(|tokens| self.tokens(tokens.entries())).unwrap_or_default(),
            pool: status::Pool {
                idle: waiting.idle,
                dialling: waiting.dialling,
                warm_target: self.settings.pool.warm,
                in_use: usize::try_from(self.metrics.open.get()).unwrap_or_default(),
            },
            queued: self.dialer.queued_logins(),
        }
    }

    fn probe(self: Arc<Self>) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>> {
        Box::pin(async move {
            match P::probe_params(&self.settings) {
                Some(wish) => {
                    let upstream = self
                        .pool
                        .dial(&wish, self.deadline())
                        .await
                        .map_err(|refusal| refusal.failure)?;
                    upstream.close().await;
                    Ok(())
                }
                // Who will log in is for clients to say: as far as it goes without them.
                None => self.dialer.probe(self.deadline()).await,
            }
        })
    }

    fn tend(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            if let Some(wish) = P::probe_params(&self.settings) {
                self.pool.prewarm(&wish);
            }
            let pool = async {
                loop {
                    tokio::time::sleep(TEND).await;
                    self.pool.maintain().await;
                }
            };
            match self.settings.role {
                settings::Role::Any => pool.await,
                settings::Role::Writer => _ = tokio::join!(pool, writer::watch(Arc::clone(&self))),
            }
        })
    }

    fn call(self: Arc<Self>, call: &[u8]) {
        let Some(call) = P::call_from_bytes(call) else {
            return;
        };
        tokio::spawn(async move {
            match self.answer(call).await {
                Ok(()) => self.metrics.cancels.inc(),
                Err(refusal) => {
                    tracing::info!(target = &*self.name, "no statement was cancelled: {refusal}")
                }
            }
        });
    }

    fn refresh(&self) {
        let pool::Counts { idle, dialling } = self.pool.counts();
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.pool_idle.set(gauge(idle));
        self.metrics.pool_dialling.set(gauge(dialling));
        self.metrics.login_queue.set(gauge(self.dialer.queued_logins()));
        if let Some(tokens) = self.dialer.tokens() {
            let (counts, credentials) = (tokens.counts(), tokens.credentials().status());
            self.metrics.tokens_minted.set_total(counts.minted);
            self.metrics.token_hits.set_total(counts.hits);
            self.metrics.tokens_rejected.set_total(counts.rejected);
            self.metrics.credentials_loads.set_total(credentials.loads);
            self.metrics.credentials_failures.set_total(credentials.failures);
        }
    }

    fn clear(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move { self.pool.clear().await })
    }
}

impl<P: Protocol> Target<P> {
    fn tokens(
        &self,
        kept: Vec<countersign_connect::token_cache::CachedToken>,
    ) -> Vec<status::Token> {
        let now = self.dialer.clock().now();
        let token = |kept: countersign_connect::token_cache::CachedToken| status::Token {
            user: kept.user.to_string(),
            minted_at: kept.minted_at,
            ends: kept.expires_at,
            age: now.duration_since(kept.minted_at).unwrap_or_default(),
        };
        kept.into_iter().map(token).collect()
    }
}

fn identity(
    description: countersign_connect::credentials_cache::CredentialsStatus,
) -> status::Identity {
    status::Identity {
        source: description.source,
        access_key_id: description.access_key_id.map(|id| id.to_string()),
        expires: description.expires,
        loaded: description.loaded,
        failure: description.failure,
    }
}
