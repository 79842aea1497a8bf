//! A database's URL: `postgres://USER@HOST[:PORT][/DATABASE][?PARAMETER=VALUE&…]`.

use countersign_core::endpoint::HostName;
use countersign_core::failure::{Class, Failure};
use countersign_core::name::{DbUser, Engine};
use countersign_core::sigv4::encode;
use url::{Host, Url};

/// What of libpq's parameters a URL may hold, and the environment variable that each becomes.
/// Source: "Parameter Key Words" and "Environment Variables" in PostgreSQL's manual.
const PARAMETERS: [(&str, &str); 10] = [
    ("application_name", "PGAPPNAME"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("client_encoding", "PGCLIENTENCODING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("hostaddr", "PGHOSTADDR"),
    ("options", "PGOPTIONS"),
    ("sslcrl", "PGSSLCRL"),
    (SSLMODE, "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
];

/// The parameter that says how far TLS is verified, and what it may be.
const SSLMODE: &str = "sslmode";
const SSLMODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// Where to log in and as whom. There is no password in it: a token takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The server's kind, from the scheme.
    pub engine: Engine,
    /// The host, as it is typed and as the token is signed for.
    pub host: HostName,
    /// The port; the engine's own where the URL has none.
    pub port: u16,
    /// The database user.
    pub user: DbUser,
    /// The database; the client's own choice where the URL has none.
    pub database: Option<String>,
    /// Parameters of the client, as the environment variables that set them.
    pub settings: Vec<(&'static str, String)>,
}

fn refused(detail: impl Into<String>) -> Failure {
    Failure::new(Class::Usage, detail)
}

impl Target {
    /// Reads a URL. Its errors never repeat it: it might hold a password.
    ///
    /// # Errors
    /// [`Class::Usage`], with what is wrong.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let url = Url::parse(text).map_err(|error| refused(format!("write it as postgres://USER@HOST:PORT/DATABASE: {error}")))?;
        let engine = match url.scheme() {
            "postgres" | "postgresql" => Engine::Postgres,
            "mysql" | "mariadb" => return Err(refused("URLs of MySQL and MariaDB are not supported yet: use postgres://")),
            _ => return Err(refused("write it as postgres://USER@HOST:PORT/DATABASE: the database URL has another scheme")),
        };
        if url.port() == Some(0) {
            return Err(refused("the database URL's port is 0"));
        }
        if url.password().is_some() {
            return Err(refused("the database URL holds a password: take it out, a token is minted in its place"));
        }
        let host = match url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(host) => decoded(&host.to_string(), "host")?,
            None => return Err(refused("the database URL has no host")),
        };
        if url.username().is_empty() {
            return Err(refused("the database URL has no user: postgres://USER@HOST"));
        }
        let database = decoded(url.path().strip_prefix('/').unwrap_or_default(), "database")?;
        Ok(Self {
            engine,
            host: host.parse().map_err(|error| refused(format!("the database URL: {error}")))?,
            port: url.port().unwrap_or(engine.default_port()),
            user: decoded(url.username(), "user")?.parse().map_err(|error| refused(format!("the database URL: {error}")))?,
            database: (!database.is_empty()).then_some(database),
            settings: settings(&url)?,
        })
    }
}

fn decoded(text: &str, what: &str) -> Result<String, Failure> {
    encode::decode(text)
        .map(std::borrow::Cow::into_owned)
        .ok_or_else(|| refused(format!("the database URL's {what} has a broken percent-escape")))
}

fn settings(url: &Url) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut settings = Vec::new();
    for pair in url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let known = PARAMETERS.iter().find(|(parameter, _)| *parameter == name).map(|(_, variable)| *variable);
        let variable = known.ok_or_else(|| {
            let names: Vec<&str> = PARAMETERS.iter().map(|(parameter, _)| *parameter).collect();
            refused(format!("the database URL's parameter {name:?} is not one of {}", names.join(", ")))
        })?;
        if settings.iter().any(|(earlier, _)| *earlier == variable) {
            return Err(refused(format!("the database URL has the parameter {name:?} twice")));
        }
        if name == SSLMODE && !SSLMODES.contains(&value) {
            return Err(refused(format!("the database URL's sslmode is not one of {}", SSLMODES.join(", "))));
        }
        settings.push((variable, decoded(value, name)?));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests;
