//! Status of a proxy, for `countersign proxy status`, `/status` and `/readiness`. It contains no
//! secret.

use std::time::{Duration, SystemTime};

use countersign_core::failure::Class;
use countersign_core::name::Engine;
use serde::{Deserialize, Serialize};

mod seconds;
mod timestamp;

/// Snapshot of a proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of Countersign.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Start time.
    #[serde(with = "timestamp")]
    pub started_at: SystemTime,
    /// True after the proxy has tried to bind every listener of its settings.
    pub startup_complete: bool,
    /// True if the proxy accepts no more clients.
    pub draining: bool,
    /// Number of open client connections of all targets.
    pub connections: usize,
    /// Maximum number of client connections; `None` means no limit.
    pub max_connections: Option<usize>,
    /// Number of clients of each worker thread.
    pub clients_per_worker: Vec<usize>,
    /// Databases.
    pub targets: Vec<TargetStatus>,
    /// Connected clients.
    pub sessions: Vec<SessionStatus>,
}

/// Status of one database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// Name in the settings.
    pub name: String,
    /// Kind of server.
    pub engine: Engine,
    /// Host and port that the proxy connects to.
    pub endpoint: String,
    /// Host and port that tokens are signed for; `None` without IAM authentication.
    pub sign_host: Option<String>,
    /// Region that tokens are signed for, if known.
    pub region: Option<String>,
    /// Listeners.
    pub listeners: Vec<ListenerStatus>,
    /// Result of the last logins to the server.
    pub health: HealthStatus,
    /// Number of open client connections.
    pub connections: usize,
    /// Maximum number of client connections; `None` means no limit.
    pub max_connections: Option<usize>,
    /// AWS credentials; `None` if the proxy logs in with a password.
    pub credentials: Option<CredentialsStatus>,
    /// Cached tokens.
    pub tokens: Vec<TokenStatus>,
    /// Connection pool.
    pub pool: PoolStatus,
    /// Number of logins delayed by the limit of logins per second.
    pub logins_queued: usize,
}

/// Status of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// Address or path.
    pub address: String,
    /// Reason why it could not be bound.
    pub failure: Option<String>,
}

/// Result of the last logins to a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthStatus {
    /// False after several consecutive failures. A server without any login is healthy.
    pub healthy: bool,
    /// Time of the last successful login.
    #[serde(with = "timestamp::maybe")]
    pub last_login: Option<SystemTime>,
    /// Last failure since the last successful login.
    pub last_failure: Option<LastFailure>,
}

/// A failed login to a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    /// Class of the failure.
    pub class: Class,
    /// Detail for the operator.
    pub detail: String,
    /// Time of the failure.
    #[serde(with = "timestamp")]
    pub failed_at: SystemTime,
    /// Number of consecutive failed logins.
    pub consecutive_failures: u32,
}

/// AWS credentials without their secret parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialsStatus {
    /// Source of the credentials.
    pub source: String,
    /// Access key id; `None` before the first load.
    pub access_key_id: Option<String>,
    /// Time of expiry; `None` if they do not expire.
    #[serde(with = "timestamp::maybe")]
    pub expires_at: Option<SystemTime>,
    /// Time of the last load.
    #[serde(with = "timestamp::maybe")]
    pub loaded_at: Option<SystemTime>,
    /// Error of the last load, until a load succeeds.
    pub failure: Option<String>,
}

/// A cached token without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenStatus {
    /// Database user.
    pub user: String,
    /// Time of minting.
    #[serde(with = "timestamp")]
    pub minted_at: SystemTime,
    /// Time after which the cache mints a new token.
    #[serde(with = "timestamp")]
    pub expires_at: SystemTime,
    /// Age in seconds.
    #[serde(with = "seconds")]
    pub age: Duration,
}

/// Server sessions of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PoolStatus {
    /// Idle sessions.
    pub idle: usize,
    /// Logins in progress for sessions that no client has requested yet.
    pub connecting: usize,
    /// Number of idle sessions to maintain for each pool key in use.
    pub min_idle: usize,
    /// Sessions in use by clients.
    pub in_use: usize,
}

/// A connected client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Session number in the log.
    pub id: u64,
    /// Name of the target.
    pub target: String,
    /// Address of the client, or its process if it uses a Unix socket.
    pub client: String,
    /// Database user, after the client has named it.
    pub user: Option<String>,
    /// Database, after the client has named it.
    pub database: Option<String>,
    /// Time at which the connection was accepted.
    #[serde(with = "timestamp")]
    pub connected_at: SystemTime,
    /// State of the session.
    pub state: SessionState,
    /// Number of bytes forwarded to the server.
    pub bytes_to_server: u64,
    /// Number of bytes forwarded to the client.
    pub bytes_to_client: u64,
    /// Address of the server.
    pub server: Option<String>,
    /// Age of the server session in seconds.
    #[serde(with = "seconds::maybe")]
    pub server_age: Option<Duration>,
}

/// State of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionState {
    /// The client or the proxy is logging in.
    LoggingIn,
    /// No statement and no transaction is active.
    Idle,
    /// The server is executing a statement, or a message is incomplete.
    Active,
    /// No statement is active, but a transaction is open.
    InTransaction,
}

impl Status {
    /// Returns the targets whose logins fail.
    pub fn unhealthy(&self) -> impl Iterator<Item = &TargetStatus> {
        self.targets.iter().filter(|target| !target.health.healthy)
    }

    /// Returns true if the limit of client connections is reached.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.max_connections.is_some_and(|max| self.connections >= max)
    }
}

#[cfg(test)]
pub(crate) mod tests;
