//! What runs database servers for the RDS API: the API says what is to be, and somebody who is handed in does it.
//!
//! Everything here blocks, for seconds where a server is made: it is called where that does no harm. What the API keeps of an
//! instance, and who may log in there, is not known to the one who runs it.

use std::fmt::Debug;
use std::time::SystemTime;

use countersign_core::credentials::Secret;
use countersign_core::endpoint::HostName;
use countersign_core::name::{Engine, InstanceId, ResourceId};

/// The most of a log that is given at once, in bytes: RDS gives 1 MB.
pub const MAX_LOG_PORTION: u64 = 1 << 20;

/// A version of a server that can be had.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EngineVersion {
    /// The server's kind.
    pub engine: Engine,
    /// The whole version, such as `15.18`, `10.11.19` or `9.7.4`.
    pub version: String,
}

/// The user that an instance has from its creation: on RDS, the master user.
#[derive(Debug, Clone)]
pub struct MasterUser {
    /// Its name: a letter, then letters, digits and underscores.
    pub name: String,
    /// Its password: printable ASCII without `/`, `"`, `@` and space, as RDS has it.
    pub password: Secret,
}

/// A server that is to be made.
#[derive(Debug, Clone)]
pub struct NewServer {
    /// Its name, which no other server has.
    pub instance: InstanceId,
    /// What policies name it by.
    pub resource_id: ResourceId,
    /// Its kind.
    pub engine: Engine,
    /// Its version, whole or the beginning of it; the newest that is installed where none is given.
    pub version: Option<String>,
    /// Its port; a free one where none is given.
    pub port: Option<u16>,
    /// A database to make in it.
    pub database: Option<String>,
    /// The user to make in it. A replica has those of its source.
    pub master: Option<MasterUser>,
    /// The server that it follows.
    pub replica_of: Option<InstanceId>,
}

/// Where a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningServer {
    /// Every name that it is reached by, on the one port: tokens may be signed for each.
    pub hosts: Vec<HostName>,
    /// The name to tell clients.
    pub host: HostName,
    /// Its port.
    pub port: u16,
    /// Its whole version.
    pub version: String,
}

/// A server that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerDescription {
    /// Whether it is meant to run; one that was stopped stays so until it is started.
    pub started: bool,
    /// Where it is reached when it runs.
    pub running: RunningServer,
    /// The database that it was made with.
    pub database: String,
    /// The user that it was made with.
    pub user: String,
}

/// A log of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// Its name as RDS has it, such as `error/postgresql.log`.
    pub name: String,
    /// Its length, in bytes.
    pub size: u64,
    /// When it was last written.
    pub last_written: SystemTime,
}

/// Why a server was not made, found or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServersError {
    /// No such engine, or version of it, can be had.
    #[error("{0}")]
    NotFound(String),
    /// There is no such instance.
    #[error("there is no server {0}")]
    InstanceNotFound(InstanceId),
    /// Another program listens on the port.
    #[error("port {0} is taken: name another, or none for a free one")]
    PortInUse(u16),
    /// What was asked for can't be done.
    #[error("{0}")]
    Invalid(String),
    /// It can be done, and did not succeed.
    #[error("{0}")]
    Failed(String),
}

/// What runs database servers. Two calls for the same instance don't happen at a time: the second is refused.
pub trait Servers: Debug + Send + Sync {
    /// The versions that are installed.
    ///
    /// # Errors
    /// [`ServersError::Failed`]
    fn versions(&self) -> Result<Vec<EngineVersion>, ServersError>;

    /// Makes and starts a server, with its user and database, and waits until it takes logins. Nothing is left of one that
    /// fails.
    ///
    /// # Errors
    /// [`ServersError`]
    fn create(&self, server: &NewServer) -> Result<RunningServer, ServersError>;

    /// What is known of a server.
    ///
    /// # Errors
    /// [`ServersError::NoInstance`], [`ServersError::NotFound`] where its programs have gone.
    fn describe(&self, instance: &InstanceId) -> Result<ServerDescription, ServersError>;

    /// Starts a server that was stopped, and waits until it takes logins.
    ///
    /// # Errors
    /// [`ServersError`]
    fn start(&self, instance: &InstanceId) -> Result<RunningServer, ServersError>;

    /// Stops a server, until it is started again.
    ///
    /// # Errors
    /// [`ServersError`]
    fn stop(&self, instance: &InstanceId) -> Result<(), ServersError>;

    /// Stops a server and starts it again.
    ///
    /// # Errors
    /// [`ServersError`]
    fn reboot(&self, instance: &InstanceId) -> Result<RunningServer, ServersError>;

    /// Stops a server, and takes its data away.
    ///
    /// # Errors
    /// [`ServersError`]
    fn delete(&self, instance: &InstanceId) -> Result<(), ServersError>;

    /// Gives the user that a server was made with another password.
    ///
    /// # Errors
    /// [`ServersError`]
    fn set_master_password(
        &self,
        instance: &InstanceId,
        user: &str,
        password: &Secret,
    ) -> Result<(), ServersError>;

    /// Has a server that follows another go on by itself.
    ///
    /// # Errors
    /// [`ServersError`]
    fn promote(&self, instance: &InstanceId) -> Result<(), ServersError>;

    /// The logs of a server.
    ///
    /// # Errors
    /// [`ServersError`]
    fn logs(&self, instance: &InstanceId) -> Result<Vec<LogFile>, ServersError>;

    /// A portion of one of [`Servers::logs`], from `offset` on: at most `max` bytes, and never more than [`MAX_PORTION`].
    ///
    /// # Errors
    /// [`ServersError::Invalid`] for a name that is none of them, and the others.
    fn read_log(
        &self,
        instance: &InstanceId,
        name: &str,
        offset: u64,
        max: u64,
    ) -> Result<Vec<u8>, ServersError>;
}
