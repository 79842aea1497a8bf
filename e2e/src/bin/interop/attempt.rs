//! One cell of the table: a client tries a case, and the result is compared with the expected one.

use std::process::Command;

use countersign_core::name::Engine;
use countersign_e2e::{CommandOutput, run};

use crate::case::{Case, Expected};
use crate::client::{Client, Place};
use crate::relay::Relay;
use crate::stack::{Server, Stack};

/// Password that drivers send to the proxy, which ignores it.
const DUMMY: &str = "none-is-needed";

/// Time limit of a client in seconds.
const PATIENCE: &str = "60";

/// Variables of the environment that a client inherits; the others are the server's.
const KEPT: [&str; 5] = ["PATH", "HOME", "LANG", "TMPDIR", "JAVA_HOME"];

/// Result of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Expected(Expected),
    /// This machine cannot run the case.
    Untried,
    /// Another result, described.
    Unexpected(String),
}

impl Outcome {
    /// Formats the result for the table.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Expected(Expected::Opens) => "ok",
            Self::Expected(Expected::Denied) => "denied",
            Self::Expected(Expected::Refused(_)) => "driver",
            Self::Expected(Expected::Late(_)) => "late",
            Self::Untried => "-",
            Self::Unexpected(_) => "✗",
        }
    }
}

impl Case {
    /// Runs the client.
    pub(crate) fn attempt(
        self,
        client: &Client,
        place: &Place<'_>,
        stack: &Stack,
        server: &Server,
        relay: &Relay,
    ) -> Outcome {
        let token = match self {
            Self::Long(length) => stack.long_token(server, length),
            Self::Tampered => tampered(Stack::short_token(server)),
            Self::Proxy => DUMMY.to_owned(),
            _ => Stack::short_token(server),
        };
        let elsewhere = match self {
            Self::OtherName => match relay.other_name() {
                None => return Outcome::Untried,
                elsewhere => elsewhere,
            },
            Self::OtherAddress => Some(relay.other_address()),
            Self::Proxy => Some(server.proxied()),
            _ => None,
        };
        let before = stack.decisions().len();
        let output = self.start(client, place, server, &token, elsewhere);
        let decisions = stack.decisions().split_off(before);
        match judge(client.expected(self, server.engine()), server.engine(), &output, &token) {
            Outcome::Expected(expected) if !self.is_decided(expected, &decisions) => {
                Outcome::Unexpected(format!(
                    "the authority decided {decisions:?}, where nothing stands for a login that \
                     it allowed"
                ))
            }
            outcome => outcome,
        }
    }

    /// Returns true if the authority's decisions are the expected ones.
    fn is_decided(self, expected: Expected, decisions: &[Option<String>]) -> bool {
        match (self, expected) {
            (_, Expected::Opens | Expected::Late(_)) => decisions == [None],
            (_, Expected::Refused(_)) => decisions.is_empty(),
            (Self::Tampered, Expected::Denied) => {
                decisions == [Some("signature-mismatch".to_owned())]
            }
            // MariaDB 10.11 checks TLS after it has called the plugin, MySQL passes the TLS state
            // to the plugin, PostgreSQL calls no module.
            (_, Expected::Denied) => true,
        }
    }

    fn start(
        self,
        client: &Client,
        place: &Place<'_>,
        server: &Server,
        token: &str,
        elsewhere: Option<(String, u16)>,
    ) -> CommandOutput {
        let mut command = Command::new("timeout");
        command.arg(PATIENCE).args(client.command(place)).env_clear().envs(server.variables());
        command.envs(KEPT.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
        let (host, port, password) = match server.engine() {
            Engine::Postgres => ("PGHOST", "PGPORT", "PGPASSWORD"),
            Engine::Mariadb | Engine::Mysql => ("MYSQL_HOST", "MYSQL_TCP_PORT", "MYSQL_PWD"),
        };
        command.env(password, token);
        if let Some((other, relayed)) = elsewhere {
            command.env(host, other).env(port, relayed.to_string());
        }
        if matches!(self, Self::Plain | Self::Proxy) {
            command.env("INTEROP_PLAIN", "1");
        }
        run(&mut command)
    }
}

/// Returns true if the result is the expected one.
fn judge(expected: Expected, engine: Engine, output: &CommandOutput, token: &str) -> Outcome {
    if output.out.contains(token) || output.err.contains(token) {
        return Outcome::Unexpected("it printed the token".to_owned());
    }
    let says = |text| output.err.contains(text);
    let (user, denied) = match engine {
        Engine::Postgres => {
            ("app TLSv1.", says("authentication failed for user \"app\"") || says("no encryption"))
        }
        Engine::Mariadb | Engine::Mysql => {
            ("app@% TLSv1.", says("1045") && says("Access denied for user 'app'@"))
        }
    };
    let met = match expected {
        Expected::Opens => output.ok && output.out.starts_with(user),
        Expected::Denied => !output.ok && denied,
        Expected::Refused(text) | Expected::Late(text) => !output.ok && !denied && says(text),
    };
    if met {
        return Outcome::Expected(expected);
    }
    let wanted = match expected {
        Expected::Opens => "it should open".to_owned(),
        Expected::Denied => "the server should deny it".to_owned(),
        Expected::Refused(text) | Expected::Late(text) => {
            format!("the driver should refuse it with {text:?}")
        }
    };
    let status = output.status.map_or_else(|| "a signal".to_owned(), |status| status.to_string());
    Outcome::Unexpected(format!(
        "{wanted}; it ended with {status}, printed {:?} and output {:?}",
        output.out, output.err
    ))
}

/// Returns the token with another last digit.
fn tampered(mut token: String) -> String {
    let last = token.pop();
    token.push(if last == Some('0') { '1' } else { '0' });
    token
}

#[cfg(test)]
mod tests;
