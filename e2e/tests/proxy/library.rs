//! The proxy's library in a separate process, with settings that the command does not have: a
//! manual clock and a name server.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write, stdin};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime};

use countersign_connect::clock::ManualClock;
use countersign_connect::credentials_cache;
use countersign_connect::resolve::Resolver;
use countersign_connect::tls::Verification;
use countersign_e2e::{ProxyFixture, Stack};
use countersign_proxy::settings::{
    ClientAuth, Listen, PoolSettings, ServerAuth, ServerTls, Settings, TargetSessionAttrs,
    TargetSettings,
};
use countersign_proxy::{Context, Proxy, Workers};
use serde_json::Value;

/// Delay of its clock at the start. It is less than the lifetime of a token, so that the server
/// accepts tokens signed before and after the clock advances.
pub(crate) const CLOCK_DELAY: Duration = Duration::from_secs(14 * 60);

pub(crate) const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// Proxy with a clock that only advances on command.
pub(crate) struct Library {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Library {
    /// Starts a proxy for the stack's server.
    pub(crate) fn start(
        stack: &Stack,
        site: &ProxyFixture,
        pool: &str,
        aws: &HashMap<String, String>,
    ) -> Self {
        Self::run(&mut command(stack, site, pool, aws))
    }

    /// Starts a proxy that connects to this name and port by this name server. Tokens are still
    /// signed for the server's own endpoint.
    pub(crate) fn by_name(
        stack: &Stack,
        site: &ProxyFixture,
        name: &str,
        port: u16,
        nameserver: SocketAddr,
    ) -> Self {
        let mut command = command(stack, site, "warm", &keys(stack.env(&[])));
        let env = stack.env(&[]);
        let [host, signed, _] = stack.kind().variables().map(|name| &env[name]);
        command
            .env("SIGN", host)
            .env("SIGN_PORT", signed)
            .env("NAMESERVER", nameserver.to_string());
        Self::run(command.env("HOST", name).env("PORT", port.to_string()))
    }

    fn run(command: &mut Command) -> Self {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) =
            (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut library = Self { process, input, output };
        assert_eq!(library.answer(), "ready");
        library
    }

    /// Returns the next line of the child's protocol, and skips output of the test harness.
    fn answer(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the proxy has ended");
            // The harness prints the test's name in the same line.
            if let Some((_, answer)) = line.split_once("> ") {
                return answer.trim_end().to_owned();
            }
        }
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        writeln!(self.input, "{}", by.as_secs()).unwrap();
        assert_eq!(self.answer(), "moved");
    }

    pub(crate) fn status(&mut self) -> Value {
        writeln!(self.input, "status").unwrap();
        serde_json::from_str(&self.answer()).unwrap()
    }

    /// Returns the access key id of the credentials.
    pub(crate) fn key(&mut self) -> String {
        self.status()["targets"][0]["credentials"]["access_key_id"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Returns the times at which its tokens were signed.
    pub(crate) fn minted(&mut self) -> Vec<String> {
        let status = self.status();
        let tokens = status["targets"][0]["tokens"].as_array().unwrap();
        tokens.iter().map(|token| token["minted_at"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

fn command(
    stack: &Stack,
    site: &ProxyFixture,
    pool: &str,
    aws: &HashMap<String, String>,
) -> Command {
    let env = stack.env(&[]);
    let [host, port, ca] = stack.kind().variables().map(|name| &env[name]);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "library::inner", "--ignored", "--nocapture"]);
    command
        .env_clear()
        .envs(aws)
        .env("AWS_REGION", &env["AWS_REGION"])
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command
        .env("ENGINE", stack.kind().engine().as_str())
        .env("HOST", host)
        .env("PORT", port)
        .env("CA", ca)
        .env("POOL", pool);
    command.env(
        "LISTEN",
        SocketAddr::from((site.address(), stack.kind().engine().default_port())).to_string(),
    );
    command
}

/// Returns the variables that hold AWS credentials.
pub(crate) fn keys(env: HashMap<String, String>) -> HashMap<String, String> {
    env.into_iter()
        .filter(|(name, _)| {
            ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
                .contains(&name.as_str())
        })
        .collect()
}

#[test]
#[ignore = "started by other tests, with its settings in the environment"]
fn inner() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let clock = ManualClock::new(SystemTime::now() - CLOCK_DELAY);
    let warm = variable("POOL") == "warm";
    let given = |name: &str| std::env::var(name).ok();
    let sign =
        given("SIGN").map(|host| (host.parse().unwrap(), variable("SIGN_PORT").parse().unwrap()));
    // The server's certificate does not contain the other name.
    let verification =
        if sign.is_some() { Verification::VerifyCa } else { Verification::VerifyFull };
    let target = TargetSettings {
        name: "db".to_owned(),
        engine: variable("ENGINE").parse().unwrap(),
        host: variable("HOST").parse().unwrap(),
        port: variable("PORT").parse().unwrap(),
        sign,
        region: None,
        user: Some("app".parse().unwrap()),
        database: None,
        server_auth: ServerAuth::Iam(credentials_cache::CredentialsConfig::default()),
        tls: ServerTls { verification, ca_file: Some(variable("CA").into()) },
        target_session_attrs: TargetSessionAttrs::Any,
        listen: vec![Listen::Tcp(variable("LISTEN").parse().unwrap())],
        client_auth: ClientAuth::Trust,
        client_tls: None,
        pool: PoolSettings {
            min_idle: usize::from(warm),
            reuse: warm,
            max_idle: 20,
            idle_timeout: minutes(60),
            max_lifetime: minutes(600),
        },
        max_connections: 0,
        logins_per_second: 0,
        connect_timeout: minutes(1),
        session_timeout: None,
    };
    let settings =
        Settings { targets: vec![target], max_connections: 0, login_timeout: minutes(1) };
    let context = Context {
        clock: clock.clock(),
        resolver: given("NAMESERVER").map_or_else(Resolver::system, |server| {
            Resolver::with_nameservers(&[server.parse().unwrap()]).unwrap()
        }),
        workers: Workers::for_this_machine().unwrap(),
        environment_region: given("AWS_REGION"),
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (proxy, problems) = runtime.block_on(Proxy::start(settings, context, Vec::new()));
    assert!(problems.is_empty(), "{problems:?}");
    println!("> ready");
    for line in stdin().lines().map_while(Result::ok) {
        match line.parse() {
            Ok(seconds) => {
                clock.advance(Duration::from_secs(seconds));
                println!("> moved");
            }
            Err(_) => println!("> {}", serde_json::to_string(&proxy.status()).unwrap()),
        }
    }
}
