//! The clients that are there, for whoever asks what the proxy is doing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use tokio::time::Instant;

use crate::metrics::TargetMetrics;
use crate::protocol::TransactionState;
use crate::status;

/// The clients of a whole proxy.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    live: Mutex<BTreeMap<u64, Arc<SessionInfo>>>,
    next: AtomicU64,
    /// Rings when a client leaves.
    left: tokio::sync::Notify,
}

/// A client, as long as it is there.
#[derive(Debug)]
pub(crate) struct SessionInfo {
    pub(crate) id: u64,
    target: Arc<str>,
    metrics: Arc<TargetMetrics>,
    client: String,
    since: SystemTime,
    /// User and database, once they are known.
    names: OnceLock<(Box<str>, Option<Box<str>>)>,
    /// The server and when its session was logged in to, once there is one.
    server: OnceLock<(SocketAddr, Instant)>,
    to_server: AtomicU64,
    to_client: AtomicU64,
    /// How many of those the metrics have.
    counted: [AtomicU64; 2],
    /// A [`Standing`], or that nothing has come yet.
    state: AtomicU8,
}

const LOGGING_IN: u8 = 0;
const IDLE: u8 = 1;
const TRANSACTION: u8 = 2;
const ACTIVE: u8 = 3;

/// Keeps a client among those that are there, until it is dropped.
#[derive(Debug)]
pub(crate) struct SessionGuard {
    sessions: Arc<Sessions>,
    pub(crate) live: Arc<SessionInfo>,
}

impl Sessions {
    /// A client has come.
    pub(crate) fn register(
        self: &Arc<Self>,
        target: Arc<str>,
        metrics: Arc<TargetMetrics>,
        client: String,
    ) -> SessionGuard {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let live = Arc::new(SessionInfo {
            id,
            target,
            metrics,
            client,
            since: SystemTime::now(),
            names: OnceLock::new(),
            server: OnceLock::new(),
            to_server: AtomicU64::new(0),
            to_client: AtomicU64::new(0),
            counted: [AtomicU64::new(0), AtomicU64::new(0)],
            state: AtomicU8::new(LOGGING_IN),
        });
        self.live().insert(id, Arc::clone(&live));
        SessionGuard { sessions: Arc::clone(self), live }
    }

    pub(crate) fn count(&self) -> usize {
        self.live().len()
    }

    /// Waits until nobody is there.
    pub(crate) async fn empty(&self) {
        loop {
            let left = self.left.notified();
            if self.count() == 0 {
                return;
            }
            left.await;
        }
    }

    /// Tells the metrics what has been relayed since they were told last.
    pub(crate) fn count_bytes(&self) {
        self.live().values().for_each(|live| live.count_bytes());
    }

    pub(crate) fn report(&self) -> Vec<status::Session> {
        self.live().values().map(|live| live.report()).collect()
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<SessionInfo>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.sessions.live().remove(&self.live.id);
        self.live.count_bytes();
        self.sessions.left.notify_waiters();
    }
}

impl SessionInfo {
    /// It is known who the client wants to be, and where.
    pub(crate) fn names(&self, user: &str, database: Option<&str>) {
        // The first to say so is right: a session has one login.
        let _known = self.names.set((user.into(), database.map(Into::into)));
    }

    /// The client has a session on a server.
    pub(crate) fn welcomed(&self, server: SocketAddr, born: Instant) {
        let _known = self.server.set((server, born));
        self.state.store(IDLE, Ordering::Relaxed);
    }

    /// So many bytes went to the server: it has something to do.
    pub(crate) fn sent(&self, count: usize) {
        self.to_server.fetch_add(count as u64, Ordering::Relaxed);
        self.state.store(ACTIVE, Ordering::Relaxed);
    }

    /// So many bytes went to the client, and there the session stands now.
    pub(crate) fn received(&self, count: usize, standing: TransactionState) {
        self.to_client.fetch_add(count as u64, Ordering::Relaxed);
        let state = match standing {
            TransactionState::Idle => IDLE,
            TransactionState::Transaction => TRANSACTION,
            TransactionState::Active => ACTIVE,
        };
        self.state.store(state, Ordering::Relaxed);
    }

    /// How many bytes went to the server, and how many to the client.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.to_server.load(Ordering::Relaxed), self.to_client.load(Ordering::Relaxed))
    }

    fn count_bytes(&self) {
        let (to_server, to_client) = self.bytes();
        let [up, down] = &self.counted;
        self.metrics.to_server.add(to_server.saturating_sub(up.swap(to_server, Ordering::Relaxed)));
        self.metrics
            .to_client
            .add(to_client.saturating_sub(down.swap(to_client, Ordering::Relaxed)));
    }

    /// Who the client is, as the log tells it.
    pub(crate) fn client(&self) -> &str {
        &self.client
    }

    /// The user that it wants to be, once it has said so.
    pub(crate) fn user(&self) -> &str {
        self.names.get().map_or("", |(user, _)| user)
    }

    fn report(&self) -> status::Session {
        let names = self.names.get();
        let server = self.server.get();
        let (to_server, to_client) = self.bytes();
        status::Session {
            id: self.id,
            target: self.target.to_string(),
            client: self.client.clone(),
            user: names.map(|(user, _)| user.to_string()),
            database: names.and_then(|(_, database)| database.as_deref().map(str::to_owned)),
            since: self.since,
            state: match self.state.load(Ordering::Relaxed) {
                LOGGING_IN => status::State::LoggingIn,
                IDLE => status::State::Idle,
                TRANSACTION => status::State::InTransaction,
                _ => status::State::Active,
            },
            to_server,
            to_client,
            server: server.map(|(address, _)| address.to_string()),
            server_age: server.map(|(_, born)| born.elapsed()),
        }
    }
}

#[cfg(test)]
mod tests;
