//! Server of the stack, and logins with its own client.

use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::engine::Engine;
use super::stack::{Decision, Stack};
use super::user::User;
use crate::command;
use crate::problem::Problem;

/// Maximum delay of the authority's record of a login.
const RECORD_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Server<'a> {
    stack: &'a Stack<'a>,
    engine: Engine,
    client: PathBuf,
}

/// Login as the client and the authority report it.
pub(super) struct Login {
    /// Rows that the client printed, or its error.
    pub(super) client: Result<String, String>,
    /// Decision of the authority, if it was consulted.
    pub(super) decision: Option<Decision>,
}

impl<'a> Server<'a> {
    pub(super) fn of(stack: &'a Stack<'a>, engine: Engine) -> Result<Self, Problem> {
        let client = match engine {
            Engine::Postgres => PathBuf::from("psql"),
            // The client of the server's package: Debian's `mysql` is MariaDB's.
            Engine::Mariadb | Engine::Mysql => {
                stack.installation(engine)?.join("usr/bin").join(engine.client())
            }
        };
        Ok(Self { stack, engine, client })
    }

    /// Reads how an existing user logs in to this server.
    pub(super) fn user(&self, name: &str) -> Result<User, Problem> {
        let exports = command::output(&mut self.stack.local(&[
            "env",
            "--engine",
            self.engine.name(),
            "--user",
            name,
        ]))?;
        User::parse(&exports, self.engine)
    }

    /// Creates a database user with a password and without IAM.
    pub(super) fn create_with_password(&self, user: &str, password: &str) -> Result<(), Problem> {
        let sql = match self.engine {
            Engine::Postgres => format!("create role {user} login password '{password}'"),
            Engine::Mariadb | Engine::Mysql => {
                format!("create user {user} identified by '{password}'")
            }
        };
        command::output(self.stack.local(self.engine.administration()).arg(sql)).map(drop)
    }

    /// Logs in with the engine's client. Waits for the authority's record if `is_recorded`.
    pub(super) fn login(
        &self,
        user: &User,
        password: &str,
        is_recorded: bool,
    ) -> Result<Login, Problem> {
        let before = self.stack.decisions(&user.user)?.len();
        let output = command::attempt(&mut self.client(user, password))?;
        let client = if output.status.success() {
            Ok(command::text(&output.stdout).replace('\t', ", "))
        } else {
            Err(reason(&command::text(&output.stderr)))
        };
        let deadline = Instant::now() + RECORD_TIMEOUT;
        loop {
            let decision = self.stack.decisions(&user.user)?.into_iter().nth(before);
            if decision.is_some() || !is_recorded || Instant::now() > deadline {
                return Ok(Login { client, decision });
            }
            sleep(Duration::from_millis(50));
        }
    }

    fn client(&self, user: &User, password: &str) -> Command {
        let mut client = user.command(&self.client);
        if self.engine == Engine::Postgres {
            client.args([
                "--no-psqlrc",
                "--no-password",
                "--tuples-only",
                "--no-align",
                "--field-separator",
                ", ",
            ]);
            client
                .args(["--command", self.engine.query()])
                .env("PGUSER", &user.user)
                .env("PGPASSWORD", password);
            client
                .env("PGCONNECT_TIMEOUT", "20")
                .envs((!user.tls).then_some(("PGSSLMODE", "disable")));
            return client;
        }
        let tls: &[&str] = match (self.engine, user.tls) {
            (Engine::Mysql, true) => &["--enable-cleartext-plugin", "--ssl-mode=VERIFY_IDENTITY"],
            (Engine::Mysql, false) => &["--enable-cleartext-plugin", "--ssl-mode=DISABLED"],
            (_, true) => &["--ssl-verify-server-cert"],
            (_, false) => &["--skip-ssl"],
        };
        client
            .args([
                "--no-defaults",
                "--protocol=TCP",
                "--connect-timeout=20",
                "--batch",
                "--skip-column-names",
            ])
            .args(tls);
        client.args(user.tls.then(|| format!("--ssl-ca={}", user.ca)));
        client.args([
            format!("--host={}", user.host),
            format!("--port={}", user.port),
            format!("--user={}", user.user),
        ]);
        // Oracle's client reads ~/.mylogin.cnf despite --no-defaults, unless another file is named.
        client
            .args(["--execute", self.engine.query()])
            .env("MYSQL_PWD", password)
            .env("MYSQL_TEST_LOGIN_FILE", "/dev/null");
        client
    }
}

impl Login {
    pub(super) fn client_output(&self) -> &str {
        match &self.client {
            Ok(output) | Err(output) => output,
        }
    }
}

/// Extracts the server's message from a client's error.
fn reason(stderr: &str) -> String {
    let message = ["FATAL:", "ERROR "]
        .into_iter()
        .find_map(|word| stderr.get(stderr.find(word)?..))
        .unwrap_or(stderr);
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::reason;

    #[test]
    fn the_server_s_own_words_are_shown() {
        let error = "psql: error: connection to server failed: FATAL:  no entry\nfor you";
        assert_eq!(reason(error), "FATAL: no entry for you");
        assert_eq!(
            reason("mysql: [Warning] of something\nERROR 1045 (28000): Access denied"),
            "ERROR 1045 (28000): Access denied"
        );
        assert_eq!(reason("psql: error: no such host"), "psql: error: no such host");
    }
}
