//! A database's URL: `SCHEME://USER@HOST[:PORT][/DATABASE][?PARAMETER=VALUE&…]`, the scheme being `postgres`, `mysql` or
//! `mariadb`.

use countersign_core::endpoint::HostName;
use countersign_core::failure::{Class, Failure};
use countersign_core::name::{DbUser, Engine};
use countersign_core::sigv4::encode;
use url::{Host, Url};

/// What of libpq's parameters a URL may hold, and the environment variable that each becomes.
/// Source: "Parameter Key Words" and "Environment Variables" in PostgreSQL's manual.
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

/// What a URL of MySQL or MariaDB may hold, spelled as in MySQL's own URIs. Their clients have no environment variables for
/// these: the names are those by which `exec` hands them on.
/// Source: "Base Connection Parameters" and "Additional Connection Parameters" in MySQL's manual.
const MYSQL_PARAMETERS: [(&str, &str); 2] =
    [("ssl-ca", MYSQL_SSL_CA), ("ssl-mode", MYSQL_SSL_MODE)];

/// The setting that names the CA certificates for MySQL and MariaDB.
pub const MYSQL_SSL_CA: &str = "MYSQL_SSL_CA";

/// The setting that says how far TLS is verified for MySQL and MariaDB: one of Oracle's words, in upper case.
pub const MYSQL_SSL_MODE: &str = "MYSQL_SSL_MODE";

/// What the parameter that says how far TLS is verified may be.
const POSTGRES_MODES: [&str; 6] =
    ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
const MYSQL_MODES: [&str; 5] =
    ["DISABLED", "PREFERRED", "REQUIRED", "VERIFY_CA", "VERIFY_IDENTITY"];

/// How a URL is written.
const FORM: &str =
    "write it as postgres://USER@HOST:PORT/DATABASE, or with mysql:// or mariadb:// in front";

/// Where to log in and as whom. There is no password in it: a token takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
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

impl DatabaseUrl {
    /// Reads a URL. Its errors never repeat it: it might hold a password.
    ///
    /// # Errors
    /// [`Class::Usage`], with what is wrong.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let url = Url::parse(text).map_err(|error| refused(format!("{FORM}: {error}")))?;
        let engine = match url.scheme() {
            "postgres" | "postgresql" => Engine::Postgres,
            "mysql" => Engine::Mysql,
            "mariadb" => Engine::Mariadb,
            _ => {
                return Err(refused(format!("{FORM}: the database URL has another scheme")));
            }
        };
        if url.port() == Some(0) {
            return Err(refused("the database URL's port is 0"));
        }
        if url.password().is_some() {
            return Err(refused(
                "the database URL holds a password: take it out, a token is minted in its place",
            ));
        }
        let host = match url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(host) => decoded(&host.to_string(), "host")?,
            None => return Err(refused("the database URL has no host")),
        };
        if url.username().is_empty() {
            return Err(refused(format!("the database URL has no user: {engine}://USER@HOST")));
        }
        let database = decoded(url.path().strip_prefix('/').unwrap_or_default(), "database")?;
        Ok(Self {
            engine,
            host: host.parse().map_err(|error| refused(format!("the database URL: {error}")))?,
            port: url.port().unwrap_or(engine.default_port()),
            user: decoded(url.username(), "user")?
                .parse()
                .map_err(|error| refused(format!("the database URL: {error}")))?,
            database: (!database.is_empty()).then_some(database),
            settings: match engine {
                Engine::Postgres => settings(&url, &POSTGRES_PARAMETERS)?,
                Engine::Mariadb | Engine::Mysql => {
                    settings(&url, &MYSQL_PARAMETERS).and_then(of_use)?
                }
            },
        })
    }

    /// What the URL sets an environment variable to.
    #[must_use]
    pub fn setting(&self, variable: &str) -> Option<&str> {
        find(&self.settings, variable)
    }
}

fn find<'a>(settings: &'a [(&'static str, String)], variable: &str) -> Option<&'a str> {
    settings.iter().find(|(name, _)| *name == variable).map(|(_, value)| value.as_str())
}

fn decoded(text: &str, what: &str) -> Result<String, Failure> {
    encode::decode(text)
        .map(std::borrow::Cow::into_owned)
        .ok_or_else(|| refused(format!("the database URL's {what} has a broken percent-escape")))
}

fn settings(
    url: &Url,
    parameters: &[(&str, &'static str)],
) -> Result<Vec<(&'static str, String)>, Failure> {
    let mut settings = Vec::new();
    for pair in url.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let known = parameters
            .iter()
            .find(|(parameter, _)| *parameter == name)
            .map(|(_, variable)| *variable);
        let variable = known.ok_or_else(|| {
            let names: Vec<&str> = parameters.iter().map(|(parameter, _)| *parameter).collect();
            refused(format!(
                "the database URL's parameter {name:?} is not one of {}",
                names.join(", ")
            ))
        })?;
        if find(&settings, variable).is_some() {
            return Err(refused(format!("the database URL has the parameter {name:?} twice")));
        }
        let value = match name {
            "sslmode" => mode(name, value, &POSTGRES_MODES)?,
            // MySQL's clients heed no case here, and people write both.
            "ssl-mode" => mode(name, &value.to_ascii_uppercase(), &MYSQL_MODES)?,
            _ => decoded(value, name)?,
        };
        settings.push((variable, value));
    }
    Ok(settings)
}

fn mode(name: &str, value: &str, modes: &[&str]) -> Result<String, Failure> {
    if modes.contains(&value) {
        return Ok(value.to_owned());
    }
    Err(refused(format!("the database URL's {name} is not one of {}", modes.join(", "))))
}

/// Refuses a CA that nothing would be verified by: whoever names one believes otherwise.
fn of_use(settings: Vec<(&'static str, String)>) -> Result<Vec<(&'static str, String)>, Failure> {
    let Some(mode) = find(&settings, MYSQL_SSL_MODE).filter(|mode| !mode.starts_with("VERIFY_"))
    else {
        return Ok(settings);
    };
    if find(&settings, MYSQL_SSL_CA).is_none() {
        return Ok(settings);
    }
    Err(refused(format!(
        "the database URL's ssl-ca has no effect with ssl-mode={mode}: leave ssl-mode out, or make it VERIFY_CA"
    )))
}

#[cfg(test)]
mod tests;
