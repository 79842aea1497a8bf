//! A server of the stack, and its own client, driven as a person would.

use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::engine::Engine;
use super::person::Person;
use super::stack::{Decision, Stack};
use crate::command;
use crate::problem::Problem;

/// How long the authority's record of a login may take to be there.
const RECORD: Duration = Duration::from_secs(5);

pub(super) struct Server<'a> {
    stack: &'a Stack<'a>,
    engine: Engine,
    client: PathBuf,
}

/// A login, as both sides saw it.
pub(super) struct Login {
    /// What the client printed: the rows, or why it gave up.
    pub(super) client: Result<String, String>,
    /// What the authority decided, if it was asked.
    pub(super) decision: Option<Decision>,
}

impl<'a> Server<'a> {
    pub(super) fn of(stack: &'a Stack<'a>, engine: Engine) -> Result<Self, Problem> {
        let client = match engine {
            Engine::Postgres => PathBuf::from("psql"),
            // The one that came with the server: what Debian calls `mysql` is MariaDB's.
            Engine::Mariadb | Engine::Mysql => {
                stack.installation(engine)?.join("usr/bin").join(engine.client())
            }
        };
        Ok(Self { stack, engine, client })
    }

    /// Somebody who is there, as they log in here.
    pub(super) fn person(&self, name: &str) -> Result<Person, Problem> {
        let exports = command::output(&mut self.stack.local(&[
            "env",
            "--engine",
            self.engine.name(),
            "--user",
            name,
        ]))?;
        Person::parse(&exports, self.engine)
    }

    /// Makes a database user who has a password, and nothing of IAM.
    pub(super) fn create_with_password(&self, user: &str, password: &str) -> Result<(), Problem> {
        let sql = match self.engine {
            Engine::Postgres => format!("create role {user} login password '{password}'"),
            Engine::Mariadb | Engine::Mysql => {
                format!("create user {user} identified by '{password}'")
            }
        };
        command::output(self.stack.local(self.engine.administration()).arg(sql)).map(drop)
    }

    /// Logs in by the engine's client. Where `asks` says that the authority is asked, its record is waited for.
    pub(super) fn login(
        &self,
        person: &Person,
        password: &str,
        asks: bool,
    ) -> Result<Login, Problem> {
        let before = self.stack.decisions(&person.user)?.len();
        let output = command::attempt(&mut self.client(person, password))?;
        let client = if output.status.success() {
            Ok(command::text(&output.stdout).replace('\t', ", "))
        } else {
            Err(reason(&command::text(&output.stderr)))
        };
        let deadline = Instant::now() + RECORD;
        loop {
            let decision = self.stack.decisions(&person.user)?.into_iter().nth(before);
            if decision.is_some() || !asks || Instant::now() > deadline {
                return Ok(Login { client, decision });
            }
            sleep(Duration::from_millis(50));
        }
    }

    fn client(&self, person: &Person, password: &str) -> Command {
        let mut client = person.command(&self.client);
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
                .env("PGUSER", &person.user)
                .env("PGPASSWORD", password);
            client
                .env("PGCONNECT_TIMEOUT", "20")
                .envs((!person.tls).then_some(("PGSSLMODE", "disable")));
            return client;
        }
        let tls: &[&str] = match (self.engine, person.tls) {
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
        client.args(person.tls.then(|| format!("--ssl-ca={}", person.ca)));
        client.args([
            format!("--host={}", person.host),
            format!("--port={}", person.port),
            format!("--user={}", person.user),
        ]);
        // Oracle's client reads ~/.mylogin.cnf all the same, unless it is told of another.
        client
            .args(["--execute", self.engine.query()])
            .env("MYSQL_PWD", password)
            .env("MYSQL_TEST_LOGIN_FILE", "/dev/null");
        client
    }
}

impl Login {
    pub(super) fn said(&self) -> &str {
        match &self.client {
            Ok(said) | Err(said) => said,
        }
    }
}

/// What the server said, where the client passes it on.
fn reason(stderr: &str) -> String {
    let said = ["FATAL:", "ERROR "]
        .into_iter()
        .find_map(|word| stderr.get(stderr.find(word)?..))
        .unwrap_or(stderr);
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
