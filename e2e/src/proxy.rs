//! `countersign proxy` as a process, on a loopback address that no other test has, and its clients.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use countersign_core::name::Engine;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    CommandOutput, PATIENCE, ServerKind, Stack, countersign, mysql_client, run, wait_until,
};

/// Directory and loopback address of a test's proxies. No other test uses the address, so that
/// default ports are free.
#[derive(Debug)]
pub struct ProxyFixture {
    directory: TempDir,
    address: Ipv4Addr,
    started: AtomicU32,
}

/// Port of health and metrics at a [`ProxyFixture`].
pub const HTTP_PORT: u16 = 9090;

/// Number of sites that this process has created.
static SITES: AtomicU8 = AtomicU8::new(0);

impl Default for ProxyFixture {
    fn default() -> Self {
        let [_, _, high, low] = std::process::id().to_be_bytes();
        // From 127.64 on: other programs use lower loopback addresses.
        let site = 64 + (SITES.fetch_add(1, Ordering::Relaxed) & 127);
        let directory = tempfile::Builder::new()
            .prefix("countersign-proxy-")
            .tempdir()
            .expect("a directory for the proxy");
        Self { directory, address: Ipv4Addr::new(127, site, high, low), started: AtomicU32::new(0) }
    }
}

impl ProxyFixture {
    /// Address that the proxies listen on.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Returns the path of a file in the directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file atomically.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let (path, new) = (self.path(name), self.path(&format!("{name}.new")));
        fs::write(&new, text).expect("the file can be written");
        fs::rename(&new, &path).expect("the file can be replaced");
        path
    }

    /// Returns `countersign proxy …` with the AWS settings of the stack's user `app`. All listeners
    /// are at this site.
    #[must_use]
    pub fn command(&self, stack: &Stack, arguments: &[&str]) -> Command {
        let mut command = self.bare(arguments);
        command.envs(stack.env(&[]).into_iter().filter(|(name, _)| name.starts_with("AWS_")));
        command
    }

    /// Returns the same command without AWS settings.
    #[must_use]
    pub fn bare(&self, arguments: &[&str]) -> Command {
        let address = self.address.to_string();
        let mut command = countersign();
        command.arg("proxy").args(arguments).current_dir(self.directory.path());
        command
            .env("COUNTERSIGN_PROXY_ADDRESS", &address)
            .env("COUNTERSIGN_PROXY_HTTP_ADDRESS", &address);
        command
            .env("COUNTERSIGN_PROXY_ADMIN_SOCKET", self.path("admin.sock"))
            .env("HOME", self.directory.path());
        command.env_remove("XDG_CONFIG_HOME").stdin(Stdio::null());
        command
    }

    /// Starts a proxy, and waits until it is ready.
    #[must_use]
    pub fn start(&self, command: &mut Command) -> Proxy {
        let mut proxy = self.spawn(command);
        wait_until("the proxy's start", || {
            let log = proxy.log();
            assert!(proxy.ended().is_none(), "the proxy has ended: {log}");
            is_ready(&log)
        });
        proxy
    }

    /// Starts a proxy.
    #[must_use]
    pub fn spawn(&self, command: &mut Command) -> Proxy {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let log = self.path(&format!("proxy-{number}.log"));
        let output = fs::File::create(&log).expect("a file for what the proxy says");
        let out = output.try_clone().expect("a file for what the proxy says");
        let process = command.stdout(out).stderr(output).spawn().expect("the proxy can be started");
        Proxy { process, log }
    }

    /// Writes `countersign.toml` with these targets, and starts a proxy for them.
    #[must_use]
    pub fn serve(&self, stack: &Stack, targets: &str, arguments: &[&str]) -> Proxy {
        self.write("countersign.toml", targets);
        self.start(&mut self.command(stack, arguments))
    }

    /// Returns the engine's client for the engine's port, without password or token, which runs
    /// `sql`.
    #[must_use]
    pub fn client(&self, kind: ServerKind, user: &str, sql: &str) -> Command {
        let mut client = self.session(kind, user);
        match kind.engine() {
            Engine::Postgres => client.args(["--command", sql]),
            Engine::Mariadb | Engine::Mysql => client.arg(format!("--execute={sql}")),
        };
        client
    }

    /// Returns the engine's client, which reads SQL from standard input.
    #[must_use]
    pub fn session(&self, kind: ServerKind, user: &str) -> Command {
        let (address, port) = (self.address.to_string(), kind.engine().default_port().to_string());
        let mut client = kind.client_command(user);
        match kind.engine() {
            Engine::Postgres => client.env("PGHOST", address).env("PGPORT", port),
            Engine::Mariadb | Engine::Mysql => client.args([
                "--protocol=TCP",
                &format!("--host={address}"),
                &format!("--port={port}"),
            ]),
        };
        client
    }

    /// Logs in without a password, and returns the user name that the server reports.
    #[must_use]
    pub fn login(&self, kind: ServerKind, user: &str) -> CommandOutput {
        run(&mut self.client(kind, user, kind.whoami()))
    }

    /// Requests an HTTP page, and returns status and body.
    #[must_use]
    pub fn get(&self, path: &str) -> (u16, String) {
        http(SocketAddr::from((self.address, HTTP_PORT)), "GET", path)
    }

    /// Returns the output of `proxy status`.
    #[must_use]
    pub fn status(&self) -> Value {
        let output = run(&mut self.bare(&["status", "--output", "json"]));
        assert!(output.ok, "proxy status: {output:?}");
        serde_json::from_str(&output.out).expect("status prints JSON")
    }
}

/// Requests a page over HTTP, and returns status and body.
#[must_use]
pub fn http(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)
        .unwrap_or_else(|error| panic!("{address}: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let request =
        format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the request is taken");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP: {text}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status: {head}")), body.to_owned())
}

fn is_ready(log: &str) -> bool {
    log.lines().any(|line| {
        line == "ready" || line.starts_with("ready, ") || line.contains("\"message\":\"ready")
    })
}

impl ServerKind {
    /// Returns the engine's client without password and address; TLS by default.
    pub(crate) fn client_command(self, user: &str) -> Command {
        if self.engine() == Engine::Postgres {
            let mut psql = Command::new("psql");
            psql.args(["--no-psqlrc", "--no-align", "--tuples-only", "--no-password", "--quiet"]);
            for (name, _) in std::env::vars_os() {
                if name.to_str().is_some_and(|name| name.starts_with("PG")) {
                    psql.env_remove(name);
                }
            }
            psql.env("PGUSER", user).env("PGDATABASE", "postgres");
            return psql;
        }
        let program = if self == Self::Mysql { mysql_client() } else { Some("mariadb".into()) };
        let mut client = Command::new(program.expect("the client is here"));
        client.args([
            "--no-defaults",
            "--batch",
            "--unbuffered",
            "--skip-column-names",
            "--default-character-set=utf8mb4",
        ]);
        client
            .args([&format!("--user={user}"), "--database=app"])
            .env_remove("MYSQL_PWD")
            .env_remove("MYSQL_HOST");
        client
    }
}

impl Stack {
    /// Returns the table of a target in `countersign.toml` for this stack's server, with additional
    /// lines.
    #[must_use]
    pub fn target(&self, name: &str, lines: &[&str]) -> String {
        let env = self.env(&[]);
        let [host, port, ca] = self.kind().variables().map(|name| &env[name]);
        let engine = self.kind().engine();
        let table = format!(
            "[targets.{name}]
engine = \"{engine}\"
host = \"{host}\"
port = {port}
ca-file = \
             \"{ca}\"
"
        );
        format!("{table}{}\n\n", lines.join("\n"))
    }

    /// Returns the same target as a URL.
    #[must_use]
    pub fn url(&self, user: &str) -> String {
        let env = self.env(&[]);
        let [host, port, ca] = self.kind().variables().map(|name| &env[name]);
        let user = if user.is_empty() { String::new() } else { format!("{user}@") };
        format!("{}://{user}{host}:{port}?sslrootcert={ca}", self.kind().engine())
    }
}

/// A running proxy, killed on drop.
#[derive(Debug)]
pub struct Proxy {
    process: Child,
    log: PathBuf,
}

impl Proxy {
    /// Returns the process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns the log so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("what the proxy output")
    }

    /// Returns the path of the log.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// Waits until the log contains this text, and returns the line.
    #[must_use]
    pub fn says(&self, words: &str) -> String {
        let mut found = None;
        wait_until(&format!("that the proxy says {words:?}"), || {
            found = self.log().lines().find(|line| line.contains(words)).map(str::to_owned);
            found.is_some()
        });
        found.unwrap_or_default()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process"), signal).expect("it can be signalled");
    }

    /// Returns the exit status, once the process has exited.
    #[must_use]
    pub fn ended(&mut self) -> Option<i32> {
        let status = self.process.try_wait().expect("its status can be had");
        status.map(|status| status.code().unwrap_or(-1))
    }

    /// Waits for the exit, and returns the exit status.
    #[must_use]
    pub fn end(mut self) -> i32 {
        let mut status = None;
        wait_until("the proxy's end", || {
            status = self.ended();
            status.is_some()
        });
        status.unwrap_or(-1)
    }

    /// Returns the resident memory in KiB.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a resident size");
        line.split_whitespace()
            .next()
            .and_then(|number| number.parse().ok())
            .expect("a number of KiB")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have exited already.
        let _gone = self.process.kill();
        let _status = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- what the proxy output:\n{}---", self.log());
        }
    }
}
