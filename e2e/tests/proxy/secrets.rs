//! Nothing that the proxy says, wherever one looks, is a secret.

use std::fs;
use std::net::SocketAddr;

use countersign_core::name::Engine;
use countersign_e2e::{
    ClientSession, CommandOutput, ProxyFixture, ServerKind, Stack, http, run, wait_until, ways,
};
use rustix::process::Signal;

const CALLERS: &str = "the-callers-own-secret";
const DATABASE_S: &str = "the-database-s-own-secret";

/// All that was said somewhere, and where.
#[derive(Default)]
struct Heard(Vec<(String, String)>);

impl Heard {
    fn add(&mut self, place: &str, text: impl Into<String>) {
        self.0.push((place.to_owned(), text.into()));
    }

    fn said(&mut self, place: &str, said: CommandOutput) {
        self.add(place, said.out);
        self.add(place, said.err);
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn login(
    site: &ProxyFixture,
    way: ServerKind,
    port: u16,
    user: &str,
    password: &str,
) -> CommandOutput {
    let mut client = site.client(way, user, "SELECT 1");
    match way.engine() {
        Engine::Postgres => run(client.env("PGPORT", port.to_string()).env("PGPASSWORD", password)),
        Engine::Mariadb | Engine::Mysql => {
            run(client.arg(format!("--port={port}")).env("MYSQL_PWD", password))
        }
    }
}

#[test]
fn no_secret_is_said_anywhere() {
    // Each protocol has both kinds of log.
    for (way, format) in
        ways().into_iter().zip([&[][..], &["--structured-logs"]].into_iter().cycle())
    {
        let (stack, site) = (Stack::up(way, &[]), ProxyFixture::default());
        let mut heard = Heard::default();
        let secrets = attend(&stack, &site, format, &mut heard);
        assert!(
            heard.0.iter().any(|(place, text)| place == "log" && text.contains("session opened")),
            "the log says nothing"
        );
        for (place, text) in &heard.0 {
            for secret in secrets
                .iter()
                .map(String::as_str)
                .chain(["X-Amz-Signature", "X-Amz-Security-Token"])
            {
                assert!(!text.contains(secret), "{place} shows {secret:?}: {text}");
            }
        }
    }
}

/// Has a proxy do all that it does, hears what is said about it, and gives what none of it may say.
fn attend(stack: &Stack, site: &ProxyFixture, format: &[&str], heard: &mut Heard) -> Vec<String> {
    let (way, port) = (stack.way(), free_port());
    let env = stack.env(&["--temporary"]);
    let other = stack.env(&[]);
    site.write("access", CALLERS);
    let account = match way.engine() {
        Engine::Postgres => format!("CREATE ROLE plain LOGIN PASSWORD '{DATABASE_S}'"),
        Engine::Mariadb | Engine::Mysql => format!(
            "CREATE USER plain@'%' IDENTIFIED BY '{DATABASE_S}'; GRANT ALL ON app.* TO plain@'%'"
        ),
    };
    stack.sql(&account);
    let targets = [
        stack.target(
            "iam",
            &[
                "listen = 7001",
                "user = \"app\"",
                "client-auth = { password-file = \"access\" }",
                "pool = { reuse = true }",
            ],
        ),
        stack.target(
            "password",
            &["listen = 7002", "user = \"plain\"", "server-auth = { password-env = \"DB_PASSWORD\" }"],
        ),
        stack.target("denied", &["listen = 7003"]),
    ];
    site.write("countersign.toml", &targets.concat());
    let admin = port.to_string();
    let arguments =
        [&["--debug", "--admin-port", &admin, "--prometheus", "--health-check"], format].concat();
    let mut command = site.bare(&arguments);
    command
        .envs(env.iter().filter(|(name, _)| name.starts_with("AWS_")))
        .env("DB_PASSWORD", DATABASE_S)
        .env("COUNTERSIGN_LOG", "trace");
    let proxy = site.start(&mut command);
    assert!(login(site, way, 7001, "app", CALLERS).ok && login(site, way, 7002, "plain", "").ok);
    heard
        .said("a client with a wrong password", login(site, way, 7001, "app", "hunter2-is-secret"));
    heard.said("a client that is denied", login(site, way, 7003, "nobody", "hunter2-is-secret"));
    let _revoked = stack.must(&["user", "revoke", "app"]);
    heard.said("a client that IAM denies", login(site, way, 7003, "app", "hunter2-is-secret"));
    let _granted = stack.must(&["user", "grant", "app"]);
    let mut command = site.session(way, "app");
    let command = match way.engine() {
        Engine::Postgres => command.env("PGPORT", "7001").env("PGPASSWORD", CALLERS),
        Engine::Mariadb | Engine::Mysql => command.arg("--port=7001").env("MYSQL_PWD", CALLERS),
    };
    let mut session = ClientSession::open(way, command);
    assert_eq!(session.ask("SELECT 1"), "1");
    proxy.signal(Signal::HUP);
    let _said = proxy.says("read again");
    for page in ["/debug/sessions", "/debug/settings", "/debug/tasks", "/debug/nothing"] {
        heard.add(page, http(SocketAddr::from(([127, 0, 0, 1], port)), "GET", page).1);
    }
    for page in ["/metrics", "/startup", "/readiness", "/liveness"] {
        heard.add(page, site.get(page).1);
    }
    for arguments in [&["status"][..], &["status", "--output", "json"], &["check"]] {
        let mut command = site.bare(arguments);
        heard.said(arguments[0], run(command.env("DB_PASSWORD", DATABASE_S)));
    }
    heard.said("ps", run(std::process::Command::new("ps").args(["-ef", "ww"])));
    heard.add(
        "its command line",
        String::from_utf8_lossy(&fs::read(format!("/proc/{}/cmdline", proxy.pid())).unwrap()),
    );
    for child in children(proxy.pid()) {
        for file in ["cmdline", "environ"] {
            heard.add(
                file,
                String::from_utf8_lossy(
                    &fs::read(format!("/proc/{child}/{file}")).unwrap_or_default(),
                ),
            );
        }
    }
    session.close();
    let log = proxy.log_file().to_owned();
    proxy.signal(Signal::TERM);
    wait_until("its last word", || fs::read_to_string(&log).unwrap().contains("ended"));
    heard.add("log", fs::read_to_string(&log).unwrap());
    let _status = proxy.end();
    vec![
        env["AWS_SECRET_ACCESS_KEY"].clone(),
        other["AWS_SECRET_ACCESS_KEY"].clone(),
        env["AWS_SESSION_TOKEN"].clone(),
        CALLERS.to_owned(),
        DATABASE_S.to_owned(),
        "hunter2-is-secret".to_owned(),
    ]
}

fn children(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let children =
        tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    children
        .flat_map(|children| children.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}
