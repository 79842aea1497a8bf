//! Location of a store: a directory, or a database of a PostgreSQL server.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use countersign_core::credentials::Secret;
use countersign_core::name::InvalidName;
use url::Url;

/// Maximum time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Location of a store.
#[derive(Debug, Clone)]
pub enum StoreLocation {
    /// SQLite file in this directory, shared by any number of processes of one machine.
    Directory(PathBuf),
    /// Database of a PostgreSQL server, shared by any number of machines.
    Postgres(Box<PostgresLocation>),
}

/// Protection of the connection to PostgreSQL, named after libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// TLS; the server must prove that it is the named host.
    VerifyFull,
    /// No TLS: the default on Unix sockets; other connections must request it.
    Disable,
}

/// Database of a PostgreSQL server.
#[derive(Clone)]
pub struct PostgresLocation {
    /// Host name, or directory of a Unix socket.
    pub host: String,
    /// TCP port, or number in the name of the Unix socket.
    pub port: u16,
    /// Database user.
    pub user: String,
    /// Database name.
    pub database: String,
    /// Protection of the connection.
    pub tls: TlsMode,
    /// PEM file of root certificates that replaces the system's.
    pub root_certificates: Option<PathBuf>,
    /// Password of the user, if required. It is not part of the URL, which all users of the machine
    /// can see.
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

impl FromStr for StoreLocation {
    type Err = InvalidName;

    /// Parses
    /// `postgres://USER@HOST[:PORT]/DATABASE[?sslmode=…&sslrootcert=…&host=SOCKET-DIRECTORY]`. Text
    /// without `://` is a directory.
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
            .map_err(|_| refuse("is not a URL of the form postgres://USER@HOST/DATABASE"))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(refuse("is neither a directory nor a URL that begins with postgres://"));
        }
        if url.password().is_some() {
            return Err(refuse(
                "contains a password, which all users of the machine can see: set PGPASSWORD, or \
                 use a password file",
            ));
        }
        let decoded = |text: &str| {
            countersign_core::sigv4::encode::decode(text).map(std::borrow::Cow::into_owned)
        };
        let mut location = PostgresLocation {
            host: url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(5432),
            user: decoded(url.username()).filter(|user| !user.is_empty()).ok_or_else(|| {
                refuse("does not name a user; write postgres://USER@HOST/DATABASE")
            })?,
            database: decoded(url.path().trim_start_matches('/')).unwrap_or_default(),
            tls: TlsMode::VerifyFull,
            root_certificates: None,
            password: None,
        };
        let tls = location.apply_parameters(&url)?;
        if location.host.is_empty() || location.database.is_empty() {
            return Err(refuse(
                "does not name a host and a database; write postgres://USER@HOST/DATABASE",
            ));
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
    /// Applies the query parameters of `url`, and returns the requested TLS mode.
    fn apply_parameters(&mut self, url: &Url) -> Result<Option<TlsMode>, InvalidName> {
        let mut tls = None;
        let refuse = |why: String| Err(InvalidName::new("the store", why));
        for (name, value) in url.query_pairs() {
            match (&*name, &*value) {
                ("sslmode", "verify-full") => tls = Some(TlsMode::VerifyFull),
                ("sslmode", "disable") => tls = Some(TlsMode::Disable),
                ("sslmode", _) => {
                    return refuse("has an sslmode other than verify-full and disable".to_owned());
                }
                ("sslrootcert", file) => self.root_certificates = Some(PathBuf::from(file)),
                ("host", directory) => directory.clone_into(&mut self.host),
                _ => {
                    return refuse(format!(
                        "has the unknown parameter {name:?}; known are sslmode, sslrootcert and \
                         host"
                    ));
                }
            }
        }
        Ok(tls)
    }

    /// Returns true if the host is the directory of a Unix socket.
    #[must_use]
    pub fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// Returns the driver's configuration, without TLS: the driver gets a stream that is already
    /// encrypted.
    pub(super) fn driver(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .user(&self.user)
            .dbname(&self.database)
            .application_name("countersign")
            .connect_timeout(CONNECT_TIMEOUT);
        config.ssl_mode(tokio_postgres::config::SslMode::Disable);
        self.password.as_ref().map(|password| config.password(password.expose()));
        config
    }
}

#[cfg(test)]
mod tests {
    use super::{StoreLocation, TlsMode};

    fn read(text: &str) -> Result<StoreLocation, String> {
        text.parse().map_err(|error: countersign_core::name::InvalidName| error.to_string())
    }

    #[test]
    fn urls_set_host_database_and_tls() {
        let Ok(StoreLocation::Postgres(at)) =
            read("postgres://auth@db.example/state?sslrootcert=/etc/ca.pem")
        else {
            panic!("a URL")
        };
        assert_eq!(at.to_string(), "postgres://auth@db.example:5432/state");
        assert_eq!(
            (at.tls, at.root_certificates.as_deref()),
            (TlsMode::VerifyFull, Some("/etc/ca.pem".as_ref()))
        );
        let Ok(StoreLocation::Postgres(at)) =
            read("postgres://auth@localhost/state?host=/run/postgresql")
        else {
            panic!("a socket")
        };
        assert_eq!((at.tls, at.host.as_str()), (TlsMode::Disable, "/run/postgresql"));
        assert!(matches!(read("/var/lib/countersign"), Ok(StoreLocation::Directory(_))));
    }

    #[test]
    fn invalid_locations_are_rejected_and_a_password_is_not_repeated() {
        for (text, why) in [
            ("", "is empty"),
            ("mysql://a@b/c", "neither a directory nor"),
            ("postgres://host/db", "does not name a user"),
            ("postgres://u@host", "does not name a host and a database"),
            ("postgres://u@host/db?sslmode=prefer", "other than verify-full and disable"),
            ("postgres://u@host/db?fish=1", "fish"),
            ("postgres://u:hunter2@host/db", "PGPASSWORD"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.contains(why) && !refused.contains("hunter2"), "{text}: {refused}");
        }
    }
}
