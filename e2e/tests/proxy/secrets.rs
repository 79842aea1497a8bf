//! Logs, pages, metrics, errors and process lists of the proxy contain no secrets.

use std::fs;
use std::net::SocketAddr;

use countersign_core::name::Engine;
use countersign_e2e::{
    ClientSession, CommandOutput, ProxyFixture, ServerKind, Stack, http, run, wait_until, ways,
};
use rustix::process::Signal;

const CLIENT_PASSWORD: &str = "the-client-password-is-secret";
const DATABASE_PASSWORD: &str = "the-database-password-is-secret";

/// Collected texts, each with its source.
#[derive(Default)]
struct CollectedOutput(Vec<(String, String)>);

impl CollectedOutput {
    fn add(&mut self, source: &str, text: impl Into<String>) {
        self.0.push((source.to_owned(), text.into()));
    }

    fn add_output(&mut self, source: &str, output: CommandOutput) {
        self.add(source, output.out);
        self.add(source, output.err);
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn login(
    site: &ProxyFixture,
    kind: ServerKind,
    port: u16,
    user: &str,
    password: &str,
) -> CommandOutput {
    let mut client = site.client(kind, user, "SELECT 1");
    match kind.engine() {
        Engine::Postgres => run(client.env("PGPORT", port.to_string()).env("PGPASSWORD", password)),
        Engine::Mariadb | Engine::Mysql => {
            run(client.arg(format!("--port={port}")).env("MYSQL_PWD", password))
        }
    }
}

#[test]
fn outputs_of_the_proxy_contain_no_secrets() {
    // Each protocol is tested with both log formats.
    for (kind, format) in
        ways().into_iter().zip([&[][..], &["--structured-logs"]].into_iter().cycle())
    {
        let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
        let mut collected = CollectedOutput::default();
        let secrets = exercise(&stack, &site, format, &mut collected);
        assert!(
            collected
                .0
                .iter()
                .any(|(source, text)| source == "log" && text.contains("session opened")),
            "the log has no session event"
        );
        for (source, text) in &collected.0 {
            for secret in secrets
                .iter()
                .map(String::as_str)
                .chain(["X-Amz-Signature", "X-Amz-Security-Token"])
            {
                assert!(!text.contains(secret), "{source} contains {secret:?}: {text}");
            }
        }
    }
}

/// Creates the account of the target with a password, and writes the configuration file.
fn write_targets(stack: &Stack, site: &ProxyFixture) {
    site.write("access", CLIENT_PASSWORD);
    let account = match stack.kind().engine() {
        Engine::Postgres => format!("CREATE ROLE plain LOGIN PASSWORD '{DATABASE_PASSWORD}'"),
        Engine::Mariadb | Engine::Mysql => format!(
            "CREATE USER plain@'%' IDENTIFIED BY '{DATABASE_PASSWORD}'; GRANT ALL ON app.* TO \
             plain@'%'"
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
            &[
                "listen = 7002",
                "user = \"plain\"",
                "server-auth = { password-env = \"DB_PASSWORD\" }",
            ],
        ),
        stack.target("denied", &["listen = 7003"]),
    ];
    site.write("countersign.toml", &targets.concat());
}

/// Collects the process list, and command lines and environments of the proxy and its children.
fn collect_processes(pid: u32, collected: &mut CollectedOutput) {
    collected.add_output("ps", run(std::process::Command::new("ps").args(["-ef", "ww"])));
    collected.add(
        "command line of the proxy",
        String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/cmdline")).unwrap()),
    );
    for child in children(pid) {
        for file in ["cmdline", "environ"] {
            collected.add(
                file,
                String::from_utf8_lossy(
                    &fs::read(format!("/proc/{child}/{file}")).unwrap_or_default(),
                ),
            );
        }
    }
}

/// Exercises a proxy, collects its outputs, and returns the secrets that they must not contain.
fn exercise(
    stack: &Stack,
    site: &ProxyFixture,
    format: &[&str],
    collected: &mut CollectedOutput,
) -> Vec<String> {
    let (kind, port) = (stack.kind(), free_port());
    let env = stack.env(&["--temporary"]);
    let other = stack.env(&[]);
    write_targets(stack, site);
    let admin = port.to_string();
    let arguments =
        [&["--debug", "--admin-port", &admin, "--prometheus", "--health-check"], format].concat();
    let mut command = site.bare(&arguments);
    command
        .envs(env.iter().filter(|(name, _)| name.starts_with("AWS_")))
        .env("DB_PASSWORD", DATABASE_PASSWORD)
        .env("COUNTERSIGN_LOG", "trace");
    let proxy = site.start(&mut command);
    assert!(
        login(site, kind, 7001, "app", CLIENT_PASSWORD).ok
            && login(site, kind, 7002, "plain", "").ok
    );
    collected.add_output(
        "a client with a wrong password",
        login(site, kind, 7001, "app", "hunter2-is-secret"),
    );
    collected
        .add_output("a client that is denied", login(site, kind, 7003, "zoe", "hunter2-is-secret"));
    let _revoked = stack.must(&["user", "revoke", "app"]);
    collected.add_output(
        "a client that IAM denies",
        login(site, kind, 7003, "app", "hunter2-is-secret"),
    );
    let _granted = stack.must(&["user", "grant", "app"]);
    let mut command = site.session(kind, "app");
    let command = match kind.engine() {
        Engine::Postgres => command.env("PGPORT", "7001").env("PGPASSWORD", CLIENT_PASSWORD),
        Engine::Mariadb | Engine::Mysql => {
            command.arg("--port=7001").env("MYSQL_PWD", CLIENT_PASSWORD)
        }
    };
    let mut session = ClientSession::open(kind, command);
    assert_eq!(session.ask("SELECT 1"), "1");
    proxy.signal(Signal::HUP);
    let _said = proxy.says("configuration reloaded");
    for page in ["/debug/sessions", "/debug/settings", "/debug/tasks", "/debug/nothing"] {
        collected.add(page, http(SocketAddr::from(([127, 0, 0, 1], port)), "GET", page).1);
    }
    for page in ["/metrics", "/startup", "/readiness", "/liveness"] {
        collected.add(page, site.get(page).1);
    }
    for arguments in [&["status"][..], &["status", "--output", "json"], &["check"]] {
        let mut command = site.bare(arguments);
        collected.add_output(arguments[0], run(command.env("DB_PASSWORD", DATABASE_PASSWORD)));
    }
    collect_processes(proxy.pid(), collected);
    session.close();
    let log = proxy.log_file().to_owned();
    proxy.signal(Signal::TERM);
    wait_until("the log line of the shutdown", || {
        fs::read_to_string(&log).unwrap().contains("shutdown complete")
    });
    collected.add("log", fs::read_to_string(&log).unwrap());
    let _status = proxy.end();
    vec![
        env["AWS_SECRET_ACCESS_KEY"].clone(),
        other["AWS_SECRET_ACCESS_KEY"].clone(),
        env["AWS_SESSION_TOKEN"].clone(),
        CLIENT_PASSWORD.to_owned(),
        DATABASE_PASSWORD.to_owned(),
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
