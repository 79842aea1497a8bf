//! Database URLs: `SCHEME://USER@HOST[:PORT][/DATABASE][?PARAMETER=VALUE&…]` with the scheme
//! `postgres`, `mysql` or `mariadb`.

use countersign_core::endpoint::HostName;
use countersign_core::failure::{Class, Failure};
use countersign_core::name::{DbUser, Engine};
use countersign_core::sigv4::encode;
use url::{Host, Url};

/// Supported parameters of libpq, and the environment variable that sets each.
const POSTGRES_PARAMETERS: [(&str, &str); 10] = [
    ("application_name", "PGAPPNAME"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("client_encoding", "PGCLIENTENCODING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("hostaddr", "PGHOSTADDR"),
    ("options", "PGOPTIONS"),
    ("sslcrl", "PGSSLCRL"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
];

/// Supported parameters of MySQL and MariaDB, spelled as in MySQL's own URIs. Their clients have no
/// environment variables for these; `exec` passes them under these names.
const MYSQL_PARAMETERS: [(&str, &str); 2] =
    [("ssl-ca", MYSQL_SSL_CA), ("ssl-mode", MYSQL_SSL_MODE)];

/// Variable with the CA file of MySQL and MariaDB.
pub const MYSQL_SSL_CA: &str = "MYSQL_SSL_CA";

/// Variable with the TLS mode of MySQL and MariaDB, in Oracle's words and upper case.
pub const MYSQL_SSL_MODE: &str = "MYSQL_SSL_MODE";

/// Values of `sslmode` and `ssl-mode`.
const POSTGRES_MODES: [&str; 6] =
    ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
const MYSQL_MODES: [&str; 5] =
    ["DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"];

/// The form of a URL, for error messages.
const FORM: &str = "write it as postgres://USER@HOST:PORT/DATABASE, mysql://… or mariadb://…";

/// An error in a database URL. Its text never repeats the URL, which might contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The text is not a URL.
    #[error("cannot read the URL: {0}; {FORM}")]
    Syntax(#[from] url::ParseError),
    /// The scheme is not that of a supported engine.
    #[error("cannot read the URL: its scheme is not supported; {FORM}")]
    Scheme,
    /// The URL has no host.
    #[error("cannot read the URL: it has no host; {FORM}")]
    NoHost,
    /// The URL contains a password.
    #[error("the URL contains a password: remove it, a token takes its place")]
    Password,
    /// A component or parameter has a malformed percent-escape.
    #[error("cannot decode the URL's {0}: malformed percent-escape")]
    Escape(String),
}

/// The components of a database URL, decoded and not interpreted.
///
/// ```
/// use countersign_connect::database_url::UrlParts;
///
/// let parts = UrlParts::parse("mysql://jane@db.example.com/my%20db?ssl-mode=REQUIRED").unwrap();
/// assert_eq!(parts.database.as_deref(), Some("my db"));
/// assert_eq!(parts.parameters, [("ssl-mode".to_owned(), "REQUIRED".to_owned())]);
/// assert!(parts.errors.is_empty());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlParts {
    /// The engine, from the scheme.
    pub engine: Engine,
    /// The host; an IPv6 address without brackets.
    pub host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The database user.
    pub user: Option<String>,
    /// The database.
    pub database: Option<String>,
    /// Names and values of the parameters, in the order of the URL.
    pub parameters: Vec<(String, String)>,
    /// Errors that leave the other components readable. A component with an error is absent.
    pub errors: Vec<UrlError>,
}

impl UrlParts {
    /// Splits a URL into its components.
    ///
    /// # Errors
    /// [`UrlError::Syntax`] and [`UrlError::Scheme`]. All others are in [`Self::errors`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let url = Url::parse(text)?;
        let engine = match url.scheme() {
            "postgres" | "postgresql" => Engine::Postgres,
            "mysql" => Engine::Mysql,
            "mariadb" => Engine::Mariadb,
            _ => return Err(UrlError::Scheme),
        };
        let mut errors = Vec::new();
        if url.password().is_some() {
            errors.push(UrlError::Password);
        }
        let mut decode = |text: &str, component: &str| {
            let decoded = encode::decode(text).map(std::borrow::Cow::into_owned);
            if decoded.is_none() {
                errors.push(UrlError::Escape(component.to_owned()));
            }
            decoded
        };
        let host = match url.host() {
            Some(Host::Ipv6(address)) => Some(address.to_string()),
            Some(host) => decode(&host.to_string(), "host"),
            None => None,
        };
        let user = decode(url.username(), "user");
        let database = decode(url.path().strip_prefix('/').unwrap_or_default(), "database");
        let query = url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let parameters = query
            .filter_map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((name.to_owned(), decode(value, name)?))
            })
            .collect();
        if url.host().is_none() {
            errors.push(UrlError::NoHost);
        }
        let present = |text: &String| !text.is_empty();
        Ok(Self {
            engine,
            host,
            port: url.port(),
            user: user.filter(present),
            database: database.filter(present),
            parameters,
            errors,
        })
    }
}

/// The endpoint and the user of a login. A URL has no password: a token takes its place.
///
/// ```
/// use countersign_connect::database_url::DatabaseUrl;
///
/// let url = "postgres://jane@orders.abc123.us-east-1.rds.amazonaws.com/shop?sslmode=verify-full";
/// let target = DatabaseUrl::parse(url).unwrap();
/// assert_eq!((target.user.as_str(), target.port), ("jane", 5432));
/// assert_eq!(target.setting("PGSSLMODE"), Some("verify-full"));
///
/// let error = DatabaseUrl::parse("postgres://jane:hunter2@localhost").unwrap_err();
/// assert!(!error.to_string().contains("hunter2"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    /// The engine, from the scheme.
    pub engine: Engine,
    /// The host, as it is typed and as the token is signed for.
    pub host: HostName,
    /// The port; by default the engine's.
    pub port: u16,
    /// The database user.
    pub user: DbUser,
    /// The database; by default the client's choice.
    pub database: Option<String>,
    /// Parameters of the client, as the environment variables that set them.
    pub settings: Vec<(&'static str, String)>,
}

fn invalid(detail: impl std::fmt::Display) -> Failure {
    Failure::new(Class::Usage, format!("the database URL: {detail}"))
}

impl DatabaseUrl {
    /// Parses a URL. Error messages do not repeat it: it might contain a password.
    ///
    /// # Errors
    /// [`Class::Usage`] with the first error in the URL.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let parts =
            UrlParts::parse(text).map_err(|error| Failure::new(Class::Usage, error.to_string()))?;
        if let Some(error) = parts.errors.first() {
            return Err(Failure::new(Class::Usage, error.to_string()));
        }
        let engine = parts.engine;
        if parts.port == Some(0) {
            return Err(invalid("its port is 0"));
        }
        let user = parts
            .user
            .ok_or_else(|| invalid(format!("it has no user: write {engine}://USER@HOST")))?;
        let settings = match engine {
            Engine::Postgres => settings(parts.parameters, &POSTGRES_PARAMETERS)?,
            Engine::Mariadb | Engine::Mysql => {
                settings(parts.parameters, &MYSQL_PARAMETERS).and_then(check_ca_is_used)?
            }
        };
        Ok(Self {
            engine,
            host: parts.host.unwrap_or_default().parse().map_err(invalid)?,
            port: parts.port.unwrap_or(engine.default_port()),
            user: user.parse().map_err(invalid)?,
            database: parts.database,
            settings,
        })
    }

    /// Returns the value that the URL sets an environment variable to.
    #[must_use]
    pub fn setting(&self, variable: &str) -> Option<&str> {
        find(&self.settings, variable)
    }
}

fn find<'a>(settings: &'a [(&'static str, String)], variable: &str) -> Option<&'a str> {
    settings.iter().find(|(name, _)| *name == variable).map(|(_, value)| value.as_str())
}

fn settings(
    parameters: Vec<(String, String)>,
    known: &[(&str, &'static str)],
) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut settings = Vec::new();
    for (name, value) in parameters {
        let variable = known.iter().find(|(parameter, _)| *parameter == name);
        let (_, variable) = *variable.ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|(parameter, _)| *parameter).collect();
            invalid(format!("parameter {name:?} is not one of {}", names.join(", ")))
        })?;
        if find(&settings, variable).is_some() {
            return Err(invalid(format!("it has the parameter {name:?} twice")));
        }
        let value = match name.as_str() {
            "sslmode" => mode(&name, value, &POSTGRES_MODES)?,
            // MySQL's clients ignore case here.
            "ssl-mode" => mode(&name, value.to_ascii_uppercase(), &MYSQL_MODES)?,
            _ => value,
        };
        settings.push((variable, value));
    }
    Ok(settings)
}

fn mode(name: &str, value: String, modes: &[&str]) -> Result<String, Failure> {
    if modes.contains(&value.as_str()) {
        return Ok(value);
    }
    Err(invalid(format!("{name} is not one of {}", modes.join(", "))))
}

/// Rejects a CA file that the TLS mode ignores: its user would expect it to be used.
fn check_ca_is_used(
    settings: Vec<(&'static str, String)>,
) -> Result<Vec<(&'static str, String)>, Failure> {
    let Some(mode) = find(&settings, MYSQL_SSL_MODE).filter(|mode| !mode.starts_with("VERIFY_"))
    else {
        return Ok(settings);
    };
    if find(&settings, MYSQL_SSL_CA).is_none() {
        return Ok(settings);
    }
    Err(invalid(format!(
        "ssl-ca has no effect with ssl-mode={mode}: remove ssl-mode, or set it to VERIFY_CA"
    )))
}

#[cfg(test)]
mod tests;
