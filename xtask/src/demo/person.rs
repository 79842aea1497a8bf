//! Somebody who logs in.

use std::path::Path;
use std::process::Command;

use super::engine::Engine;
use crate::problem::Problem;

/// What of the caller's own set-up would lead the tools elsewhere.
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

/// Somebody, as `local env` describes them: their keys, and the database that they log in to.
#[derive(Clone)]
pub(super) struct Person {
    variables: Vec<(String, String)>,
    pub(super) host: String,
    pub(super) port: u16,
    /// The database user.
    pub(super) user: String,
    /// The certificate that they verify the server by.
    pub(super) ca: String,
    /// Whether they come with TLS.
    pub(super) tls: bool,
}

impl Person {
    /// Reads what `local env` printed.
    pub(super) fn parse(exports: &str, engine: Engine) -> Result<Self, Problem> {
        let printed = |what: String| Problem::new(format!("`countersign local env` {what}"));
        let lines = exports.lines().filter(|line| line.starts_with("export "));
        let variables = lines.map(|line| {
            variable(line)
                .ok_or_else(|| printed(format!("printed a line that is no export: {line}")))
        });
        let variables: Vec<(String, String)> = variables.collect::<Result<_, _>>()?;
        let get = |name: &str| {
            let found = variables
                .iter()
                .find(|(variable, _)| variable == name)
                .map(|(_, value)| value.clone());
            found.ok_or_else(|| printed(format!("exports no {name}")))
        };
        let [host, port, user, ca] = engine.variables().map(get);
        let port = port?;
        let port =
            port.parse().map_err(|_| printed(format!("exports the port {port}, which is none")))?;
        let (host, user, ca) = (host?, user?, ca?);
        Ok(Self { variables, host, port, user, ca, tls: true })
    }

    /// The same keys, for another database user.
    pub(super) fn with_user(&self, user: &str) -> Self {
        Self { user: user.to_owned(), ..self.clone() }
    }

    pub(super) fn without_tls(&self) -> Self {
        Self { tls: false, ..self.clone() }
    }

    /// A program in this person's environment, and in nobody else's.
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

/// Name and value of a line `export NAME='value'`, a quote in the value being written as `'\''`.
fn variable(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
    let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
    Some((name.to_owned(), value.replace(r"'\''", "'")))
}

#[cfg(test)]
mod tests;
