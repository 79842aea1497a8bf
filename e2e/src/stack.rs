//! A running stack and its operations.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::endpoint::Endpoint;
use serde_json::Value;
use tempfile::TempDir;

use crate::{CommandOutput, ServerKind, countersign, run, token, wait_until};

/// A running stack, stopped and wiped on drop.
#[derive(Debug)]
pub struct Stack {
    directory: TempDir,
    kind: ServerKind,
    arguments: Vec<String>,
}

impl Stack {
    /// Starts a stack with one server of this kind, and additional arguments of `local up`.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn up(kind: ServerKind, arguments: &[&str]) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("countersign-")
            .tempdir()
            .expect("a directory for the stack");
        let arguments = kind
            .arguments()
            .iter()
            .chain(arguments)
            .map(|argument| (*argument).to_owned())
            .collect();
        let stack = Self { directory, kind, arguments };
        stack.start();
        stack
    }

    /// Returns the kind of its server.
    #[must_use]
    pub const fn kind(&self) -> ServerKind {
        self.kind
    }

    /// Starts it again with the same arguments.
    pub fn start(&self) {
        let output = run(self
            .local(&["up", "--detach"])
            .args(&self.arguments)
            .env("COUNTERSIGN_LOG", "trace"));
        assert!(output.ok, "local up: {output:?}");
    }

    /// Returns its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Returns `countersign local …` for this stack.
    #[must_use]
    pub fn local(&self, arguments: &[&str]) -> Command {
        let mut command = countersign();
        command.arg("local").arg("--dir").arg(self.directory()).args(arguments);
        command
    }

    /// Runs `countersign local …`, which must succeed, and returns its output.
    #[must_use]
    pub fn must(&self, arguments: &[&str]) -> String {
        let output = run(&mut self.local(arguments));
        assert!(output.ok, "local {arguments:?}: {output:?}");
        output.out
    }

    /// Returns the output of `local status`.
    #[must_use]
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.must(&["status", "--output", "json"]))
            .expect("status prints JSON")
    }

    /// Returns the variables that `local env` exports for an IAM user.
    #[must_use]
    pub fn env(&self, arguments: &[&str]) -> HashMap<String, String> {
        let text = self.must(&[&["env"], arguments].concat());
        // Evaluated by a shell, as users do.
        let output = run(Command::new("sh")
            .arg("-c")
            .arg(format!("{text}\nenv -0"))
            .env_clear()
            .env("PATH", "/usr/bin:/bin"));
        assert!(output.ok, "{output:?}");
        let variables = output.out.split('\0').filter_map(|pair| pair.split_once('='));
        let exported = variables.filter(|(name, _)| {
            ["AWS_", "PG", "MYSQL_", "LIBMYSQL_"].iter().any(|prefix| name.starts_with(prefix))
        });
        exported.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Returns the credentials that `local env` exports.
    #[must_use]
    pub fn credentials(&self, arguments: &[&str]) -> Credentials {
        let env = self.env(arguments);
        Credentials {
            access_key_id: env["AWS_ACCESS_KEY_ID"].parse().expect("a key id"),
            secret: Secret::new(&*env["AWS_SECRET_ACCESS_KEY"]).expect("a secret"),
            session_token: env.get("AWS_SESSION_TOKEN").and_then(|token| Secret::new(&**token)),
            expires: None,
        }
    }

    /// Returns the server's endpoint.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        let env = self.env(&[]);
        let [host, port, _] = self.kind.variables();
        Endpoint {
            engine: self.kind.engine(),
            host: env[host].parse().expect("a host"),
            port: env[port].parse().expect("a port"),
            region: env["AWS_REGION"].parse().expect("a region"),
        }
    }

    /// Mints a token for `user` at [`Stack::endpoint`], dated now.
    #[must_use]
    pub fn token(&self, credentials: &Credentials, user: &str) -> String {
        token(credentials, &self.endpoint(), user, SystemTime::now())
    }

    /// Logs in as `user` with a password and verified TLS, and returns the user name that the
    /// server reports.
    #[must_use]
    pub fn login(&self, user: &str, password: &str) -> CommandOutput {
        run(&mut self.client(user, password, self.kind.whoami()))
    }

    /// Tries a login that the server must deny, and returns the class of the authority's decision.
    ///
    /// # Panics
    /// If it succeeds, or fails otherwise.
    #[must_use]
    pub fn refused(&self, user: &str, password: &str) -> Option<String> {
        let output = self.login(user, password);
        assert!(!output.ok, "{user} was let in: {output:?}");
        assert!(output.err.contains(&self.kind.denial(user)), "{output:?}");
        self.last_class(user)
    }

    /// Returns the engine's client, which logs in as `user` with a password and verified TLS, and
    /// runs `sql`.
    #[must_use]
    pub fn client(&self, user: &str, password: &str, sql: &str) -> Command {
        self.kind.client(&self.env(&[]), true, user, password, sql)
    }

    /// Returns the same client without TLS.
    #[must_use]
    pub fn client_without_tls(&self, user: &str, password: &str, sql: &str) -> Command {
        self.kind.client(&self.env(&[]), false, user, password, sql)
    }

    /// Runs SQL as the administrator.
    pub fn sql(&self, sql: &str) -> String {
        self.must(&[self.kind.administration(), &[sql]].concat())
    }

    /// Returns the decisions on `user`, oldest first.
    #[must_use]
    pub fn decisions(&self, user: &str) -> Vec<Value> {
        let text = self.must(&["log", "--output", "json"]);
        let records =
            text.lines().map(|line| serde_json::from_str::<Value>(line).expect("the log is JSON"));
        records.filter(|record| record["user"] == user).collect()
    }

    /// Returns the class of the last decision on `user`; `None` if it was allowed.
    #[must_use]
    pub fn last_class(&self, user: &str) -> Option<String> {
        let last = self.decisions(user).pop().expect("there is a decision");
        last["class"].as_str().map(str::to_owned)
    }

    /// Kills the authority with SIGKILL, and waits until it is gone. The servers continue.
    pub fn kill_authority(&self) {
        let pid = self.status()["pid"]
            .as_i64()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a process"), rustix::process::Signal::KILL)
            .expect("it can be killed");
        wait_until("the end of the authority", || !run(&mut self.local(&["status"])).ok);
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let output = run(&mut self.local(&["down", "--wipe"]));
        if !output.ok && !std::thread::panicking() {
            panic!("local down --wipe: {output:?}");
        }
    }
}
