//! Features of MySQL's protocol through the proxy.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;

use countersign_core::name::Engine;
use countersign_e2e::{
    ClientSession, CommandOutput, ProxyFixture, ServerKind, Stack, run, wait_until, ways_of,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::access::certificate;
use crate::raw::{EXECUTE, PING, PREPARE, QUERY, RESET, Raw};

const ENGINES: [Engine; 2] = [Engine::Mariadb, Engine::Mysql];

/// Runs a test with a stack of each engine and a proxy for its user `app`.
fn each(test: impl Fn(&Stack, &ProxyFixture)) {
    for kind in ways_of(&ENGINES) {
        let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
        let _proxy = site.serve(&stack, &stack.target("db", &["user = \"app\""]), &[]);
        test(&stack, &site);
    }
}

fn with(site: &ProxyFixture, kind: ServerKind, options: &[&str], sql: &str) -> CommandOutput {
    run(site.client(kind, "app", sql).args(options))
}

/// Returns the installed clients that can log in to this server.
fn clients(kind: ServerKind) -> Vec<ServerKind> {
    let mut clients = ways_of(&ENGINES);
    // MySQL has removed the default plugin of Debian 12's MariaDB client, but not the plugin that
    // the client is switched to.
    clients.retain(|client| *client == ServerKind::Mariadb || *client == ServerKind::Mysql);
    clients.sort_by_key(|client| *client != kind);
    clients
}

#[test]
fn local_infile_is_loaded() {
    each(|stack, site| {
        stack.sql("SET GLOBAL local_infile = ON");
        let mut lines = String::new();
        for number in 0..100_000_u32 {
            writeln!(lines, "{number}\t{}", "y".repeat(usize::try_from(number % 90).unwrap()))
                .unwrap();
        }
        let file = site.write("loaded", &lines);
        let _empty = site.write("empty", "");
        let load = |path: &std::path::Path| {
            format!("LOAD DATA LOCAL INFILE '{}' INTO TABLE loaded", path.display())
        };
        for client in clients(stack.kind()) {
            let mut session = site.session(client, "app");
            let port = format!("--port={}", stack.kind().engine().default_port());
            let mut session =
                ClientSession::open(client, session.args(["--local-infile=1", &port]));
            session.tell("DROP TABLE IF EXISTS loaded");
            session.tell("CREATE TABLE loaded (number INT, text TEXT)");
            session.tell(&load(&file));
            assert_eq!(
                session.ask("SELECT COUNT(*), SUM(number) FROM loaded"),
                "100000\t4999950000",
                "{}",
                session.complaints()
            );
            session.tell(&load(&site.path("empty")));
            session.tell(&load(&site.path("missing")));
            assert_eq!(session.ask("SELECT COUNT(*) FROM loaded"), "100000");
            assert!(session.complaints().contains("missing"), "{}", session.complaints());
            session.close();
        }
    });
}

#[test]
fn multiple_statements_in_one_query() {
    each(|stack, site| {
        for client in clients(stack.kind()) {
            let port = format!("--port={}", stack.kind().engine().default_port());
            let output = with(
                site,
                client,
                &["--delimiter=//", &port],
                "SELECT 1; SELECT 2, 3; DO 0; SELECT 'four'//",
            );
            assert_eq!(output.out, "1\n2\t3\nfour", "{output:?}");
            let output = with(
                site,
                client,
                &["--delimiter=//", &port],
                "SELECT 1; SELECT nothing; SELECT 3//",
            );
            assert!(output.out == "1" && output.err.contains("ERROR 1054 (42S22)"), "{output:?}");
        }
    });
}

#[test]
fn compressed_protocol() {
    each(|stack, site| {
        let port = format!("--port={}", stack.kind().engine().default_port());
        let sql = "SHOW SESSION STATUS LIKE 'Compression'; SELECT LENGTH(REPEAT('x', 1000000)); \
         SELECT REPEAT('xyz', 1000000)";
        let xyz = "xyz".repeat(1_000_000);
        for client in clients(stack.kind()) {
            let algorithms: &[&str] = match (client, stack.kind()) {
                (ServerKind::Mysql, ServerKind::Mysql) => {
                    &["--compression-algorithms=zlib", "--compression-algorithms=zstd"]
                }
                (ServerKind::Mysql, _) => &["--compression-algorithms=zlib"],
                _ => &["--compress"],
            };
            for algorithm in algorithms {
                let output = with(site, client, &[algorithm, &port], sql);
                let lines: Vec<&str> = output.out.lines().collect();
                assert!(
                    lines[..2] == ["Compression\tON", "1000000"] && lines[2] == xyz,
                    "{client:?} {algorithm}: {}",
                    output.err
                );
                // A statement that is long enough to be compressed.
                let output = with(
                    site,
                    client,
                    &[algorithm, &port],
                    &format!("SELECT LENGTH('{}')", "z".repeat(100_000)),
                );
                assert_eq!(output.out, "100000", "{output:?}");
            }
        }
    });
}

#[test]
fn ctrl_c_kills_only_the_client_s_statement() {
    each(|stack, site| {
        let running = |mark: &str| {
            stack.sql(&format!(
                "SELECT COUNT(*) FROM information_schema.processlist WHERE info \
             LIKE 'SELECT SLEEP(%/*{mark}*/'"
            ))
        };
        for client in clients(stack.kind()) {
            let port = format!("--port={}", stack.kind().engine().default_port());
            let start = |mark: &str| {
                let mut command =
                    site.client(client, "app", &format!("SELECT SLEEP(600) /*{mark}*/"));
                command
                    .args([&port, "--comments"])
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            };
            let (mut other, mine) = (start("other"), start("mine"));
            wait_until("the statements", || running("mine") == "1" && running("other") == "1");
            kill_process(Pid::from_raw(i32::try_from(mine.id()).unwrap()).unwrap(), Signal::INT)
                .unwrap();
            wait_until("the end of the statement", || running("mine") == "0");
            let output = CommandOutput::from(mine.wait_with_output().unwrap());
            // MySQL interrupts SLEEP with 1, MariaDB with an error.
            assert!(output.out.ends_with('1') || output.err.contains("1317"), "{output:?}");
            assert_eq!(running("other"), "1");
            other.kill().unwrap();
            other.wait().unwrap();
            // MariaDB does not notice within SLEEP that its client has gone.
            let left = "SELECT GROUP_CONCAT(id) FROM information_schema.processlist WHERE info \
             LIKE 'SELECT SLEEP(%/*other*/'";
            let left = stack.sql(left);
            if left != "NULL" {
                stack.sql(&format!("KILL {left}"));
            }
            wait_until("the end of the other statement", || running("other") == "0");
        }
    });
}

#[test]
fn prepared_statements_of_the_binary_protocol() {
    each(|stack, site| {
        let mut raw = raw(stack, site, "app");
        // A statement with one parameter; the response contains its id.
        let prepared = raw.command(PREPARE, b"SELECT CAST(? AS SIGNED)");
        assert_eq!(prepared[0], 0, "{}", String::from_utf8_lossy(&prepared));
        // Definitions of a parameter and a column, each followed by an EOF packet.
        let _definitions: Vec<Vec<u8>> = (0..4).map(|_| raw.read()).collect();
        for number in [21_u8, 100] {
            // No cursor, one iteration, no NULL, types follow, LONGLONG.
            let body = [&prepared[1..5], &[0, 1, 0, 0, 0, 0, 1, 8, 0, number, 0, 0, 0, 0, 0, 0, 0]]
                .concat();
            assert_eq!(raw.command(EXECUTE, &body), [1]);
            let (_definition, _end, row) = (raw.read(), raw.read(), raw.read());
            assert_eq!(row[2..4], u16::from(number).to_le_bytes(), "{row:?}");
            let _end = raw.read();
        }
        assert_eq!(raw.command(PING, b"")[0], 0);
        let output = with(
            site,
            stack.kind(),
            &[],
            "PREPARE twice FROM 'SELECT ? * 2'; SET @n = 21; EXECUTE twice USING @n",
        );
        assert_eq!(output.out, "42", "{output:?}");
    });
}

fn raw(stack: &Stack, site: &ProxyFixture, user: &str) -> Raw {
    Raw::login(
        SocketAddr::from((site.address(), stack.kind().engine().default_port())),
        user,
        "app",
    )
}

#[test]
fn change_user_switches_the_user_of_the_session() {
    for kind in ways_of(&ENGINES) {
        let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
        let _made = stack.must(&["user", "create", "jane"]);
        stack.sql("CREATE DATABASE other; GRANT ALL ON other.* TO jane@'%'");
        let statement = r#"{"Version":"2012-10-17","Statement":[
            {"Effect":"Allow","Action":"rds-db:connect","Resource":"*"}]}"#;
        let policy = site.write("policy.json", statement).display().to_string();
        let _granted = stack.must(&["user", "grant", "app", "--policy-document", &policy]);
        let _proxy = site.serve(&stack, &stack.target("db", &["pool = { reuse = true }"]), &[]);
        let mut raw = raw(&stack, &site, "app");
        let (number, user) =
            (raw.value("SELECT CONNECTION_ID()"), raw.value("SELECT CURRENT_USER()"));
        assert_eq!(user, "app@%");
        assert_eq!(raw.command(QUERY, b"SET @mine = 'secret'")[0], 0);
        let changed = raw.change_user("jane", "other");
        assert_eq!(changed[0], 0, "{}", String::from_utf8_lossy(&changed));
        assert_eq!(raw.value("SELECT CURRENT_USER()"), "jane@%");
        assert_eq!(raw.value("SELECT DATABASE()"), "other");
        assert_eq!(raw.value("SELECT @mine IS NULL"), "1");
        assert_eq!(raw.value("SELECT CONNECTION_ID()"), number, "the session was replaced");
        // Changes back, and then to an unknown user.
        assert_eq!(raw.change_user("app", "app")[0], 0);
        assert_eq!(raw.value("SELECT CURRENT_USER()"), "app@%");
        assert_eq!(raw.command(RESET, b"")[0], 0);
        let refused = String::from_utf8_lossy(&raw.change_user("zoe", "app")).into_owned();
        // MySQL does not reveal that the user is unknown: it requests a password.
        assert!(refused.contains("#28000") && refused.contains("zoe"), "{refused}");
    }
}

#[test]
fn packets_of_more_than_16_mib() {
    each(|stack, site| {
        stack.sql("SET GLOBAL max_allowed_packet = 67108864");
        let kind = stack.kind();
        let big = ["--max-allowed-packet=67108864"];
        let length = (1 << 24) + 17;
        let output = with(site, kind, &big, &format!("SELECT REPEAT('x', {length})"));
        assert!(
            output.ok && output.out.len() == length,
            "{} bytes: {}",
            output.out.len(),
            output.err
        );
        let mut session = site.session(kind, "app");
        let mut session = ClientSession::open(kind, session.args(big));
        assert_eq!(
            session.ask(&format!("SELECT LENGTH('{}')", "z".repeat(length))),
            length.to_string()
        );
        // A payload of exactly the maximum length of a packet is followed by an empty packet.
        let exactly = (1 << 24) - 1 - 1 - "SELECT LENGTH('')".len();
        assert_eq!(
            session.ask(&format!("SELECT LENGTH('{}')", "z".repeat(exactly))),
            exactly.to_string()
        );
        assert_eq!(session.ask("SELECT 'still here'"), "still here");
        session.close();
    });
}

#[test]
fn ssl_request_and_client_hello_in_one_segment() {
    for kind in ways_of(&[Engine::Mariadb, Engine::Mysql]) {
        let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
        let certificate = certificate(&site, "proxy.test");
        let lines = [
            "user = \"app\"",
            "client-tls = { certificate = \"proxy.pem\", key = \"proxy.key\", required = true }",
        ];
        let _proxy = site.serve(&stack, &stack.target("db", &lines), &[]);
        let address = SocketAddr::from((site.address(), kind.engine().default_port()));
        let mut raw = Raw::login_in_tls(address, certificate, "app", "app");
        assert_eq!(raw.value("SELECT 17"), "17");
    }
}
