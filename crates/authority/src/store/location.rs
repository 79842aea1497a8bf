//! Where a store lies: in a directory, or in a database of a PostgreSQL server.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use countersign_core::credentials::Secret;
use countersign_core::name::InvalidName;
use url::Url;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Where a store lies.
#[derive(Debug, Clone)]
pub enum Location {
    /// In a file of SQLite's, in this directory: one machine, any number of processes.
    Directory(PathBuf),
    /// In a database of a PostgreSQL server: any number of machines.
    Postgres(Box<PostgresLocation>),
}

/// How the connection to PostgreSQL is protected. Named as libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// The server proves that it is the host named.
    VerifyFull,
    /// Not at all: the default on Unix sockets, and elsewhere for who says so.
    Disable,
}

/// A database of a PostgreSQL server.
#[derive(Clone)]
pub struct PostgresLocation {
    /// A host, or the directory of a Unix socket.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database user.
    pub user: String,
    /// The database.
    pub database: String,
    /// How the connection is protected.
    pub tls: TlsMode,
    /// A file of root certificates, beside the system's.
    pub root_certificates: Option<PathBuf>,
    /// The user's password, where it needs one. It does not come with the URL, which everybody on the machine can see.
    pub password: Option<Secret>,
}

impl fmt::Debug for PostgresLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for PostgresLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@{}:{}/{}", self.user, self.host, self.port, self.database)
    }
}

impl FromStr for Location {
    type Err = InvalidName;

    /// Reads `postgres://USER@HOST[:PORT]/DATABASE[?sslmode=…&sslrootcert=…&host=SOCKET-DIRECTORY]`, or takes the text for a
    /// directory.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |why: &str| InvalidName::new("the store", why);
        if !text.contains("://") {
            return if text.is_empty() {
                Err(refuse("is empty"))
            } else {
                Ok(Self::Directory(PathBuf::from(text)))
            };
        }
        let url = Url::parse(text)
            .map_err(|_| refuse("is no URL of the form postgres://USER@HOST/DATABASE"))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(refuse("is neither a directory nor a URL that begins with postgres://"));
        }
        if url.password().is_some() {
            return Err(refuse(
                "has a password in it, which everybody on the machine can see: set PGPASSWORD, or use a password file",
            ));
        }
        let decoded = |text: &str| {
            countersign_core::sigv4::encode::decode(text).map(std::borrow::Cow::into_owned)
        };
        let mut location = PostgresLocation {
            host: url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(5432),
            user: decoded(url.username())
                .filter(|user| !user.is_empty())
                .ok_or_else(|| refuse("names no user: postgres://USER@HOST/DATABASE"))?,
            database: decoded(url.path().trim_start_matches('/')).unwrap_or_default(),
            tls: TlsMode::VerifyFull,
            root_certificates: None,
            password: None,
        };
        let mut tls = None;
        for (name, value) in url.query_pairs() {
            match (&*name, &*value) {
                ("sslmode", "verify-full") => tls = Some(TlsMode::VerifyFull),
                ("sslmode", "disable") => tls = Some(TlsMode::Disable),
                ("sslmode", _) => {
                    return Err(refuse("has an sslmode that is neither verify-full nor disable"));
                }
                ("sslrootcert", file) => location.root_certificates = Some(PathBuf::from(file)),
                ("host", directory) => directory.clone_into(&mut location.host),
                _ => {
                    return Err(InvalidName::new(
                        "the store",
                        format!("has the parameter {name:?}, which means nothing here"),
                    ));
                }
            }
        }
        if location.host.is_empty() || location.database.is_empty() {
            return Err(refuse("names no host or no database: postgres://USER@HOST/DATABASE"));
        }
        location.tls = tls.unwrap_or(if location.is_socket() {
            TlsMode::Disable
        } else {
            TlsMode::VerifyFull
        });
        Ok(Self::Postgres(Box::new(location)))
    }
}

impl PostgresLocation {
    /// Whether the host is the directory of a Unix socket.
    #[must_use]
    pub fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// What the driver is told. TLS is none of its business: it gets a stream that has it.
    pub(super) fn driver(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .user(&self.user)
            .dbname(&self.database)
            .application_name("countersign")
            .connect_timeout(CONNECT);
        config.ssl_mode(tokio_postgres::config::SslMode::Disable);
        self.password.as_ref().map(|password| config.password(password.expose()));
        config
    }
}

#[cfg(test)]
mod tests;
