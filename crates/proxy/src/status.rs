//! What a proxy is doing: for `countersign proxy status`, `/status` and `/readiness`. No secret has a place in it.

use std::time::{Duration, SystemTime};

use countersign_core::failure::Class;
use countersign_core::name::Engine;
use serde::{Deserialize, Serialize};

mod seconds;
mod timestamp;

/// A whole proxy, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Countersign's.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// When it started.
    #[serde(with = "timestamp")]
    pub started: SystemTime,
    /// Whether it has tried every listener of its settings.
    pub up: bool,
    /// Whether it takes in nobody new.
    pub draining: bool,
    /// Client connections that are open, of all targets.
    pub connections: usize,
    /// How many may be; none is no limit.
    pub max_connections: Option<usize>,
    /// How many clients each of the threads serves.
    pub workers: Vec<usize>,
    /// The databases.
    pub targets: Vec<Target>,
    /// The clients.
    pub sessions: Vec<Session>,
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its name in the settings.
    pub name: String,
    /// The kind of server.
    pub engine: Engine,
    /// The host and port that are dialled.
    pub endpoint: String,
    /// The host and port that tokens are signed for; none where no token is.
    pub signed_for: Option<String>,
    /// The region that tokens are signed for, where it is known.
    pub region: Option<String>,
    /// Where it takes clients in.
    pub listeners: Vec<Listener>,
    /// How its last logins went.
    pub health: Health,
    /// Client connections that are open.
    pub connections: usize,
    /// How many may be; none is no limit.
    pub max_connections: Option<usize>,
    /// The AWS credentials; none where it is logged in to with a password.
    pub identity: Option<Identity>,
    /// The tokens at hand.
    pub tokens: Vec<Token>,
    /// The sessions that are kept ready.
    pub pool: Pool,
    /// Logins that wait for their turn under the limit of logins a second.
    pub queued: usize,
}

/// Where clients are taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The address or the path.
    pub address: String,
    /// Why it is not there, where it is not.
    pub failure: Option<String>,
}

/// How the last logins to a server went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Whether there is nothing to be said against it: a server that nobody has logged in to yet is healthy.
    pub healthy: bool,
    /// When a login last went through.
    #[serde(with = "timestamp::maybe")]
    pub last_login: Option<SystemTime>,
    /// The last login that did not, until one does.
    pub failure: Option<LastFailure>,
}

/// A failure, and when it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    /// Its class.
    pub class: Class,
    /// What it says to the operator.
    pub detail: String,
    /// When it happened.
    #[serde(with = "timestamp")]
    pub at: SystemTime,
    /// How many logins in a row have failed.
    pub consecutive_failures: u32,
}

/// AWS credentials, without what is secret of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Where they come from.
    pub source: String,
    /// The public half of the key; none before the first load.
    pub access_key_id: Option<String>,
    /// When they end, where they do.
    #[serde(with = "timestamp::maybe")]
    pub expires: Option<SystemTime>,
    /// When they were loaded.
    #[serde(with = "timestamp::maybe")]
    pub loaded: Option<SystemTime>,
    /// Why the last load failed, until one succeeds.
    pub failure: Option<String>,
}

/// A token at hand, without its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The database user.
    pub user: String,
    /// When it was minted.
    #[serde(with = "timestamp")]
    pub minted_at: SystemTime,
    /// Until when it is used.
    #[serde(with = "timestamp")]
    pub ends: SystemTime,
    /// Since when it is there, in seconds.
    #[serde(with = "seconds")]
    pub age: Duration,
}

/// The sessions that a target keeps ready, and those that clients have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pool {
    /// Ready for the next client.
    pub idle: usize,
    /// Being logged in ahead of need.
    pub dialling: usize,
    /// How many are to be ready.
    pub warm_target: usize,
    /// With a client.
    pub in_use: usize,
}

/// A client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The number by which the log names it.
    pub id: u64,
    /// Its target's name.
    pub target: String,
    /// Where it comes from: an address, or the process behind a Unix socket.
    pub client: String,
    /// The database user, once it is known.
    pub user: Option<String>,
    /// The database, once it is known.
    pub database: Option<String>,
    /// When it was accepted.
    #[serde(with = "timestamp")]
    pub since: SystemTime,
    /// What it is at.
    pub state: State,
    /// Bytes that it sent.
    pub to_server: u64,
    /// Bytes that it was sent.
    pub to_client: u64,
    /// The address of the server that it is on.
    pub server: Option<String>,
    /// How long ago the session with the server was logged in, in seconds.
    #[serde(with = "seconds::maybe")]
    pub server_age: Option<Duration>,
}

/// What a session is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The client's login, or the server's.
    LoggingIn,
    /// Nothing.
    Idle,
    /// The server is working, or the two are talking.
    Active,
    /// Nothing, but a transaction is open.
    InTransaction,
}

impl Status {
    /// The targets whose logins fail.
    pub fn unhealthy(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().filter(|target| !target.health.healthy)
    }

    /// Whether there is no room for another client.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.max_connections.is_some_and(|most| self.connections >= most)
    }
}

#[cfg(test)]
pub(crate) mod tests;
