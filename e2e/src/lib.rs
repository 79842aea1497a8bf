//! A stack of the real thing for each test: `countersign local up` in a directory and on ports of its own.
//!
//! The programs are those that `cargo xtask test` builds beside the tests.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime};

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::endpoint::Endpoint;
use countersign_core::name::{DbUser, Engine};
use countersign_core::sigv4::KeyCache;
use countersign_core::token::mint;
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The directory of the programs under test.
#[must_use]
pub fn programs() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let directory = test.ancestors().nth(2).expect("tests lie in target/PROFILE/deps").to_owned();
    assert!(directory.join("countersign").exists(), "countersign is not built: run `cargo xtask test`, or `cargo build --workspace` first");
    directory
}

/// `countersign`, with an environment that holds no AWS settings of the machine.
#[must_use]
pub fn countersign() -> Command {
    let mut command = Command::new(programs().join("countersign"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("AWS_") || name.starts_with("PG") || name.starts_with("COUNTERSIGN_")) {
            command.env_remove(name);
        }
    }
    if let Some(directory) = std::env::var_os("COUNTERSIGN_SERVERS_DIR") {
        command.env("COUNTERSIGN_SERVERS_DIR", directory);
    }
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command
}

/// The ways of asking the verifier that this machine can be tested with: PAM needs root.
#[must_use]
pub fn authentications() -> &'static [&'static str] {
    if rustix::process::geteuid().is_root() {
        return &["pam", "ldap"];
    }
    eprintln!("skipped: logins by PAM, since only root may write /etc/pam.d");
    &["ldap"]
}

/// What a program printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Whether it ended with 0.
    pub ok: bool,
    /// Its status.
    pub status: Option<i32>,
    /// Its standard output, without the last line feed.
    pub out: String,
    /// Its standard error, likewise.
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        Self { ok: output.status.success(), status: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// Runs a program to its end.
#[must_use]
pub fn run(command: &mut Command) -> Said {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}")).into()
}

/// Waits for a condition.
///
/// # Panics
/// Where it does not come true in [`PATIENCE`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen in {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A running stack, taken away with all its data on drop.
#[derive(Debug)]
pub struct Stack {
    directory: TempDir,
    arguments: Vec<String>,
}

impl Stack {
    /// Starts a stack with PostgreSQL, which asks by `authentication`.
    #[must_use]
    pub fn up(authentication: &str) -> Self {
        Self::with(&["--authentication", authentication])
    }

    /// Starts a stack with these arguments of `local up`.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn with(arguments: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("countersign-").tempdir().expect("a directory for the stack");
        let stack = Self { directory, arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect() };
        stack.start();
        stack
    }

    /// Starts it once more, as it was started first.
    pub fn start(&self) {
        let said = run(self.local(&["up", "--detach"]).args(&self.arguments).env("COUNTERSIGN_LOG", "trace"));
        assert!(said.ok, "local up: {said:?}");
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// `countersign local …` on this stack.
    #[must_use]
    pub fn local(&self, arguments: &[&str]) -> Command {
        let mut command = countersign();
        command.arg("local").arg("--dir").arg(self.directory()).args(arguments);
        command
    }

    /// `countersign local …`, which must succeed, and what it printed.
    #[must_use]
    pub fn must(&self, arguments: &[&str]) -> String {
        let said = run(&mut self.local(arguments));
        assert!(said.ok, "local {arguments:?}: {said:?}");
        said.out
    }

    /// What `local status` says.
    #[must_use]
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.must(&["status", "--output", "json"])).expect("status prints JSON")
    }

    /// The variables that `local env` exports for an IAM user.
    #[must_use]
    pub fn env(&self, arguments: &[&str]) -> HashMap<String, String> {
        let text = self.must(&[&["env"], arguments].concat());
        // A shell reads it, as it is meant to be.
        let said = run(Command::new("sh").arg("-c").arg(format!("{text}\nenv -0")).env_clear().env("PATH", "/usr/bin:/bin"));
        assert!(said.ok, "{said:?}");
        let variables = said.out.split('\0').filter_map(|pair| pair.split_once('='));
        let exported = variables.filter(|(name, _)| name.starts_with("AWS_") || name.starts_with("PG"));
        exported.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The credentials that `local env` exports.
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

    /// Where the first server listens.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        let env = self.env(&[]);
        Endpoint {
            engine: Engine::Postgres,
            host: env["PGHOST"].parse().expect("a host"),
            port: env["PGPORT"].parse().expect("a port"),
            region: env["AWS_REGION"].parse().expect("a region"),
        }
    }

    /// A token for `user` at [`Stack::endpoint`], dated now.
    #[must_use]
    pub fn token(&self, credentials: &Credentials, user: &str) -> String {
        token(credentials, &self.endpoint(), user, SystemTime::now())
    }

    /// Runs `sql` in psql as `user`, with a password, TLS verified.
    #[must_use]
    pub fn psql(&self, user: &str, password: &str, sql: &str) -> Said {
        run(&mut self.psql_command(user, password, sql))
    }

    /// The psql of [`Stack::psql`], to be changed.
    #[must_use]
    pub fn psql_command(&self, user: &str, password: &str, sql: &str) -> Command {
        let env = self.env(&[]);
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "--no-align", "--tuples-only", "--no-password", "--command", sql]);
        psql.envs(env.iter().filter(|(name, _)| name.starts_with("PG"))).env("PGUSER", user).env("PGPASSWORD", password);
        psql
    }

    /// Runs SQL as the superuser.
    pub fn sql(&self, sql: &str) {
        let _printed = self.must(&["psql", "--", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--command", sql]);
    }

    /// The records of the decisions on `user`, oldest first.
    #[must_use]
    pub fn decisions(&self, user: &str) -> Vec<Value> {
        let text = self.must(&["log", "--output", "json"]);
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("the log is JSON"));
        records.filter(|record| record["user"] == user).collect()
    }

    /// The class of the last decision on `user`; nothing where it was let in.
    #[must_use]
    pub fn last_class(&self, user: &str) -> Option<String> {
        let last = self.decisions(user).pop().expect("there is a decision");
        last["class"].as_str().map(str::to_owned)
    }

    /// Kills the authority outright, and waits until it is gone. The servers go on.
    pub fn kill_authority(&self) {
        let pid = self.status()["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a process"), rustix::process::Signal::KILL).expect("it can be killed");
        wait_until("the end of the authority", || !run(&mut self.local(&["status"])).ok);
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let said = run(&mut self.local(&["down", "--wipe"]));
        if !said.ok && !std::thread::panicking() {
            panic!("local down --wipe: {said:?}");
        }
    }
}

/// A token of any date for any endpoint.
#[must_use]
pub fn token(credentials: &Credentials, endpoint: &Endpoint, user: &str, at: SystemTime) -> String {
    let user: DbUser = user.parse().expect("a database user");
    mint(credentials, endpoint, &user, &KeyCache::default(), at).expose().to_owned()
}
