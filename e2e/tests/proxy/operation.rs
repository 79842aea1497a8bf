//! Operation of the proxy: health, metrics, status, reload and shutdown.

use std::net::SocketAddr;
use std::process::Command;

use countersign_core::name::Engine;
use countersign_e2e::{
    ClientSession, CommandOutput, HTTP_PORT, Proxy, ProxyFixture, Stack, http, postgres, protocols,
    run, wait_until,
};
use rustix::process::Signal;

fn open(stack: &Stack, site: &ProxyFixture) -> ClientSession {
    let mut talk = ClientSession::open(stack.kind(), &mut site.session(stack.kind(), "app"));
    assert_eq!(talk.ask("SELECT 1"), "1");
    talk
}

const ALL: [&str; 2] = ["--health-check", "--prometheus"];

/// Asserts the metrics of a proxy with one session.
fn assert_metrics(site: &ProxyFixture) {
    let (_, metrics) = site.get("/metrics");
    for line in [
        "countersign_proxy_connections_open{target=\"db\"} 1",
        "countersign_proxy_connections_accepted_total{target=\"db\"} 1",
        "countersign_proxy_logins_total{target=\"db\"} 1",
        "countersign_proxy_tokens_minted_total{target=\"db\"} 1",
        "countersign_proxy_credentials_loads_total{target=\"db\"} 1",
        "countersign_proxy_draining 0",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line} is not in:\n{metrics}");
    }
}

#[test]
fn health_metrics_and_status_report_sessions() {
    for kind in protocols() {
        let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
        let proxy = site.serve(
            &stack,
            &stack.target("db", &["user = \"app\"", "pool = { min-idle = 0 }"]),
            &ALL,
        );
        let output = run(&mut site.bare(&["wait", "--max", "30s"]));
        assert!(output.ok, "{output:?}");
        for page in ["/startup", "/liveness", "/readiness"] {
            assert_eq!(site.get(page).0, 200, "{page}");
        }
        let mut talk = open(&stack, &site);
        assert_metrics(&site);
        let status = site.status();
        let (target, session) = (&status["targets"][0], &status["sessions"][0]);
        assert_eq!(status["pid"].as_u64(), Some(u64::from(proxy.pid())));
        assert_eq!(
            (&target["name"], &target["health"]["healthy"]),
            (&"db".into(), &true.into()),
            "{status:#}"
        );
        assert_eq!(target["tokens"][0]["user"], "app");
        assert!(target["tokens"][0]["age"].as_f64().is_some_and(|age| age < 60.0), "{status:#}");
        assert_eq!(
            (&session["user"], &session["state"]),
            (&"app".into(), &"idle".into()),
            "{status:#}"
        );
        talk.tell(if kind.engine() == Engine::Postgres { "BEGIN" } else { "START TRANSACTION" });
        assert_eq!(talk.ask("SELECT 2"), "2");
        wait_until("the transaction in the status", || {
            site.status()["sessions"][0]["state"] == "in-transaction"
        });
        let text = run(&mut site.bare(&["status"]));
        assert!(
            text.ok && text.out.contains("in transaction") && text.out.contains("db"),
            "{text:?}"
        );
        talk.close();
        wait_until("the end of the session", || {
            site.status()["sessions"].as_array().is_some_and(Vec::is_empty)
        });

        // While logins fail, readiness fails, and liveness does not.
        let _down = stack.must(&["down"]);
        wait_until("the failure of the readiness check", || {
            let _refused = site.login(kind, "app");
            site.get("/readiness").0 == 503
        });
        assert_eq!(site.get("/liveness").0, 200);
        stack.start();
        wait_until("readiness without a client's login", || site.get("/readiness").0 == 200);
        let ended = run(&mut site.bare(&["shutdown"]));
        assert!(ended.ok, "{ended:?}");
        assert_eq!(proxy.end(), 0);
        let gone = run(&mut site.bare(&["status"]));
        assert!(!gone.ok && gone.err.contains("admin.sock"), "{gone:?}");
        assert!(!site.path("admin.sock").exists());
    }
}

/// Returns a free port for the admin endpoint, which always listens on 127.0.0.1.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn admin_port_serves_debug_pages_and_shuts_down() {
    let Some(kind) = postgres() else { return };
    let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
    let port = free_port();
    let arguments = ["--debug", "--quitquitquit", "--admin-port", &port.to_string()];
    let proxy = site.serve(&stack, &stack.target("db", &["user = \"app\""]), &arguments);
    let admin = |method, path| http(SocketAddr::from(([127, 0, 0, 1], port)), method, path);
    for page in ["/debug/sessions", "/debug/settings", "/debug/tasks"] {
        assert_eq!(admin("GET", page).0, 200, "{page}");
    }
    assert_ne!(admin("GET", "/quitquitquit").0, 200);
    let ended = run(&mut site.bare(&["shutdown", "--admin-port", &port.to_string()]));
    assert!(ended.ok, "{ended:?}");
    assert_eq!(proxy.end(), 0);
}

#[test]
fn settings_are_reloaded_without_ending_sessions() {
    let Some(kind) = postgres() else { return };
    let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
    let target = |name: &str, more: &str| stack.target(name, &["user = \"app\"", more]);
    let proxy = site.serve(&stack, &target("first", "listen = 5432"), &[]);
    let mut session = open(&stack, &site);
    let login = |port: u16| {
        run(site.client(kind, "app", "SELECT current_user").env("PGPORT", port.to_string()))
    };

    // The changed file is reloaded: it adds a target and changes the first one.
    site.write(
        "countersign.toml",
        &format!(
            "{}{}",
            target("first", "listen = 5432\npool = \"off\""),
            target("second", "listen = 5433")
        ),
    );
    let _said = proxy.says("configuration reloaded (the file has changed): 2 targets");
    assert_eq!((login(5432).out, login(5433).out), ("app".to_owned(), "app".to_owned()));
    assert_eq!(session.ask("SELECT 'still here'"), "still here");

    // An invalid file changes nothing, and all its errors are logged.
    site.write(
        "countersign.toml",
        &format!(
            "{}nonsense = 1\n[targets.third]\nengine = \"oracle\"\n",
            target("first", "listen = 5432")
        ),
    );
    let _said = proxy.says("the previous one stays in effect");
    let log = proxy.log();
    assert!(log.contains("nonsense") && log.contains("oracle"), "{log}");
    assert_eq!((login(5432).out, login(5433).out), ("app".to_owned(), "app".to_owned()));

    // A target is removed, and its sessions continue.
    let mut command = site.session(kind, "app");
    let mut second = ClientSession::open(kind, command.env("PGPORT", "5433"));
    assert_eq!(second.ask("SELECT 1"), "1");
    site.write("countersign.toml", &target("first", "listen = 5432"));
    proxy.signal(Signal::HUP);
    wait_until("the removal of the second target", || !login(5433).ok);
    assert_eq!(second.ask("SELECT 'still here'"), "still here");
    assert_eq!(session.ask("SELECT 'still here'"), "still here");
    assert_eq!(login(5432).out, "app");
}

#[test]
fn failed_target_does_not_affect_the_others() {
    let Some(kind) = postgres() else { return };
    let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
    let taken = std::net::TcpListener::bind((site.address(), 5440)).unwrap();
    let good = stack.target("good", &["user = \"app\"", "listen = 5432"]);
    let bad = [
        stack.target("taken", &["user = \"app\"", "listen = 5440"]),
        stack.target(
            "shy",
            &[
                "listen = 5441",
                "client-tls = { certificate = \"missing.pem\", key = \"missing.key\" }",
            ],
        ),
        "[targets.away]\nengine = \"postgres\"\nhost = \"nowhere.invalid\"\nlisten = 5442\n"
            .to_owned(),
    ];
    let proxy = site.serve(&stack, &format!("{good}{}", bad.concat()), &["--health-check"]);
    assert_eq!(site.login(kind, "app").out, "app");
    let log = proxy.log();
    assert!(log.contains("taken") && log.contains("5440") && log.contains("missing.pem"), "{log}");
    let status = site.status();
    let listener = |name: &str| {
        let targets = status["targets"].as_array().unwrap();
        let target = targets
            .iter()
            .find(|target| target["name"] == name)
            .unwrap_or_else(|| panic!("{name} is not in {status:#}"));
        target["listeners"][0]["failure"].as_str().map(str::to_owned)
    };
    assert!(
        listener("good").is_none() && listener("taken").is_some_and(|why| why.contains("in use")),
        "{status:#}"
    );
    assert_eq!(site.get("/readiness").0, 503);
    assert_eq!(site.get("/readiness?min-ready=1").0, 200);
    // Once the port is free, a reload starts the listener.
    drop(taken);
    proxy.signal(Signal::HUP);
    wait_until("a login at the freed port", || {
        run(site.client(kind, "app", "SELECT 1").env("PGPORT", "5440")).ok
    });
    // An error in the file prevents the start, unless a flag permits it.
    site.write("countersign.toml", &format!("{good}[targets.wrong]\nengine = \"oracle\"\n"));
    drop(proxy);
    let refused = run(&mut site.command(&stack, &[]));
    assert!(!refused.ok && refused.err.contains("oracle"), "{refused:?}");
    let proxy = site.start(&mut site.command(&stack, &["--skip-failed-instance-config"]));
    assert!(proxy.log().contains("target skipped"), "{}", proxy.log());
    assert_eq!(site.login(kind, "app").out, "app");
}

#[test]
fn connections_over_the_limit_are_rejected_with_an_error() {
    for kind in protocols() {
        let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
        let _proxy = site.serve(
            &stack,
            &stack.target("db", &["user = \"app\""]),
            &["--max-connections", "2"],
        );
        let (first, second) = (open(&stack, &site), open(&stack, &site));
        let output = site.login(kind, "app");
        let words = if kind.engine() == Engine::Postgres { "FATAL:" } else { "ERROR 1040 " };
        assert!(
            !output.ok
                && output.err.contains(words)
                && output.err.contains("the limit of the proxy is 2"),
            "{output:?}"
        );
        first.close();
        wait_until("a login below the limit", || site.login(kind, "app").ok);
        second.close();
    }
}

fn refused_while_draining(output: &CommandOutput) {
    assert!(!output.ok, "{output:?}");
}

#[test]
fn sigterm_drains_sessions_and_rejects_new_connections() {
    for kind in protocols() {
        let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
        let proxy = site.serve(
            &stack,
            &stack.target("db", &["user = \"app\""]),
            &["--max-sigterm-delay", "5m"],
        );
        let mut session = open(&stack, &site);
        proxy.signal(Signal::TERM);
        wait_until("the rejection of new connections", || !site.login(kind, "app").ok);
        refused_while_draining(&site.login(kind, "app"));
        assert_eq!(session.ask("SELECT 'still here'"), "still here");
        session.close();
        assert_eq!(proxy.end(), 143);

        // Without a delay, sessions are terminated with an error.
        let proxy = site.start(&mut site.command(&stack, &["--exit-zero-on-sigterm"]));
        let mut session = open(&stack, &site);
        proxy.signal(Signal::TERM);
        assert_eq!(proxy.end(), 0);
        session.tell("SELECT 1");
        wait_until("the client's error", || {
            let output = session.complaints();
            output.contains("the proxy is shutting down")
                || (kind.engine() != Engine::Postgres && !output.is_empty())
        });

        // A second signal ends the wait.
        let proxy = site.start(&mut site.command(&stack, &["--max-sigterm-delay", "5m"]));
        let _session = open(&stack, &site);
        proxy.signal(Signal::INT);
        wait_until("the rejection of new connections", || !site.login(kind, "app").ok);
        proxy.signal(Signal::INT);
        assert_eq!(proxy.end(), 130);
    }
}

#[test]
fn failed_connection_test_prevents_the_start() {
    let Some(kind) = postgres() else { return };
    let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
    site.write("countersign.toml", &stack.target("db", &["user = \"app\""]));
    let proxy: Proxy = site.start(&mut site.command(&stack, &["--run-connection-test"]));
    drop(proxy);
    let _revoked = stack.must(&["user", "revoke", "app"]);
    let output = run(&mut site.command(&stack, &["--run-connection-test"]));
    assert!(
        !output.ok
            && output.err.contains("PAM authentication failed")
            && output.err.contains("rds-db:connect"),
        "{output:?}"
    );
}

#[test]
fn systemd_socket_activation() {
    let Some(kind) = postgres() else { return };
    if Command::new("systemd-socket-activate").arg("--version").output().is_err() {
        eprintln!("skipped: systemd-socket-activate is not installed");
        return;
    }
    let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
    site.write(
        "countersign.toml",
        &stack.target("db", &["user = \"app\"", "listen = \"systemd:orders\""]),
    );
    let proxy = site.command(&stack, &[]);
    let mut activate = Command::new("systemd-socket-activate");
    activate.args(["--fdname=orders", &format!("--listen={}:5432", site.address())]);
    for (name, value) in proxy.get_envs() {
        // systemd-socket-activate does not pass on its environment.
        match value {
            Some(value) => activate.arg(format!("--setenv={}={}", name.display(), value.display())),
            None => activate.env_remove(name),
        };
    }
    activate.arg(proxy.get_program()).args(proxy.get_args()).current_dir(site.path(""));
    let proxy = site.spawn(&mut activate);
    // The first connection starts the proxy, and waits for it.
    wait_until("the socket of systemd-socket-activate", || proxy.log().contains("Listening on"));
    let output = site.login(kind, "app");
    assert_eq!(output.out, "app", "{output:?}");
    assert_eq!(site.login(kind, "app").out, "app");
    assert!(proxy.log().contains("ready"), "{}", proxy.log());
}

#[test]
fn health_is_not_served_by_default() {
    let Some(kind) = postgres() else { return };
    let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
    let _proxy = site.serve(&stack, &stack.target("db", &[]), &[]);
    assert!(std::net::TcpStream::connect((site.address(), HTTP_PORT)).is_err());
}
