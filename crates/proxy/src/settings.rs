//! What a proxy is to do, as plain values: whoever reads files and flags makes them, and nothing here is a default.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use countersign_connect::credentials_cache;
use countersign_connect::tls::Verification;
use countersign_core::credentials::Secret;
use countersign_core::endpoint::HostName;
use countersign_core::name::{DbUser, Engine};
use countersign_core::region::Region;

/// A whole proxy.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The databases, each with its listeners. Their names differ.
    pub targets: Vec<Target>,
    /// How many client connections are held at most, of all targets together; 0 is no limit.
    pub max_connections: usize,
    /// How long a client has for its login.
    pub login_timeout: Duration,
}

/// A database, and where its clients find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What people call it: in the log, in metrics, in `status`.
    pub name: String,
    /// The kind of server.
    pub engine: Engine,
    /// The host that is dialled, and that the server's certificate must name.
    pub host: HostName,
    /// The port that is dialled.
    pub port: u16,
    /// The host and port that tokens are signed for where they are not those dialled: at the other end of a tunnel, say.
    pub sign: Option<(HostName, u16)>,
    /// The region that tokens are signed for; none is found out from the host name, the environment, the profile.
    pub region: Option<Region>,
    /// The database user; none is whoever the client says it is.
    pub user: Option<DbUser>,
    /// The database; none is the one that the client asks for.
    pub database: Option<String>,
    /// What the server is logged in to with.
    pub login: Login,
    /// How the connection to the server is secured.
    pub tls: ServerTls,
    /// Whether it has to be the writer.
    pub role: Role,
    /// Where clients are taken in.
    pub listen: Vec<Listen>,
    /// What clients have to prove.
    pub access: Access,
    /// The certificate that clients are shown; none is no TLS on this side.
    pub client_tls: Option<ClientTls>,
    /// Sessions kept ready.
    pub pool: Pool,
    /// How many client connections the target has at most; 0 is no limit.
    pub max_connections: usize,
    /// How many logins a second it is asked for at most. RDS refuses from about 200 on.
    pub logins_per_second: u32,
    /// How long a dial may take, login included.
    pub connect_timeout: Duration,
    /// How long a session may last; none is as long as both sides like.
    pub session_timeout: Option<Duration>,
}

impl Target {
    /// The files that it is made from: certificates and keys, which change while the settings stay.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let shown = self.client_tls.iter().flat_map(|tls| [&tls.certificate, &tls.key]);
        self.tls.roots.iter().chain(shown)
    }
}

/// What a server is logged in to with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// A token, minted from these AWS credentials.
    Iam(credentials_cache::CredentialsConfig),
    /// A password, for servers that are not on IAM yet.
    Password(Arc<Password>),
}

/// A password as a setting: compared in constant time, never shown.
#[derive(Debug, Clone)]
pub struct Password(pub Secret);

impl PartialEq for Password {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(other.0.expose())
    }
}

impl Eq for Password {}

/// How the connection to a server is secured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// How far the server's certificate is verified.
    pub verification: Verification,
    /// A PEM file of roots in place of those built in.
    pub roots: Option<PathBuf>,
}

/// Which server of a cluster a session has to be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Whichever answers.
    Any,
    /// The one that takes writes: sessions leave it when it stops taking them.
    Writer,
}

/// Where clients are taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address. Port 0 is any that is free.
    Tcp(SocketAddr),
    /// A Unix socket, made private to its owner.
    Unix(PathBuf),
    /// A listening socket that was handed over by whoever started us (systemd's socket activation), by its name.
    Activated(String),
}

/// What clients have to prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Nothing. Only on loopback and on Unix sockets: no other listener is bound so.
    Open,
    /// Nothing, wherever they come from: who sets that says so by name.
    OpenToNetwork,
    /// That they know a password, whatever user they name.
    Password(Arc<Password>),
    /// That they are processes of one of these users of the machine (numbers). Only on Unix sockets.
    Users(Vec<u32>),
}

/// The certificate that clients are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTls {
    /// The certificate and those that vouch for it, in a PEM file.
    pub certificate: PathBuf,
    /// Its private key, in a PEM file.
    pub key: PathBuf,
    /// Whether clients without TLS are refused.
    pub required: bool,
}

/// Sessions kept ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// How many sessions are logged in ahead of need for each kind of session (user, database, parameters) in use.
    pub warm: usize,
    /// Whether a session whose client has gone is reset and kept for the next.
    pub reuse: bool,
    /// How many idle sessions are kept at most.
    pub most_idle: usize,
    /// How long an idle one is kept.
    pub idle_timeout: Duration,
    /// How old a session gets before it is given to nobody any more.
    pub lifetime: Duration,
}
