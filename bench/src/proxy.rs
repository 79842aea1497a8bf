//! The proxy, compared with direct connections: a statement in an open session, and a new session.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use countersign_core::sigv4::KeyCache;
use countersign_core::token::mint;
use tokio::runtime::Runtime;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};

use crate::login::VerifyFull;
use crate::paired::{Side, compare};
use crate::stack::{AuthBackend, Stack};
use crate::table::{Goal, Row};
use crate::{Problem, process};

/// Number of rounds for statements.
const STATEMENT_ROUNDS: usize = 101;

/// Number of rounds for sessions.
const SESSION_ROUNDS: usize = 200;

/// Pause after a session, in which the server finishes it.
const PAUSE: Duration = Duration::from_millis(4);

pub(crate) fn rows() -> Result<Vec<Row>, Problem> {
    let program = process::countersign()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stack = match Stack::up(&program, AuthBackend::Pam) {
        Ok(stack) => stack,
        Err(problem) => return Ok(vec![Row::skipped("the proxy", problem.to_string())]),
    };
    let proxy = Proxy::start(&program, &stack)?;
    let keys = KeyCache::default();
    let directly = || {
        let token =
            mint(&stack.credentials, &stack.endpoint, &stack.user, &keys, SystemTime::now());
        let mut config = config(&stack);
        config
            .host(stack.endpoint.host.as_str())
            .port(stack.endpoint.port)
            .password(token.expose())
            .ssl_mode(SslMode::Require);
        config
    };
    let mut through = config(&stack);
    through.host("127.0.0.1").port(proxy.port).ssl_mode(SslMode::Disable);
    let tls = VerifyFull::new(Path::new(&stack.ca), stack.endpoint.host.as_str())?;

    let (direct_client, proxied_client) =
        (runtime.block_on(open(&directly(), Some(&tls)))?, runtime.block_on(open(&through, None))?);
    let [proxied, direct] = compare(
        STATEMENT_ROUNDS,
        [statements(&runtime, &proxied_client), statements(&runtime, &direct_client)],
    )?;
    let statement = Row::ratio(
        "PostgreSQL: a statement through the proxy : one over TLS",
        &proxied,
        &direct,
        Goal::None,
    );

    let session = |config: Config, tls: Option<&VerifyFull>| -> Result<Duration, Problem> {
        std::thread::sleep(PAUSE);
        let start = Instant::now();
        runtime.block_on(async {
            open(&config, tls)
                .await?
                .simple_query("select 1")
                .await
                .map(|_| ())
                .map_err(Problem::from)
        })?;
        Ok(start.elapsed())
    };
    let iam = Side::timed(|| session(directly(), Some(&tls)));
    let pooled = Side::timed(|| session(through.clone(), None));
    let [iam, pooled] = compare(SESSION_ROUNDS, [iam, pooled])?;
    Ok(vec![
        statement,
        Row::ratio(
            "PostgreSQL: an IAM login : a session of the proxy's pool",
            &iam,
            &pooled,
            Goal::AtLeast(5.0),
        ),
    ])
}

fn config(stack: &Stack) -> Config {
    let mut config = Config::new();
    config.user(stack.user.as_str()).dbname(&stack.database);
    config
}

async fn open(config: &Config, tls: Option<&VerifyFull>) -> Result<Client, Problem> {
    Ok(match tls {
        Some(tls) => {
            let (client, connection) = config.connect(tls.clone()).await?;
            tokio::spawn(connection);
            client
        }
        None => {
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(connection);
            client
        }
    })
}

fn statements<'a>(runtime: &'a Runtime, client: &'a Client) -> Side<'a> {
    Side::batch(move |count| {
        runtime.block_on(async {
            for _ in 0..count {
                client.simple_query("select 1").await?;
            }
            Ok(())
        })
    })
}

/// Proxy for the stack's server, stopped on drop.
struct Proxy {
    process: Child,
    port: u16,
}

impl Proxy {
    fn start(program: &Path, stack: &Stack) -> Result<Self, Problem> {
        // The port was free a moment ago. If another process takes it, the proxy fails to start.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let directory = Path::new(&stack.ca).parent().ok_or("the CA file has no directory")?;
        let settings = directory.join("countersign.toml");
        let text = format!(
            "[targets.bench]\n\
             url = \"postgres://{}@{}:{}/{}\"\n\
             ca-file = \"{}\"\n\
             listen = [\"127.0.0.1:{port}\"]\n\
             logins-per-second = 0\n\
             pool = {{ min-idle = 2, reuse = true }}\n",
            stack.user, stack.endpoint.host, stack.endpoint.port, stack.database, stack.ca
        );
        std::fs::write(&settings, text)?;
        let mut command = Command::new(program);
        command
            .arg("proxy")
            .arg("--config")
            .arg(&settings)
            .arg("--admin-socket")
            .arg(directory.join("proxy.sock"));
        command.env("AWS_ACCESS_KEY_ID", stack.credentials.access_key_id.as_str());
        command
            .env("AWS_SECRET_ACCESS_KEY", stack.credentials.secret.expose())
            .env("AWS_REGION", stack.endpoint.region.as_str());
        command
            .env_remove("AWS_SESSION_TOKEN")
            .env_remove("AWS_PROFILE")
            .env("COUNTERSIGN_LOG", "warn");
        let mut process = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let stderr = process.stderr.take().ok_or("the proxy has no standard error")?;
        let proxy = Self { process, port };
        for line in BufReader::new(stderr).lines() {
            if line?.starts_with("ready") {
                return Ok(proxy);
            }
        }
        Err("the proxy ended before it was ready".into())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Fails only if the process has ended already.
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}
