//! A stack that the test's process runs.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_authority::servers::RunningServer;
use countersign_authority::verifier::{ContextKeys, VerifierConfig};
use countersign_core::name::Engine;
use countersign_e2e::{CommandOutput, mysql_client, programs, run, wait_until};
use countersign_local::Layout;
use countersign_local::stack::{AuthPreference, Plan, ServerSpec, Stack, down};
use countersign_local::state::State;
use tempfile::TempDir;

/// Directory of a stack that this process runs.
pub(crate) struct StackFixture {
    directory: TempDir,
    runtime: tokio::runtime::Runtime,
}

impl StackFixture {
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("countersign-").tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { directory, runtime }
    }

    pub(crate) fn layout(&self) -> Layout {
        Layout::new(self.directory.path()).unwrap()
    }

    /// Starts a stack with these servers, or with its previous ones if none are named.
    pub(crate) fn up(&self, servers: &[Engine], preference: AuthPreference) -> Stack {
        let wanted = |engine: &Engine| ServerSpec {
            instance: engine.as_str().parse().unwrap(),
            engine: *engine,
            version: None,
            port: None,
        };
        let plan = Plan {
            layout: self.layout(),
            servers: servers.iter().map(wanted).collect(),
            preference,
            pam_module: Some(programs().join("libpam_countersign.so")),
            mysql_plugin: Some(programs().join("libmysql_countersign.so")),
            unpacked: unpacked(),
            account: "123456789012".parse().unwrap(),
            region: "eu-central-1".parse().unwrap(),
            ldap_address: "127.0.0.1".parse().unwrap(),
            allowed_users: Vec::new(),
            settings: VerifierConfig { limit: None, context_keys: ContextKeys::AsRds },
            seed_file: None,
            issuer: countersign_authority::issuer::DEFAULT_URL.to_owned(),
            machine: None,
        };
        self.runtime.block_on(Stack::up(plan, |_| {})).unwrap()
    }

    pub(crate) fn down(&self, stack: Stack) {
        self.runtime.block_on(stack.down()).unwrap();
        self.wait_for_authority_exit();
    }

    /// Ends a stack as SIGKILL does: its servers keep running.
    pub(crate) fn kill(&self, stack: Stack) {
        drop(stack);
        self.wait_for_authority_exit();
    }

    /// Waits for the authority, which ends asynchronously as a task of this thread.
    fn wait_for_authority_exit(&self) {
        let socket = self.layout().socket();
        wait_until("the end of the authority", || {
            self.runtime.block_on(tokio::task::yield_now());
            UnixStream::connect(&socket).is_err()
        });
    }

    pub(crate) fn state(&self) -> State {
        State::read(&self.layout()).unwrap().unwrap()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state().instances.iter().map(|known| known.instance.to_string()).collect()
    }

    /// Runs SQL with the engine's own client as the master user, over TCP with TLS.
    pub(crate) fn login(
        &self,
        engine: Engine,
        at: &RunningServer,
        password: &str,
        sql: &str,
    ) -> CommandOutput {
        let ca = self.layout().ca();
        let (host, port) = (at.host.as_str(), at.port.to_string());
        if engine == Engine::Postgres {
            let mut psql = Command::new("psql");
            psql.args([
                "--no-psqlrc",
                "--no-align",
                "--tuples-only",
                "--no-password",
                "--command",
                sql,
            ]);
            psql.env("PGHOST", host)
                .env("PGPORT", port)
                .env("PGUSER", "postgres")
                .env("PGDATABASE", "shop");
            return run(psql
                .env("PGPASSWORD", password)
                .env("PGSSLMODE", "verify-full")
                .env("PGSSLROOTCERT", ca));
        }
        let (program, verified) = match engine {
            Engine::Mysql => (mysql_client().unwrap(), "--ssl-mode=VERIFY_IDENTITY"),
            _ => (PathBuf::from("mariadb"), "--ssl-verify-server-cert"),
        };
        let mut client = Command::new(program);
        client.args([
            "--no-defaults",
            "--protocol=TCP",
            "--batch",
            "--skip-column-names",
            verified,
        ]);
        client
            .arg(format!("--ssl-ca={}", ca.display()))
            .arg(format!("--host={host}"))
            .arg(format!("--port={port}"));
        run(client
            .args(["--user=postgres", &format!("--execute={sql}"), "shop"])
            .env("MYSQL_PWD", password))
    }

    pub(crate) fn listens(&self, at: &RunningServer) -> bool {
        std::net::TcpStream::connect((at.host.as_str(), at.port)).is_ok()
    }
}

impl Drop for StackFixture {
    fn drop(&mut self) {
        let wiped = down(&self.layout(), &unpacked(), true);
        assert!(wiped.is_ok() || std::thread::panicking(), "{wiped:?}");
    }
}

/// Returns the directory in which MySQL is unpacked, or a nonexistent one.
fn unpacked() -> PathBuf {
    // DIRECTORY/mysql-9.7/usr/bin/mysql
    mysql_client()
        .and_then(|client| client.ancestors().nth(4).map(Path::to_owned))
        .unwrap_or_else(|| PathBuf::from("/nonexistent"))
}
