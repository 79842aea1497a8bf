//! Users who log in.

use std::path::Path;
use std::process::Command;

use super::engine::Engine;
use crate::problem::Problem;

/// Variables of the environment that would change the credentials or the server of the tools.
const FOREIGN: [&str; 10] = [
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "PGHOSTADDR",
    "PGPASSFILE",
    "PGPASSWORD",
    "PGSERVICE",
    "PGOPTIONS",
    "LIBMYSQL_PLUGINS",
    "LIBMYSQL_PLUGIN_DIR",
];

/// User as `local env` describes it: AWS keys, and the database to log in to.
#[derive(Clone)]
pub(super) struct User {
    variables: Vec<(String, String)>,
    pub(super) host: String,
    pub(super) port: u16,
    /// Name of the database user.
    pub(super) user: String,
    /// Path of the CA certificate that the client verifies the server with.
    pub(super) ca: String,
    /// True if the client uses TLS.
    pub(super) tls: bool,
}

impl User {
    /// Parses the output of `local env`.
    pub(super) fn parse(exports: &str, engine: Engine) -> Result<Self, Problem> {
        let unreadable =
            |why: String| Problem::new(format!("cannot read `countersign local env`: {why}"));
        let lines = exports.lines().filter(|line| line.starts_with("export "));
        let variables = lines
            .map(|line| variable(line).ok_or_else(|| unreadable(format!("not an export: {line}"))));
        let variables: Vec<(String, String)> = variables.collect::<Result<_, _>>()?;
        let get = |name: &str| {
            let found = variables
                .iter()
                .find(|(variable, _)| variable == name)
                .map(|(_, value)| value.clone());
            found.ok_or_else(|| unreadable(format!("{name} not found")))
        };
        let [host, port, user, ca] = engine.variables().map(get);
        let port = port?;
        let port = port.parse().map_err(|_| unreadable(format!("invalid port {port}")))?;
        let (host, user, ca) = (host?, user?, ca?);
        Ok(Self { variables, host, port, user, ca, tls: true })
    }

    /// Returns a user with the same keys and another database user.
    pub(super) fn with_user(&self, user: &str) -> Self {
        Self { user: user.to_owned(), ..self.clone() }
    }

    pub(super) fn without_tls(&self) -> Self {
        Self { tls: false, ..self.clone() }
    }

    /// Command line of a program in this user's environment.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for foreign in FOREIGN {
            command.env_remove(foreign);
        }
        command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Splits a line `export NAME='value'`, in which `'\''` stands for a quote.
fn variable(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
    let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
    Some((name.to_owned(), value.replace(r"'\''", "'")))
}

#[cfg(test)]
mod tests {
    use super::{User, variable};
    use crate::demo::engine::Engine;

    #[test]
    fn exports_are_read_as_a_shell_would() {
        let read = |line| variable(line).unwrap();
        assert_eq!(read("export PGPORT='5432'"), ("PGPORT".to_owned(), "5432".to_owned()));
        assert_eq!(
            read(r"export PGUSER='it'\''s = me'"),
            ("PGUSER".to_owned(), "it's = me".to_owned())
        );
        assert_eq!(variable("export PGUSER=bare"), None);
        assert_eq!(variable("unset AWS_PROFILE"), None);
    }

    #[test]
    fn users_are_read_from_the_variables_of_their_engine() {
        let exports = "export MYSQL_HOST='localhost'\nexport MYSQL_TCP_PORT='3306'\n\
                       export MYSQL_USER='ana'\nexport MYSQL_SSL_CA='/ca.pem'\n\
                       unset MYSQL_PWD";
        let ana = User::parse(exports, Engine::Mariadb).ok().unwrap();
        assert_eq!(
            (ana.host.as_str(), ana.port, ana.user.as_str(), ana.ca.as_str(), ana.tls),
            ("localhost", 3306, "ana", "/ca.pem", true)
        );
        let problem = User::parse(exports, Engine::Postgres).err().unwrap();
        assert_eq!(problem.to_string(), "cannot read `countersign local env`: PGPORT not found");
    }
}
