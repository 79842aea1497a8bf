//! Registry of the connected clients.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use tokio::time::Instant;

use crate::metrics::TargetMetrics;
use crate::protocol::TransactionState;
use crate::status::{SessionState, SessionStatus};

/// Connected clients of a proxy.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: Mutex<BTreeMap<u64, Arc<SessionInfo>>>,
    next_id: AtomicU64,
    /// Notified when a client disconnects.
    closed: tokio::sync::Notify,
}

/// A connected client.
#[derive(Debug)]
pub(crate) struct SessionInfo {
    pub(crate) id: u64,
    target: Arc<str>,
    metrics: Arc<TargetMetrics>,
    client: String,
    connected_at: SystemTime,
    /// User and database, after the client has named them.
    login: OnceLock<(Box<str>, Option<Box<str>>)>,
    /// Address of the server, and the time of the login to it.
    server: OnceLock<(SocketAddr, Instant)>,
    bytes_to_server: AtomicU64,
    bytes_to_client: AtomicU64,
    /// Bytes to the server and to the client that the metrics already include.
    exported: [AtomicU64; 2],
    /// A [`SessionState`] as a number.
    state: AtomicU8,
}

const LOGGING_IN: u8 = 0;
const IDLE: u8 = 1;
const IN_TRANSACTION: u8 = 2;
const ACTIVE: u8 = 3;

/// Registration of a client; it ends when the guard is dropped.
#[derive(Debug)]
pub(crate) struct SessionGuard {
    sessions: Arc<Sessions>,
    pub(crate) info: Arc<SessionInfo>,
}

impl Sessions {
    /// Registers a client that has just connected.
    pub(crate) fn register(
        self: &Arc<Self>,
        target: Arc<str>,
        metrics: Arc<TargetMetrics>,
        client: String,
    ) -> SessionGuard {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) + 1;
        let info = Arc::new(SessionInfo {
            id,
            target,
            metrics,
            client,
            connected_at: SystemTime::now(),
            login: OnceLock::new(),
            server: OnceLock::new(),
            bytes_to_server: AtomicU64::new(0),
            bytes_to_client: AtomicU64::new(0),
            exported: [AtomicU64::new(0), AtomicU64::new(0)],
            state: AtomicU8::new(LOGGING_IN),
        });
        self.open().insert(id, Arc::clone(&info));
        SessionGuard { sessions: Arc::clone(self), info }
    }

    pub(crate) fn count(&self) -> usize {
        self.open().len()
    }

    /// Waits until no client is connected.
    pub(crate) async fn wait_until_empty(&self) {
        loop {
            let closed = self.closed.notified();
            if self.count() == 0 {
                return;
            }
            closed.await;
        }
    }

    /// Adds the bytes forwarded since the last call to the metrics.
    pub(crate) fn export_bytes(&self) {
        self.open().values().for_each(|info| info.export_bytes());
    }

    pub(crate) fn report(&self) -> Vec<SessionStatus> {
        self.open().values().map(|info| info.report()).collect()
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<SessionInfo>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.sessions.open().remove(&self.info.id);
        self.info.export_bytes();
        self.sessions.closed.notify_waiters();
    }
}

impl SessionInfo {
    /// Sets user and database. Only the first call has an effect: a session has one login.
    pub(crate) fn set_user(&self, user: &str, database: Option<&str>) {
        let _first = self.login.set((user.into(), database.map(Into::into)));
    }

    /// Sets the server connection of the session.
    pub(crate) fn set_server(&self, server: SocketAddr, connected_at: Instant) {
        let _first = self.server.set((server, connected_at));
        self.state.store(IDLE, Ordering::Relaxed);
    }

    /// Records bytes forwarded to the server.
    pub(crate) fn record_to_server(&self, count: usize) {
        self.bytes_to_server.fetch_add(count as u64, Ordering::Relaxed);
        self.state.store(ACTIVE, Ordering::Relaxed);
    }

    /// Records bytes forwarded to the client, and the state of the session after them.
    pub(crate) fn record_to_client(&self, count: usize, state: TransactionState) {
        self.bytes_to_client.fetch_add(count as u64, Ordering::Relaxed);
        let state = match state {
            TransactionState::Idle => IDLE,
            TransactionState::InTransaction => IN_TRANSACTION,
            TransactionState::Active => ACTIVE,
        };
        self.state.store(state, Ordering::Relaxed);
    }

    /// Returns the number of bytes forwarded to the server and to the client.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.bytes_to_server.load(Ordering::Relaxed), self.bytes_to_client.load(Ordering::Relaxed))
    }

    fn export_bytes(&self) {
        let (to_server, to_client) = self.bytes();
        let [server, client] = &self.exported;
        let new = |bytes: u64, exported: &AtomicU64| {
            bytes.saturating_sub(exported.swap(bytes, Ordering::Relaxed))
        };
        self.metrics.bytes_to_server.add(new(to_server, server));
        self.metrics.bytes_to_client.add(new(to_client, client));
    }

    /// Returns the address or process of the client.
    pub(crate) fn client(&self) -> &str {
        &self.client
    }

    /// Returns the database user; empty before the client has named it.
    pub(crate) fn user(&self) -> &str {
        self.login.get().map_or("", |(user, _)| user)
    }

    fn report(&self) -> SessionStatus {
        let login = self.login.get();
        let server = self.server.get();
        let (bytes_to_server, bytes_to_client) = self.bytes();
        SessionStatus {
            id: self.id,
            target: self.target.to_string(),
            client: self.client.clone(),
            user: login.map(|(user, _)| user.to_string()),
            database: login.and_then(|(_, database)| database.as_deref().map(str::to_owned)),
            connected_at: self.connected_at,
            state: match self.state.load(Ordering::Relaxed) {
                LOGGING_IN => SessionState::LoggingIn,
                IDLE => SessionState::Idle,
                IN_TRANSACTION => SessionState::InTransaction,
                _ => SessionState::Active,
            },
            bytes_to_server,
            bytes_to_client,
            server: server.map(|(address, _)| address.to_string()),
            server_age: server.map(|(_, connected_at)| connected_at.elapsed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn clients_are_registered_until_their_guard_is_dropped() {
        let sessions = Arc::new(Sessions::default());
        let guard = sessions.register("orders".into(), Arc::default(), "127.0.0.1:5".to_owned());
        let info = &guard.info;
        info.set_user("jane", Some("shop"));
        assert_eq!(sessions.report()[0].state, SessionState::LoggingIn);
        info.set_server("127.0.0.1:5432".parse().unwrap(), Instant::now());
        assert_eq!(sessions.report()[0].state, SessionState::Idle);
        info.record_to_server(3);
        assert_eq!(sessions.report()[0].state, SessionState::Active);
        info.record_to_client(5, TransactionState::InTransaction);
        let report = sessions.report().remove(0);
        assert_eq!(
            (report.target.as_str(), report.user.as_deref(), report.database.as_deref()),
            ("orders", Some("jane"), Some("shop"))
        );
        assert_eq!(
            (report.state, report.bytes_to_server, report.bytes_to_client),
            (SessionState::InTransaction, 3, 5)
        );
        assert_eq!(report.server.as_deref(), Some("127.0.0.1:5432"));
        let empty = tokio::spawn({
            let sessions = Arc::clone(&sessions);
            async move { sessions.wait_until_empty().await }
        });
        tokio::task::yield_now().await;
        assert!(!empty.is_finished());
        drop(guard);
        timeout(Duration::from_secs(10), empty).await.unwrap().unwrap();
        assert!(sessions.report().is_empty());
    }
}
