//! Logins through the proxy: allowed clients, database users, and errors of denied clients.

use std::process::Command;

use countersign_core::name::Engine;
use countersign_e2e::{ProxyFixture, ServerKind, Stack, postgres, run, ways};

fn each(test: impl Fn(&Stack, &ProxyFixture)) {
    for kind in ways() {
        test(&Stack::up(kind, &[]), &ProxyFixture::default());
    }
}

#[test]
fn client_needs_no_password_and_no_token() {
    each(|stack, site| {
        let kind = stack.kind();
        let _proxy = site.start(&mut site.command(stack, &[&stack.url("app")]));
        // The user of the target overrides the client's.
        for user in ["app", "other"] {
            let output = site.login(kind, user);
            assert_eq!(output.out, "app", "{output:?}");
        }
        assert_eq!(stack.last_class("app"), None);
    });
}

#[test]
fn target_without_a_user_uses_the_client_s() {
    each(|stack, site| {
        let kind = stack.kind();
        let _made = stack.must(&["user", "create", "jane"]);
        // The proxy's credentials are of one IAM user, who may log in as both.
        let statement = r#"{"Version":"2012-10-17","Statement":[
            {"Effect":"Allow","Action":"rds-db:connect","Resource":"*"}]}"#;
        let policy = site.write("policy.json", statement);
        let _granted = stack.must(&[
            "user",
            "grant",
            "app",
            "--policy-document",
            &policy.display().to_string(),
        ]);
        let _proxy = site.start(&mut site.command(stack, &[&stack.url("")]));
        for user in ["app", "jane"] {
            let output = site.login(kind, user);
            assert_eq!(output.out, user, "{output:?}");
        }
        let output = site.login(kind, "zoe");
        assert!(!output.ok && output.err.contains("zoe"), "{output:?}");
    });
}

#[test]
fn clients_connect_by_unix_socket() {
    each(|stack, site| {
        let kind = stack.kind();
        let directory = site.path("sockets");
        std::fs::create_dir(&directory).unwrap();
        let _proxy = site.start(&mut site.command(
            stack,
            &["--unix-socket", &directory.display().to_string(), &named(stack, "db")],
        ));
        let output = match kind.engine() {
            Engine::Postgres => {
                let socket = directory.join("db").display().to_string();
                run(site
                    .client(kind, "app", "SELECT current_user")
                    .env("PGHOST", socket)
                    .env("PGPORT", "5432"))
            }
            Engine::Mariadb | Engine::Mysql => {
                let socket = format!("--socket={}", directory.join("db").display());
                let mut client = site.client(kind, "app", "SELECT LEFT(CURRENT_USER(), 3)");
                run(client.args(["--host=localhost", "--protocol=SOCKET", &socket]))
            }
        };
        assert_eq!(output.out, "app", "{output:?}");
    });
}

fn named(stack: &Stack, name: &str) -> String {
    format!("{}&name={name}", stack.url("app"))
}

#[test]
fn denial_has_the_server_s_error_and_an_explanation() {
    each(|stack, site| {
        let kind = stack.kind();
        let _proxy = site.start(&mut site.command(stack, &["--lazy-refresh", &stack.url("app")]));
        assert!(site.login(kind, "app").ok);
        let _revoked = stack.must(&["user", "revoke", "app"]);
        let output = site.login(kind, "app");
        assert!(!output.ok, "{output:?}");
        // The error of the server mentions a password: it means the proxy's token.
        assert!(output.err.contains(&kind.denial("app")), "{output:?}");
        assert_explained(kind, &output.err, "app");
        let _granted = stack.must(&["user", "grant", "app"]);
        assert!(site.login(kind, "app").ok, "the denial is not cached");
    });
}

/// Asserts that the error states the proxy's token, and what to check.
fn assert_explained(kind: ServerKind, output: &str, user: &str) {
    let words = ["rejected a token for", "check, in this order", "rds-db:connect"];
    assert!(words.iter().all(|words| output.contains(words)), "{output}");
    assert!(!output.contains("X-Amz-"), "{output}");
    let account = match kind.engine() {
        Engine::Postgres => format!("GRANT rds_iam TO {user}"),
        Engine::Mariadb | Engine::Mysql => {
            "IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'".to_owned()
        }
    };
    assert!(output.contains(&account), "{output}");
    if kind.engine() == Engine::Postgres {
        assert!(output.contains("\nDETAIL:  ") && output.contains("\nHINT:  "), "{output}");
    }
}

#[test]
fn account_without_iam_receives_an_explanation() {
    each(|stack, site| {
        let kind = stack.kind();
        let (sql, words) = match kind {
            ServerKind::Pam | ServerKind::Ldap => (
                "CREATE ROLE plain LOGIN PASSWORD 'hunter2'",
                ["FATAL:  server rejected the login", "GRANT rds_iam TO"],
            ),
            ServerKind::Mariadb | ServerKind::Mysql => (
                "CREATE USER plain@'%' IDENTIFIED BY 'hunter2'",
                [
                    "ERROR 1045 (28000): server rejected the login",
                    "IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'",
                ],
            ),
        };
        stack.sql(sql);
        let _proxy = site.start(&mut site.command(stack, &["--health-check", &stack.url("")]));
        // The server requests a proof of a password, which the proxy does not have.
        for _ in 0..4 {
            let output = site.login(kind, "plain");
            assert!(
                !output.ok && words.iter().all(|words| output.err.contains(words)),
                "{output:?}"
            );
        }
        // The failure concerns the client and does not make the target unhealthy.
        assert_eq!(site.get("/readiness").0, 200);
        assert!(site.login(kind, "app").ok);
    });
}

#[test]
fn server_errors_are_forwarded_unchanged() {
    each(|stack, site| {
        let kind = stack.kind();
        let _proxy = site.start(&mut site.command(stack, &[&stack.url("app")]));
        let direct = stack.token(&stack.credentials(&[]), "app");
        for sql in ["SELECT nothing", "SELECT 1 FROM app.nowhere", "SELECT 'half"] {
            let (through, without) = (
                run(&mut site.client(kind, "app", sql)),
                run(&mut stack.client("app", &direct, sql)),
            );
            assert!(!through.ok, "{through:?}");
            assert_eq!(through, without);
        }
        let database = "no_such_database";
        let (mut client, words) = (site.client(kind, "app", "SELECT 1"), database);
        let output = match kind.engine() {
            Engine::Postgres => run(client.env("PGDATABASE", database)),
            Engine::Mariadb | Engine::Mysql => run(client.arg(format!("--database={database}"))),
        };
        assert!(
            !output.ok
                && output.err.contains(words)
                && !output.err.contains("check, in this order"),
            "{output:?}"
        );
    });
}

#[test]
fn connection_failures_are_reported_to_the_client() {
    each(|stack, site| {
        let kind = stack.kind();
        let other_ca = rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap().cert.pem();
        let other_ca = site.write("other.pem", &other_ca).display().to_string();
        let env = stack.env(&[]);
        let [host, port, _] = kind.variables().map(|name| &env[name]);
        let scheme = kind.engine().as_str();
        let unreachable = format!("{}:9", site.address());
        for (url, words) in [
            (format!("{scheme}://app@{unreachable}"), &*unreachable),
            (
                format!("{scheme}://app@{host}:{port}?sslrootcert={other_ca}"),
                "none of the root certificates signed the server's",
            ),
            (format!("{scheme}://app@nowhere.invalid:1"), "nowhere.invalid"),
        ] {
            let proxy = site.start(&mut site.command(stack, &[&url]));
            let output = site.login(kind, "app");
            assert!(!output.ok && output.err.contains(words), "{url}: {output:?}");
            drop(proxy);
        }
        assert!(stack.decisions("app").is_empty(), "no token was sent");
    });
}

#[test]
fn denial_has_the_server_s_sqlstate() {
    let Some(kind) = postgres() else { return };
    let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
    let _revoked = stack.must(&["user", "revoke", "app"]);
    let _proxy = site.start(&mut site.command(&stack, &[&stack.url("app")]));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let refused = runtime.block_on(async {
        let config = format!("host={} user=app dbname=postgres", site.address());
        tokio_postgres::connect(&config, tokio_postgres::NoTls)
            .await
            .err()
            .expect("the login is refused")
    });
    let refused = refused.as_db_error().expect("the server's error");
    assert_eq!(refused.code().code(), "28000");
    assert_eq!(refused.severity(), "FATAL");
    assert!(
        refused.detail().is_some_and(|detail| detail.contains("rejected a token for app")),
        "{refused:?}"
    );
    assert!(refused.hint().is_some_and(|hint| hint.contains("rds-db:connect")), "{refused:?}");
}

#[test]
fn invalid_targets_are_rejected_at_start() {
    let site = ProxyFixture::default();
    let refused = |command: &mut Command| {
        let output = run(command);
        assert!(!output.ok, "{output:?}");
        output.err
    };
    assert!(refused(&mut site.bare(&[])).contains("no target is given"));
    let output = refused(&mut site.bare(&["postgres://app:hunter2@localhost/x"]));
    assert!(output.contains("contains a password") && !output.contains("hunter2"), "{output}");
    let output = refused(&mut site.bare(&["postgres://app@localhost?sslmode=disable"]));
    assert!(output.contains("tokens would be sent in clear text"), "{output}");
    let output = refused(&mut site.bare(&["postgres://app@localhost?address=0.0.0.0"]));
    assert!(output.contains("without a password"), "{output}");
}
