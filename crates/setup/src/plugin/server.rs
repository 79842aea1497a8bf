//! What a server says of itself.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use countersign_core::name::Engine;
use nix::unistd::{Uid, User};

use super::Variables;
use crate::{Client, SetupError};

/// The oldest release series of each engine that the plugin is for: RDS has IAM from these on, and MySQL 5.7's plugins have
/// another interface.
const OLDEST_MARIADB: (u32, u32) = (10, 6);
const OLDEST_MYSQL: (u32, u32) = (8, 0);

/// A line each, and the plugin's variables in the end.
const QUESTIONS: &str = "SELECT @@version;
SELECT @@version_comment;
SELECT @@hostname;
SELECT @@port;
SELECT @@datadir;
SELECT @@plugin_dir;
SELECT COUNT(*) FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'AWSAuthenticationPlugin' AND PLUGIN_STATUS = 'ACTIVE';
SELECT COUNT(*) FROM mysql.plugin WHERE name = 'AWSAuthenticationPlugin';
SHOW GLOBAL VARIABLES LIKE 'awsauthenticationplugin%';
";

/// Accounts that log in by the plugin, one of several ways included: MariaDB's `IDENTIFIED VIA … OR …` and MySQL's second and
/// third factor are in JSON beside the first.
const MARIADB_ACCOUNTS: &str = "SELECT User, Host FROM mysql.global_priv WHERE LOWER(Priv) LIKE '%\"awsauthenticationplugin\"%' ORDER BY 1, 2;";
const MYSQL_ACCOUNTS: &str = "SELECT User, Host FROM mysql.user WHERE LOWER(plugin) = 'awsauthenticationplugin' \
     OR LOWER(CAST(User_attributes AS CHAR)) LIKE '%\"awsauthenticationplugin\"%' ORDER BY 1, 2;";

/// A server that runs on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its kind.
    pub engine: Engine,
    /// Its version, as it says it.
    pub version: String,
    /// The port that it listens on.
    pub port: u16,
    /// Where it loads plugins from.
    pub plugin_directory: PathBuf,
    /// The system user whom its data belongs to, by name where there is one.
    pub runs_as: Option<String>,
    /// Whether it has loaded the plugin.
    pub loaded: bool,
    /// Whether it is to load the plugin at its start: there is a row in `mysql.plugin`.
    pub has_row: bool,
    /// The plugin's variables that are set.
    pub variables: super::Variables,
    /// The accounts that log in by the plugin.
    pub accounts: Vec<Account>,
}

/// An account of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its user.
    pub user: String,
    /// Its host pattern.
    pub host: String,
}

/// As SQL has it.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'@'{}'", self.user.replace('\'', "''"), self.host.replace('\'', "''"))
    }
}

impl Server {
    /// Asks the server that `client` reaches, which must be of this engine and on this machine.
    ///
    /// # Errors
    /// [`OperateError::Unusable`] where it is not, or is too old; those of the client.
    pub fn ask(client: &Client, engine: Engine) -> Result<Self, SetupError> {
        let lines = client.run(QUESTIONS)?;
        let short = || {
            SetupError::Unusable(format!(
                "the server answers otherwise than {} does: {}",
                product(engine),
                lines.join(", ")
            ))
        };
        let [version, comment, host, port, data, plugins, loaded, row, variables @ ..] =
            lines.as_slice()
        else {
            return Err(short());
        };
        check_kind(engine, version, comment)?;
        check_machine(host, &fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default())?;
        let plugin_directory = PathBuf::from(plugins);
        if !plugin_directory.is_dir() {
            return Err(SetupError::Unusable(format!(
                "the server's plugin directory {plugins} is not on this machine: run this there"
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
            port: port.parse().map_err(|_| short())?,
            plugin_directory,
            runs_as: owner(Path::new(data)),
            loaded: loaded != "0",
            has_row: row != "0",
            variables: set(variables),
            accounts: accounts.iter().map(account).collect::<Option<_>>().ok_or_else(short)?,
        })
    }

    /// Its product and version.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} {}", product(self.engine), self.version)
    }
}

fn set(lines: &[String]) -> Variables {
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
            "the server is {} {version}, not {}: pass --engine {found}, or name the other server's --socket",
            product(found),
            product(engine)
        )));
    }
    let oldest = if is_mariadb { OLDEST_MARIADB } else { OLDEST_MYSQL };
    if series(version).is_some_and(|series| series >= oldest) {
        return Ok(());
    }
    Err(SetupError::Unusable(format!(
        "{} {version} is not supported: the plugin is for {}.{} and later",
        product(engine),
        oldest.0,
        oldest.1
    )))
}

fn series(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split(['.', '-']).map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// A file that is copied here must lie where the server looks for it.
fn check_machine(servers: &str, own: &str) -> Result<(), SetupError> {
    if servers == own.trim() {
        return Ok(());
    }
    Err(SetupError::Unusable(format!(
        "the server runs on {servers}, and this is {}: run this there",
        own.trim()
    )))
}

/// The user whom a file or directory belongs to.
pub(super) fn owner(path: &Path) -> Option<String> {
    let uid = fs::metadata(path).ok()?.uid();
    let name = User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
    Some(name.unwrap_or_else(|| uid.to_string()))
}

/// What the engine calls itself.
const fn product(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "PostgreSQL",
        Engine::Mariadb => "MariaDB",
        Engine::Mysql => "MySQL",
    }
}

#[cfg(test)]
mod tests;
