//! The state of a server, as it reports it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use countersign_core::name::Engine;
use nix::unistd::{Uid, User};

use crate::{Client, SetupError};

/// Oldest supported release series of each engine: RDS supports IAM from these on, and the plugin
/// interface of MySQL 5.7 differs.
const OLDEST_MARIADB: (u32, u32) = (10, 6);
const OLDEST_MYSQL: (u32, u32) = (8, 0);

/// Queries with one row each, and the plugin's variables at the end.
const STATE_QUERIES: &str = "SELECT @@version;
SELECT @@version_comment;
SELECT @@hostname;
SELECT @@port;
SELECT @@datadir;
SELECT @@plugin_dir;
SELECT COUNT(*) FROM information_schema.PLUGINS \
WHERE PLUGIN_NAME = 'AWSAuthenticationPlugin' AND PLUGIN_STATUS = 'ACTIVE';
SELECT COUNT(*) FROM mysql.plugin WHERE name = 'AWSAuthenticationPlugin';
SHOW GLOBAL VARIABLES LIKE 'awsauthenticationplugin%';
";

/// Queries of the accounts that use the plugin, also as one of several methods: MariaDB's
/// `IDENTIFIED VIA … OR …` and MySQL's second and third factor are in JSON.
const MARIADB_ACCOUNTS: &str = "SELECT User, Host FROM mysql.global_priv \
     WHERE LOWER(Priv) LIKE '%\"awsauthenticationplugin\"%' ORDER BY 1, 2;";
const MYSQL_ACCOUNTS: &str = "SELECT User, Host FROM mysql.user \
     WHERE LOWER(plugin) = 'awsauthenticationplugin' \
     OR LOWER(CAST(User_attributes AS CHAR)) LIKE '%\"awsauthenticationplugin\"%' ORDER BY 1, 2;";

/// The plugin's variables by name, as `SHOW VARIABLES` lists them.
pub(super) type Variables = BTreeMap<String, String>;

/// A server that runs on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The engine.
    pub engine: Engine,
    /// The version, as the server reports it.
    pub version: String,
    /// The port.
    pub port: u16,
    /// The plugin directory.
    pub plugin_directory: PathBuf,
    /// Owner of the data directory: user name, or number if it has no name.
    pub runs_as: Option<String>,
    /// True if the plugin is loaded.
    pub loaded: bool,
    /// True if `mysql.plugin` has a row of the plugin: the server loads it at its start.
    pub has_row: bool,
    /// The plugin's variables, without those that are unset.
    pub variables: Variables,
    /// The accounts that use the plugin.
    pub accounts: Vec<Account>,
}

/// An account of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// User name.
    pub user: String,
    /// Host pattern.
    pub host: String,
}

/// Formats the account as in SQL.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'@'{}'", self.user.replace('\'', "''"), self.host.replace('\'', "''"))
    }
}

impl Server {
    /// Queries the state of the server that `client` connects to. It must be of this engine and on
    /// this machine.
    ///
    /// # Errors
    /// [`SetupError::Unusable`] if it is not, or is too old; the errors of the client.
    pub fn inspect(client: &Client, engine: Engine) -> Result<Self, SetupError> {
        let lines = client.run(STATE_QUERIES)?;
        let unexpected = || {
            SetupError::Unusable(format!(
                "unexpected reply of {}: {}",
                product(engine),
                lines.join(", ")
            ))
        };
        let [version, comment, host, port, data, plugins, loaded, row, variables @ ..] =
            lines.as_slice()
        else {
            return Err(unexpected());
        };
        check_kind(engine, version, comment)?;
        check_machine(host, &fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default())?;
        let plugin_directory = PathBuf::from(plugins);
        if !plugin_directory.is_dir() {
            return Err(SetupError::Unusable(format!(
                "the server's plugin directory {plugins} is not on this machine; run this command \
                 on the server's machine"
            )));
        }
        let accounts = client.run(if engine == Engine::Mariadb {
            MARIADB_ACCOUNTS
        } else {
            MYSQL_ACCOUNTS
        })?;
        let account = |line: &String| {
            let (user, host) = line.split_once('\t')?;
            Some(Account { user: user.to_owned(), host: host.to_owned() })
        };
        Ok(Self {
            engine,
            version: version.clone(),
            port: port.parse().map_err(|_| unexpected())?,
            plugin_directory,
            runs_as: owner(Path::new(data)),
            loaded: loaded != "0",
            has_row: row != "0",
            variables: non_empty(variables),
            accounts: accounts.iter().map(account).collect::<Option<_>>().ok_or_else(unexpected)?,
        })
    }

    /// Returns product and version.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} {}", product(self.engine), self.version)
    }
}

fn non_empty(lines: &[String]) -> Variables {
    let pairs = lines.iter().filter_map(|line| line.split_once('\t'));
    pairs
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn check_kind(engine: Engine, version: &str, comment: &str) -> Result<(), SetupError> {
    let is_mariadb =
        [version, comment].iter().any(|text| text.to_ascii_lowercase().contains("mariadb"));
    let found = if is_mariadb { Engine::Mariadb } else { Engine::Mysql };
    if found != engine {
        return Err(SetupError::Unusable(format!(
            "the server is {} {version}, not {}; set --engine {found}, or --socket of another \
             server",
            product(found),
            product(engine)
        )));
    }
    let oldest = if is_mariadb { OLDEST_MARIADB } else { OLDEST_MYSQL };
    if series(version).is_some_and(|series| series >= oldest) {
        return Ok(());
    }
    Err(SetupError::Unusable(format!(
        "{} {version} is not supported; the plugin requires {}.{} or later",
        product(engine),
        oldest.0,
        oldest.1
    )))
}

fn series(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(['.', '-']).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// Checks that the server runs on this machine: files are copied to its directories.
fn check_machine(servers: &str, own: &str) -> Result<(), SetupError> {
    if servers == own.trim() {
        return Ok(());
    }
    Err(SetupError::Unusable(format!(
        "the server runs on {servers}, but this machine is {}; run this command on {servers}",
        own.trim()
    )))
}

/// Returns the owner of a file or directory.
pub(super) fn owner(path: &Path) -> Option<String> {
    let uid = fs::metadata(path).ok()?.uid();
    let name = User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
    Some(name.unwrap_or_else(|| uid.to_string()))
}

/// Returns the name of the product.
const fn product(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "PostgreSQL",
        Engine::Mariadb => "MariaDB",
        Engine::Mysql => "MySQL",
    }
}

#[cfg(test)]
mod tests;
