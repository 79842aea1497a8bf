//! Settings of a proxy as plain values. The caller reads files and flags and chooses the defaults.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use countersign_connect::credentials_cache::CredentialsConfig;
use countersign_connect::tls::Verification;
use countersign_core::credentials::Secret;
use countersign_core::endpoint::HostName;
use countersign_core::name::{DbUser, Engine};
use countersign_core::region::Region;

/// Settings of a whole proxy.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Databases with their listeners; their names are unique.
    pub targets: Vec<TargetSettings>,
    /// Maximum number of client connections of all targets; 0 means no limit.
    pub max_connections: usize,
    /// Maximum duration of a client's login.
    pub login_timeout: Duration,
}

/// Settings of one database and its listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSettings {
    /// Name in logs, metrics and the status.
    pub name: String,
    /// Kind of server.
    pub engine: Engine,
    /// Host to connect to, which the server's certificate must name.
    pub host: HostName,
    /// Port to connect to.
    pub port: u16,
    /// Host and port that tokens are signed for if they differ from the connected ones, such as
    /// at the other end of a tunnel.
    pub sign: Option<(HostName, u16)>,
    /// Region that tokens are signed for; `None` derives it from the host name, the environment
    /// or the profile.
    pub region: Option<Region>,
    /// Database user of every client; `None` uses the user that the client names.
    pub user: Option<DbUser>,
    /// Database of every client; `None` uses the database that the client names.
    pub database: Option<String>,
    /// Authentication to the server.
    pub server_auth: ServerAuth,
    /// TLS to the server.
    pub tls: ServerTls,
    /// Required state of the server.
    pub target_session_attrs: TargetSessionAttrs,
    /// Listeners.
    pub listen: Vec<Listen>,
    /// Authentication of clients.
    pub client_auth: ClientAuth,
    /// Certificate for clients; `None` disables TLS with clients.
    pub client_tls: Option<ClientTls>,
    /// Connection pool.
    pub pool: PoolSettings,
    /// Maximum number of client connections of this target; 0 means no limit.
    pub max_connections: usize,
    /// Maximum rate of logins to the server. RDS refuses logins from about 200 a second.
    pub logins_per_second: u32,
    /// Maximum duration of a connection attempt, login included.
    pub connect_timeout: Duration,
    /// Maximum duration of a session; `None` means no limit.
    pub session_timeout: Option<Duration>,
}

impl TargetSettings {
    /// Returns the certificate and key files, which can change while the settings stay equal.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let client_tls = self.client_tls.iter().flat_map(|tls| [&tls.certificate, &tls.key]);
        self.tls.ca_file.iter().chain(client_tls)
    }
}

/// Authentication of the proxy to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerAuth {
    /// A token minted from these AWS credentials.
    Iam(CredentialsConfig),
    /// A password, for servers without IAM authentication.
    Password(Arc<Password>),
}

/// A password: compared in constant time, redacted in `Debug`.
#[derive(Debug, Clone)]
pub struct Password(pub Secret);

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(other.0.expose())
    }
}

impl Eq for Password {}

/// TLS to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// Verification of the server's certificate.
    pub verification: Verification,
    /// PEM file of trusted roots, instead of the built-in ones.
    pub ca_file: Option<PathBuf>,
}

/// Required state of the server of a session, as libpq's `target_session_attrs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetSessionAttrs {
    /// Any server.
    Any,
    /// A server that accepts writes; sessions end when it stops accepting them.
    ReadWrite,
}

/// Address of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address; port 0 chooses a free port.
    Tcp(SocketAddr),
    /// Path of a Unix socket, which only its owner can use.
    Unix(PathBuf),
    /// Name of a listening socket inherited from the parent process (systemd socket activation).
    Activated(String),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
            Self::Activated(name) => name.fmt(f),
        }
    }
}

/// Authentication of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuth {
    /// No authentication. Only loopback addresses and Unix sockets are bound.
    Trust,
    /// No authentication, on any address: the operator has to set this explicitly.
    TrustNetwork,
    /// A password, the same for every user name.
    Password(Arc<Password>),
    /// Processes of these operating-system users (uids), on Unix sockets only.
    Users(Vec<u32>),
}

/// Certificate for clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTls {
    /// PEM file of the certificate and its chain.
    pub certificate: PathBuf,
    /// PEM file of the private key.
    pub key: PathBuf,
    /// Refuse clients without TLS.
    pub required: bool,
}

/// Settings of a connection pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSettings {
    /// Number of sessions opened in advance for each pool key (user, database, parameters) in use.
    pub min_idle: usize,
    /// Reset a session after its client disconnects and give it to the next client.
    pub reuse: bool,
    /// Maximum number of idle sessions.
    pub max_idle: usize,
    /// Maximum time that a session stays idle.
    pub idle_timeout: Duration,
    /// Maximum age of a session that is given to a client.
    pub max_lifetime: Duration,
}
