//! What happens as time passes: the proxy's library under a clock that a test moves, in a process of its own for its environment.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write, stdin};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use countersign_connect::clock::Hand;
use countersign_connect::identity;
use countersign_connect::resolve::Resolver;
use countersign_connect::tls::Verification;
use countersign_core::name::Engine;
use countersign_core::timestamp::rfc3339;
use countersign_e2e::{Site, Stack, Talk, wait_until, ways};
use countersign_gateway::settings::{Access, Listen, Login, Pool, Role, ServerTls, Settings, Target};
use countersign_gateway::{Context, Proxy};
use serde_json::Value;

/// How far its clock is behind when it starts: within the time that a token is good for, so that the server takes what was signed
/// then and what is signed later.
const BEHIND: Duration = Duration::from_secs(14 * 60);

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// A proxy whose clock stands still until it is moved.
struct Moved {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Moved {
    fn start(stack: &Stack, site: &Site, pool: &str, aws: &HashMap<String, String>) -> Self {
        let env = stack.env(&[]);
        let [host, port, ca] = stack.way().variables().map(|name| &env[name]);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "clock::inner", "--ignored", "--nocapture"]);
        command.env_clear().envs(aws).env("AWS_REGION", &env["AWS_REGION"]).env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
        command.env("ENGINE", stack.way().engine().as_str()).env("HOST", host).env("PORT", port).env("CA", ca).env("POOL", pool);
        command.env("LISTEN", SocketAddr::from((site.address(), stack.way().engine().default_port())).to_string());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (orders, answers) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut moved = Self { process, orders, answers };
        assert_eq!(moved.answer(), "ready");
        moved
    }

    /// The next line that is ours, and not the test harness's.
    fn answer(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.answers.read_line(&mut line).unwrap() > 0, "the proxy has ended");
            // The harness leaves its own line unfinished.
            if let Some((_, answer)) = line.split_once("> ") {
                return answer.trim_end().to_owned();
            }
        }
    }

    fn advance(&mut self, by: Duration) {
        writeln!(self.orders, "{}", by.as_secs()).unwrap();
        assert_eq!(self.answer(), "moved");
    }

    fn status(&mut self) -> Value {
        writeln!(self.orders, "status").unwrap();
        serde_json::from_str(&self.answer()).unwrap()
    }

    /// The public half of the key that signs.
    fn key(&mut self) -> String {
        self.status()["targets"][0]["identity"]["access_key_id"].as_str().unwrap_or_default().to_owned()
    }

    /// When its tokens were minted.
    fn minted(&mut self) -> Vec<String> {
        let status = self.status();
        let tokens = status["targets"][0]["tokens"].as_array().unwrap();
        tokens.iter().map(|token| token["minted_at"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Moved {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}

#[test]
#[ignore = "started by the others, with an environment that says what it serves"]
fn inner() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let hand = Hand::new(SystemTime::now() - BEHIND);
    let warm = variable("POOL") == "warm";
    let target = Target {
        name: "db".to_owned(),
        engine: variable("ENGINE").parse().unwrap(),
        host: variable("HOST").parse().unwrap(),
        port: variable("PORT").parse().unwrap(),
        sign: None,
        region: None,
        user: Some("app".parse().unwrap()),
        database: None,
        login: Login::Iam(identity::Settings::default()),
        tls: ServerTls { verification: Verification::Full, roots: Some(variable("CA").into()) },
        role: Role::Any,
        listen: vec![Listen::Tcp(variable("LISTEN").parse().unwrap())],
        access: Access::Open,
        client_tls: None,
        pool: Pool { warm: usize::from(warm), reuse: warm, most_idle: 20, idle_timeout: minutes(60), lifetime: minutes(600) },
        max_connections: 0,
        logins_per_second: 0,
        connect_timeout: minutes(1),
        session_timeout: None,
    };
    let settings = Settings { targets: vec![target], max_connections: 0, login_timeout: minutes(1) };
    let context = Context { clock: hand.clock(), resolver: Resolver::system(), environment_region: std::env::var("AWS_REGION").ok() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (proxy, problems) = runtime.block_on(Proxy::start(settings, context, Vec::new()));
    assert!(problems.is_empty(), "{problems:?}");
    println!("> ready");
    for order in stdin().lines().map_while(Result::ok) {
        match order.parse() {
            Ok(seconds) => {
                hand.advance(Duration::from_secs(seconds));
                println!("> moved");
            }
            Err(_) => println!("> {}", serde_json::to_string(&proxy.status()).unwrap()),
        }
    }
}

fn keys(env: HashMap<String, String>) -> HashMap<String, String> {
    env.into_iter()
        .filter(|(name, _)| ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"].contains(&name.as_str()))
        .collect()
}

#[test]
fn sessions_outlive_their_tokens_and_later_logins_have_new_ones() {
    for way in ways() {
        let (stack, site) = (Stack::up(way, &[]), Site::default());
        let mut proxy = Moved::start(&stack, &site, "off", &keys(stack.env(&["--temporary"])));
        let open = || Talk::open(way, &mut site.session(way, "app"));
        let mut first = open();
        assert_eq!(first.ask("SELECT 1"), "1", "{}", first.complaints());
        let minted = proxy.minted();
        let mut second = open();
        assert_eq!(second.ask("SELECT 1"), "1");
        assert_eq!((proxy.minted(), minted.len()), (minted.clone(), 1), "a token serves more than once");
        proxy.advance(BEHIND);
        assert_eq!(first.ask("SELECT 2"), "2");
        let mut third = open();
        assert_eq!(third.ask("SELECT 1"), "1");
        assert!(proxy.minted()[0] > minted[0], "ten minutes are as old as one gets");
        assert_eq!(stack.last_class("app"), None);
        assert_eq!(second.ask("SELECT 3"), "3");
    }
}

/// What a container is given its credentials by; nothing is nobody.
type Given = Arc<Mutex<Option<String>>>;

/// The endpoint of a container's credentials. Source: "Amazon ECS task IAM role" in AWS's guide.
fn container(given: &Given) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let given = Arc::clone(given);
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            // Whoever is gone asks again; the head is all that there is.
            let Some(body) = given.lock().unwrap().clone() else { continue };
            let mut head = [0; 4096];
            let _read = client.read(&mut head);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _taken = client.write_all(answer.as_bytes());
        }
    });
    port
}

fn given(env: &HashMap<String, String>, ends: SystemTime) -> String {
    serde_json::json!({
        "AccessKeyId": env["AWS_ACCESS_KEY_ID"],
        "SecretAccessKey": env["AWS_SECRET_ACCESS_KEY"],
        "Token": env["AWS_SESSION_TOKEN"],
        "Expiration": rfc3339(ends),
    })
    .to_string()
}

#[test]
fn credentials_that_can_t_be_refreshed_serve_until_they_end() {
    let of = |postgres: bool| ways().into_iter().find(|way| (way.engine() == Engine::Postgres) == postgres);
    for way in [of(true), of(false)].into_iter().flatten() {
        let (stack, site) = (Stack::up(way, &[]), Site::default());
        let (old, new) = (stack.env(&["--temporary"]), stack.env(&["--temporary"]));
        let began = SystemTime::now() - BEHIND;
        let source = Given::new(Mutex::new(Some(given(&old, began + minutes(13)))));
        let url = format!("http://127.0.0.1:{}/credentials", container(&source));
        let mut proxy = Moved::start(&stack, &site, "off", &[("AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned(), url)].into());
        let login = || site.login(way, "app");
        let said = login();
        assert_eq!(said.out, "app", "{said:?}");
        assert_eq!(proxy.key(), old["AWS_ACCESS_KEY_ID"]);

        // It is time for others, and nobody gives them.
        *source.lock().unwrap() = None;
        proxy.advance(minutes(11));
        for _ in 0..3 {
            let said = login();
            assert_eq!(said.out, "app", "{said:?}");
        }
        wait_until("that it shows", || proxy.status()["targets"][0]["identity"]["failure"].is_string());
        assert_eq!(proxy.key(), old["AWS_ACCESS_KEY_ID"]);

        // There they are: the next logins fetch them, and none waits for that.
        *source.lock().unwrap() = Some(given(&new, SystemTime::now() + minutes(60)));
        proxy.advance(minutes(1));
        wait_until("the new key", || login().out == "app" && proxy.key() == new["AWS_ACCESS_KEY_ID"]);
        proxy.advance(minutes(2));
        let said = login();
        assert_eq!(said.out, "app", "{said:?}");
        assert_eq!(stack.last_class("app"), None);
    }
}
