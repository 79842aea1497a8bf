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

/// Where proxies of a test live: a directory, and an address. Nobody else is on it, so ports can be what they are by default.
#[derive(Debug)]
pub struct ProxyFixture {
    directory: TempDir,
    address: Ipv4Addr,
    started: AtomicU32,
}

/// The port of health and metrics at a [`Site`].
pub const HTTP_PORT: u16 = 9090;

/// How many sites this process has made.
static SITES: AtomicU8 = AtomicU8::new(0);

impl Default for ProxyFixture {
    fn default() -> Self {
        let [_, _, high, low] = std::process::id().to_be_bytes();
        // From 127.64 on: what else is on loopback is below.
        let site = 64 + (SITES.fetch_add(1, Ordering::Relaxed) & 127);
        let directory = tempfile::Builder::new()
            .prefix("countersign-proxy-")
            .tempdir()
            .expect("a directory for the proxy");
        Self { directory, address: Ipv4Addr::new(127, site, high, low), started: AtomicU32::new(0) }
    }
}

impl ProxyFixture {
    /// The address that its proxies listen on.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// A file in its directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file, in one step for whoever reads it meanwhile.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let (path, new) = (self.path(name), self.path(&format!("{name}.new")));
        fs::write(&new, text).expect("the file can be written");
        fs::rename(&new, &path).expect("the file can be replaced");
        path
    }

    /// `countersign proxy …` with the AWS settings of the stack's user `app`, all that it opens being at this site.
    #[must_use]
    pub fn command(&self, stack: &Stack, arguments: &[&str]) -> Command {
        let mut command = self.bare(arguments);
        command.envs(stack.env(&[]).into_iter().filter(|(name, _)| name.starts_with("AWS_")));
        command
    }

    /// The same without any AWS settings.
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

    /// Starts such a command, and waits until it says that it is ready.
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

    /// Starts such a command.
    #[must_use]
    pub fn spawn(&self, command: &mut Command) -> Proxy {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let log = self.path(&format!("proxy-{number}.log"));
        let said = fs::File::create(&log).expect("a file for what the proxy says");
        let out = said.try_clone().expect("a file for what the proxy says");
        let process = command.stdout(out).stderr(said).spawn().expect("the proxy can be started");
        Proxy { process, log }
    }

    /// `countersign.toml` with these targets, and a proxy for them.
    #[must_use]
    pub fn serve(&self, stack: &Stack, targets: &str, arguments: &[&str]) -> Proxy {
        self.write("countersign.toml", targets);
        self.start(&mut self.command(stack, arguments))
    }

    /// The engine's own client at the engine's port, which has no password and no token, and runs `sql`.
    #[must_use]
    pub fn client(&self, way: ServerKind, user: &str, sql: &str) -> Command {
        let mut client = self.session(way, user);
        match way.engine() {
            Engine::Postgres => client.args(["--command", sql]),
            Engine::Mariadb | Engine::Mysql => client.arg(format!("--execute={sql}")),
        };
        client
    }

    /// The same, with what it runs to come by its standard input.
    #[must_use]
    pub fn session(&self, way: ServerKind, user: &str) -> Command {
        let (address, port) = (self.address.to_string(), way.engine().default_port().to_string());
        let mut client = way.guest(user);
        match way.engine() {
            Engine::Postgres => client.env("PGHOST", address).env("PGPORT", port),
            Engine::Mariadb | Engine::Mysql => client.args([
                "--protocol=TCP",
                &format!("--host={address}"),
                &format!("--port={port}"),
            ]),
        };
        client
    }

    /// Logs in without a password: what the client prints is the name that the server knows it by.
    #[must_use]
    pub fn login(&self, way: ServerKind, user: &str) -> CommandOutput {
        run(&mut self.client(way, user, way.whoami()))
    }

    /// Asks one of the HTTP pages: the status, and the text.
    #[must_use]
    pub fn get(&self, path: &str) -> (u16, String) {
        http(SocketAddr::from((self.address, HTTP_PORT)), "GET", path)
    }

    /// What `proxy status` says.
    #[must_use]
    pub fn status(&self) -> Value {
        let said = run(&mut self.bare(&["status", "--output", "json"]));
        assert!(said.ok, "proxy status: {said:?}");
        serde_json::from_str(&said.out).expect("status prints JSON")
    }
}

/// Asks a page over HTTP: the status, and the text.
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
    /// The engine's own client, without any password or word on where and how; TLS as it likes.
    pub(crate) fn guest(self, user: &str) -> Command {
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
    /// The table of a target of this stack's server in `countersign.toml`, with these lines in it besides.
    #[must_use]
    pub fn target(&self, name: &str, lines: &[&str]) -> String {
        let env = self.env(&[]);
        let [host, port, ca] = self.way().variables().map(|name| &env[name]);
        let engine = self.way().engine();
        let table = format!(
            "[targets.{name}]\nengine = \"{engine}\"\nhost = \"{host}\"\nport = {port}\nca-file = \"{ca}\"\n"
        );
        format!("{table}{}\n\n", lines.join("\n"))
    }

    /// The same as a URL.
    #[must_use]
    pub fn url(&self, user: &str) -> String {
        let env = self.env(&[]);
        let [host, port, ca] = self.way().variables().map(|name| &env[name]);
        let user = if user.is_empty() { String::new() } else { format!("{user}@") };
        format!("{}://{user}{host}:{port}?sslrootcert={ca}", self.way().engine())
    }
}

/// A proxy that runs; it is killed on drop.
#[derive(Debug)]
pub struct Proxy {
    process: Child,
    log: PathBuf,
}

impl Proxy {
    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// What it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("what the proxy said")
    }

    /// Where that is.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// Waits until it has said this, and gives the line.
    #[must_use]
    pub fn says(&self, words: &str) -> String {
        let mut found = None;
        wait_until(&format!("that the proxy says {words:?}"), || {
            found = self.log().lines().find(|line| line.contains(words)).map(str::to_owned);
            found.is_some()
        });
        found.unwrap_or_default()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process"), signal).expect("it can be signalled");
    }

    /// Its exit status, once it has ended.
    #[must_use]
    pub fn ended(&mut self) -> Option<i32> {
        let status = self.process.try_wait().expect("its status can be had");
        status.map(|status| status.code().unwrap_or(-1))
    }

    /// Waits for its end, and gives its exit status.
    #[must_use]
    pub fn end(mut self) -> i32 {
        let mut status = None;
        wait_until("the proxy's end", || {
            status = self.ended();
            status.is_some()
        });
        status.unwrap_or(-1)
    }

    /// Its resident memory, in KiB.
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
        // It may have ended long ago.
        let _gone = self.process.kill();
        let _status = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- what the proxy said:\n{}---", self.log());
        }
    }
}
