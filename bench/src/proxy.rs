//! The proxy, next to the way without it: a statement in a session that stands, and a session from nothing.

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
use crate::stack::{Asks, Stack};
use crate::table::{Goal, Row};
use crate::{Problem, process};

/// How many rounds of statements are compared, and how many of sessions.
const STATEMENT_ROUNDS: usize = 101;
const SESSION_ROUNDS: usize = 200;

/// What the server is given to be done with the last session, so that it doesn't slow the next.
const PAUSE: Duration = Duration::from_millis(4);

pub(crate) fn rows() -> Result<Vec<Row>, Problem> {
    let program = process::countersign()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stack = match Stack::up(&program, Asks::Pam) {
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

    let (near, far) =
        (runtime.block_on(open(&directly(), Some(&tls)))?, runtime.block_on(open(&through, None))?);
    let [proxied, direct] =
        compare(STATEMENT_ROUNDS, [statements(&runtime, &far), statements(&runtime, &near)])?;
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
    let warm = Side::timed(|| session(through.clone(), None));
    let [iam, warm] = compare(SESSION_ROUNDS, [iam, warm])?;
    Ok(vec![
        statement,
        Row::ratio(
            "PostgreSQL: an IAM login : a session of the proxy's pool",
            &iam,
            &warm,
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

/// A proxy for the stack's server; it ends with the value.
struct Proxy {
    process: Child,
    port: u16,
}

impl Proxy {
    fn start(program: &Path, stack: &Stack) -> Result<Self, Problem> {
        // Free a moment ago; should somebody have taken it since, the proxy says so.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let directory = Path::new(&stack.ca).parent().ok_or("the CA is in no directory")?;
        let settings = directory.join("countersign.toml");
        let text = format!(
            "[targets.bench]\nurl = \"postgres://{}@{}:{}/{}\"\nroots = \"{}\"\nlisten = [\"127.0.0.1:{port}\"]\nlogins-per-second = 0\n\
             pool = {{ warm = 2, reuse = true }}\n",
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
        let said = process.stderr.take().ok_or("the proxy has no standard error")?;
        let proxy = Self { process, port };
        for line in BufReader::new(said).lines() {
            if line?.starts_with("ready") {
                return Ok(proxy);
            }
        }
        Err("the proxy has ended before it was ready".into())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // One that has ended already needs no end, and what is left is the same.
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}
