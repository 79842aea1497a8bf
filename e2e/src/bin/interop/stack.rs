//! The stack under test, and the tokens for it.

use std::collections::HashMap;
use std::process::Command;
use std::time::SystemTime;

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::endpoint::Endpoint;
use countersign_core::name::Engine;
use countersign_e2e::{Proxy, ProxyFixture, padded_session, run, token};
use serde_json::Value;
use tempfile::TempDir;

/// Prefixes of the variables that `local env` sets.
const OURS: [&str; 4] = ["AWS_", "PG", "MYSQL_", "COUNTERSIGN_"];

/// Directory of unpacked servers: the only setting that is passed on.
const SERVERS: &str = "COUNTERSIGN_SERVERS_DIR";

/// A running stack, stopped and wiped on drop.
pub(crate) struct Stack {
    directory: TempDir,
}

impl Stack {
    pub(crate) fn up(engines: &[String]) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("countersign-")
            .tempdir()
            .expect("a directory for the stack");
        let stack = Self { directory };
        let _printed = stack.must(&[
            "up",
            "--detach",
            "--max-logins-per-second",
            "0",
            "--engine",
            &engines.join(","),
        ]);
        stack
    }

    fn local(&self, arguments: &[&str]) -> Command {
        let beside =
            std::env::current_exe().expect("this program has a path").with_file_name("countersign");
        assert!(beside.exists(), "countersign is not built: run `cargo xtask test interop`");
        let mut command = Command::new(beside);
        command.arg("local").arg("--dir").arg(self.directory.path()).args(arguments);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| {
                name != SERVERS && OURS.iter().any(|ours| name.starts_with(ours))
            }) {
                command.env_remove(name);
            }
        }
        command
    }

    fn must(&self, arguments: &[&str]) -> String {
        let output = run(&mut self.local(arguments));
        assert!(output.ok, "countersign local {}:\n{}", arguments.join(" "), output.err);
        output.out
    }

    /// Returns the variables that `local env` exports, as a shell reads them.
    fn env(&self, engine: &str, more: &[&str]) -> HashMap<String, String> {
        let text = self.must(&[&["env", "--engine", engine], more].concat());
        let output = run(Command::new("sh")
            .arg("-c")
            .arg(format!("{text}\nenv -0"))
            .env_clear()
            .env("PATH", "/usr/bin:/bin"));
        assert!(output.ok, "local env --engine {engine}: {}", output.err);
        let variables = output.out.split('\0').filter_map(|pair| pair.split_once('='));
        let exported = variables.filter(|(name, _)| OURS.iter().any(|ours| name.starts_with(ours)));
        exported.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Returns the classes of the authority's decisions since the start. `None` stands for an
    /// allowed login.
    pub(crate) fn decisions(&self) -> Vec<Option<String>> {
        let text = self.must(&["log", "--output", "json"]);
        let records =
            text.lines().map(|line| serde_json::from_str::<Value>(line).expect("the log is JSON"));
        records.map(|record| record["class"].as_str().map(str::to_owned)).collect()
    }

    /// Returns the server of this engine.
    pub(crate) fn server(&self, engine: &str) -> Server {
        let env = self.env(engine, &[]);
        let engine: Engine = engine.parse().expect("an engine");
        let (host, port) = match engine {
            Engine::Postgres => ("PGHOST", "PGPORT"),
            Engine::Mariadb | Engine::Mysql => ("MYSQL_HOST", "MYSQL_TCP_PORT"),
        };
        let endpoint = Endpoint {
            engine,
            host: env[host].parse().expect("a host"),
            port: env[port].parse().expect("a port"),
            region: env["AWS_REGION"].parse().expect("a region"),
        };
        let status: Value = serde_json::from_str(&self.must(&["status", "--output", "json"]))
            .expect("status prints JSON");
        let instances = status["instances"].as_array().expect("status lists instances");
        let instance = instances
            .iter()
            .find(|instance| instance["port"] == endpoint.port)
            .expect("the instance is listed");
        let version = instance["version"]
            .as_str()
            .map_or_else(|| instance["version"].to_string(), str::to_owned);
        let variables = env.iter().filter(|(name, _)| !name.starts_with("AWS_"));
        let variables = variables.map(|(name, value)| (name.clone(), value.clone())).collect();
        Server { endpoint, version, key: credentials(&env), variables, proxied: None }
    }

    /// Starts a proxy for these servers, each at the server's own port.
    pub(crate) fn proxy<'a>(
        &self,
        servers: impl Iterator<Item = &'a mut Server>,
    ) -> (ProxyFixture, Proxy) {
        let site = ProxyFixture::default();
        let mut command = site.bare(&[]);
        let mut aws = HashMap::new();
        for server in servers {
            let Endpoint { engine, host, port, .. } = &server.endpoint;
            let ca = if *engine == Engine::Postgres { "PGSSLROOTCERT" } else { "MYSQL_SSL_CA" };
            command.arg(format!(
                "{engine}://app@{host}:{port}?port={port}&sslrootcert={}&min-idle=0",
                server.variables[ca]
            ));
            aws = self.env(engine.as_str(), &[]);
            server.proxied = Some((site.address().to_string(), *port));
        }
        let proxy =
            site.start(command.envs(aws.into_iter().filter(|(name, _)| name.starts_with("AWS_"))));
        (site, proxy)
    }

    /// Mints a token of a long-term key: the shortest kind.
    pub(crate) fn short_token(server: &Server) -> String {
        server.token(&server.key)
    }

    /// Mints a token of exactly this length.
    ///
    /// Escaping makes the length of a session's token random, so this tries until it fits.
    pub(crate) fn long_token(&self, server: &Server, length: usize) -> String {
        let mut padding = length / 2;
        for _ in 0..1_000 {
            let token = server.token(&padded_session(self.directory.path(), padding));
            if token.len() == length {
                return token;
            }
            padding = if token.len() < length {
                padding + (length - token.len()) / 2
            } else {
                padding - (token.len() - length) / 2
            };
        }
        panic!("no token of {length} characters in a thousand");
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let output = run(&mut self.local(&["down", "--wipe"]));
        if !output.ok {
            eprintln!("local down --wipe: {}", output.err);
        }
    }
}

/// One server of the stack.
pub(crate) struct Server {
    endpoint: Endpoint,
    version: String,
    key: Credentials,
    variables: HashMap<String, String>,
    /// Address of the proxy's listener for it.
    proxied: Option<(String, u16)>,
}

impl Server {
    pub(crate) const fn engine(&self) -> Engine {
        self.endpoint.engine
    }

    pub(crate) const fn port(&self) -> u16 {
        self.endpoint.port
    }

    /// Returns the address of the proxy's listener for it.
    pub(crate) fn proxied(&self) -> (String, u16) {
        self.proxied.clone().expect("the proxy was started")
    }

    /// Returns name and version.
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.endpoint.engine, self.version)
    }

    /// Returns the environment of a client.
    pub(crate) const fn variables(&self) -> &HashMap<String, String> {
        &self.variables
    }

    fn token(&self, credentials: &Credentials) -> String {
        token(credentials, &self.endpoint, "app", SystemTime::now())
    }
}

fn credentials(env: &HashMap<String, String>) -> Credentials {
    Credentials {
        access_key_id: env["AWS_ACCESS_KEY_ID"].parse().expect("a key id"),
        secret: Secret::new(&*env["AWS_SECRET_ACCESS_KEY"]).expect("a secret"),
        session_token: env.get("AWS_SESSION_TOKEN").and_then(|token| Secret::new(&**token)),
        expires: None,
    }
}
