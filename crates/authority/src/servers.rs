//! Interface between the RDS API and the component that runs database servers.
//!
//! All methods block, [`Servers::create`] for seconds: call them from a thread that may block. An
//! implementation knows neither the API's records of an instance nor the permissions to log in.

use std::fmt::Debug;
use std::time::SystemTime;

use countersign_core::credentials::Secret;
use countersign_core::endpoint::HostName;
use countersign_core::name::{Engine, InstanceId, ResourceId};

/// Maximum size in bytes of one portion of a log: RDS returns 1 MB.
pub const MAX_LOG_PORTION: u64 = 1 << 20;

/// Installed version of an engine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EngineVersion {
    /// Database engine.
    pub engine: Engine,
    /// Full version, such as `15.18`, `10.11.19` or `9.7.4`.
    pub version: String,
}

/// Master user: the database user created with an instance.
#[derive(Debug, Clone)]
pub struct MasterUser {
    /// User name: a letter, then letters, digits and underscores.
    pub name: String,
    /// Password: printable ASCII without `/`, `"`, `@` and space, as on RDS.
    pub password: Secret,
}

/// Description of a server to be created.
#[derive(Debug, Clone)]
pub struct NewServer {
    /// Name; unique among all servers.
    pub instance: InstanceId,
    /// Resource id that policies use.
    pub resource_id: ResourceId,
    /// Database engine.
    pub engine: Engine,
    /// Version or prefix of one; `None`: the newest installed version.
    pub version: Option<String>,
    /// TCP port; `None`: a free port.
    pub port: Option<u16>,
    /// Database to create.
    pub database: Option<String>,
    /// Master user to create. A replica has the users of its source.
    pub master: Option<MasterUser>,
    /// Source server, if the new server is a replica.
    pub replica_of: Option<InstanceId>,
}

/// Address and version of a running server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningServer {
    /// Host names under which clients reach the server's port. Tokens may be signed for each of
    /// them.
    pub hosts: Vec<HostName>,
    /// Host name reported to clients.
    pub host: HostName,
    /// TCP port.
    pub port: u16,
    /// Full version.
    pub version: String,
}

/// State of an existing server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerDescription {
    /// True if the server is configured to run; false from a stop to the next start.
    pub started: bool,
    /// Address of the server while it runs.
    pub running: RunningServer,
    /// Database created with the server.
    pub database: String,
    /// Master user created with the server.
    pub user: String,
}

/// Log file of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// Name as on RDS, such as `error/postgresql.log`.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last write.
    pub last_written: SystemTime,
}

/// Error of an operation on a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServersError {
    /// The engine, or the requested version of it, is not installed.
    #[error("{0}")]
    NotFound(String),
    /// No server has this name.
    #[error("cannot find server {0}")]
    InstanceNotFound(InstanceId),
    /// Another program listens on the port.
    #[error(
        "cannot listen on port {0}: it is in use; choose another port, or omit it for a free one"
    )]
    PortInUse(u16),
    /// The request is invalid.
    #[error("{0}")]
    Invalid(String),
    /// The operation failed.
    #[error("{0}")]
    Failed(String),
}

/// Runs database servers. Two operations on one instance never run at the same time: the second is
/// rejected.
pub trait Servers: Debug + Send + Sync {
    /// Returns the installed versions.
    ///
    /// # Errors
    /// [`ServersError::Failed`]
    fn versions(&self) -> Result<Vec<EngineVersion>, ServersError>;

    /// Creates and starts a server with its user and database, and waits until it accepts logins. A
    /// failed creation leaves no data.
    ///
    /// # Errors
    /// [`ServersError`]
    fn create(&self, server: &NewServer) -> Result<RunningServer, ServersError>;

    /// Returns the state of a server.
    ///
    /// # Errors
    /// [`ServersError::InstanceNotFound`]; [`ServersError::NotFound`] if the engine's programs are
    /// no longer installed.
    fn describe(&self, instance: &InstanceId) -> Result<ServerDescription, ServersError>;

    /// Starts a stopped server, and waits until it accepts logins.
    ///
    /// # Errors
    /// [`ServersError`]
    fn start(&self, instance: &InstanceId) -> Result<RunningServer, ServersError>;

    /// Stops a server until the next start.
    ///
    /// # Errors
    /// [`ServersError`]
    fn stop(&self, instance: &InstanceId) -> Result<(), ServersError>;

    /// Stops and starts a server.
    ///
    /// # Errors
    /// [`ServersError`]
    fn reboot(&self, instance: &InstanceId) -> Result<RunningServer, ServersError>;

    /// Stops a server and deletes its data.
    ///
    /// # Errors
    /// [`ServersError`]
    fn delete(&self, instance: &InstanceId) -> Result<(), ServersError>;

    /// Changes the password of the master user.
    ///
    /// # Errors
    /// [`ServersError`]
    fn set_master_password(
        &self,
        instance: &InstanceId,
        user: &str,
        password: &Secret,
    ) -> Result<(), ServersError>;

    /// Ends the replication of a replica, so that it accepts writes.
    ///
    /// # Errors
    /// [`ServersError`]
    fn promote(&self, instance: &InstanceId) -> Result<(), ServersError>;

    /// Returns the log files of a server.
    ///
    /// # Errors
    /// [`ServersError`]
    fn logs(&self, instance: &InstanceId) -> Result<Vec<LogFile>, ServersError>;

    /// Returns at most `max` bytes of a log file from `offset` on, and never more than
    /// [`MAX_LOG_PORTION`].
    ///
    /// # Errors
    /// [`ServersError::Invalid`] if `name` is not among [`Servers::logs`]; the other errors.
    fn read_log(
        &self,
        instance: &InstanceId,
        name: &str,
        offset: u64,
        max: u64,
    ) -> Result<Vec<u8>, ServersError>;
}
