//! Logins through the proxy: allowed clients, database users, and errors of denied clients.

use std::process::Command;

use countersign_core::name::Engine;
use countersign_e2e::{ProxyFixture, ServerKind, Stack, postgres, run, ways};

fn each(test: impl Fn(&Stack, &ProxyFixture)) {
    for way in ways() {
        test(&Stack::up(way, &[]), &ProxyFixture::default());
    }
}

#[test]
fn client_needs_no_password_and_no_token() {
    each(|stack, site| {
        let way = stack.kind();
        let _proxy = site.start(&mut site.command(stack, &[&stack.url("app")]));
        // The user of the target overrides the client's.
        for user in ["app", "other"] {
            let said = site.login(way, user);
            assert_eq!(said.out, "app", "{said:?}");
        }
        assert_eq!(stack.last_class("app"), None);
    });
}

#[test]
fn target_without_a_user_uses_the_client_s() {
    each(|stack, site| {
        let way = stack.kind();
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
            let said = site.login(way, user);
            assert_eq!(said.out, user, "{said:?}");
        }
        let said = site.login(way, "zoe");
        assert!(!said.ok && said.err.contains("zoe"), "{said:?}");
    });
}

#[test]
fn clients_connect_by_unix_socket() {
    each(|stack, site| {
        let way = stack.kind();
        let directory = site.path("sockets");
        std::fs::create_dir(&directory).unwrap();
        let _proxy = site.start(&mut site.command(
            stack,
            &["--unix-socket", &directory.display().to_string(), &named(stack, "db")],
        ));
        let said = match way.engine() {
            Engine::Postgres => {
                let socket = directory.join("db").display().to_string();
                run(site
                    .client(way, "app", "SELECT current_user")
                    .env("PGHOST", socket)
                    .env("PGPORT", "5432"))
            }
            Engine::Mariadb | Engine::Mysql => {
                let socket = format!("--socket={}", directory.join("db").display());
                let mut client = site.client(way, "app", "SELECT LEFT(CURRENT_USER(), 3)");
                run(client.args(["--host=localhost", "--protocol=SOCKET", &socket]))
            }
        };
        assert_eq!(said.out, "app", "{said:?}");
    });
}

fn named(stack: &Stack, name: &str) -> String {
    format!("{}&name={name}", stack.url("app"))
}

#[test]
fn denial_has_the_server_s_error_and_an_explanation() {
    each(|stack, site| {
        let way = stack.kind();
        let _proxy = site.start(&mut site.command(stack, &["--lazy-refresh", &stack.url("app")]));
        assert!(site.login(way, "app").ok);
        let _revoked = stack.must(&["user", "revoke", "app"]);
        let said = site.login(way, "app");
        assert!(!said.ok, "{said:?}");
        // The error of the server mentions a password: it means the proxy's token.
        assert!(said.err.contains(&way.denial("app")), "{said:?}");
        assert_explained(way, &said.err, "app");
        let _granted = stack.must(&["user", "grant", "app"]);
        assert!(site.login(way, "app").ok, "the denial is not cached");
    });
}

/// Asserts that the error states the proxy's token, and what to check.
fn assert_explained(way: ServerKind, said: &str, user: &str) {
    let words = ["rejected a token for", "check, in this order", "rds-db:connect"];
    assert!(words.iter().all(|words| said.contains(words)), "{said}");
    assert!(!said.contains("X-Amz-"), "{said}");
    let account = match way.engine() {
        Engine::Postgres => format!("GRANT rds_iam TO {user}"),
        Engine::Mariadb | Engine::Mysql => {
            "IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'".to_owned()
        }
    };
    assert!(said.contains(&account), "{said}");
    if way.engine() == Engine::Postgres {
        assert!(said.contains("\nDETAIL:  ") && said.contains("\nHINT:  "), "{said}");
    }
}

#[test]
fn account_without_iam_receives_an_explanation() {
    each(|stack, site| {
        let way = stack.kind();
        let (sql, words) = match way {
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
            let said = site.login(way, "plain");
            assert!(!said.ok && words.iter().all(|words| said.err.contains(words)), "{said:?}");
        }
        // The failure concerns the client and does not make the target unhealthy.
        assert_eq!(site.get("/readiness").0, 200);
        assert!(site.login(way, "app").ok);
    });
}

#[test]
fn server_errors_are_forwarded_unchanged() {
    each(|stack, site| {
        let way = stack.kind();
        let _proxy = site.start(&mut site.command(stack, &[&stack.url("app")]));
        let direct = stack.token(&stack.credentials(&[]), "app");
        for sql in ["SELECT nothing", "SELECT 1 FROM app.nowhere", "SELECT 'half"] {
            let (through, without) = (
                run(&mut site.client(way, "app", sql)),
                run(&mut stack.client("app", &direct, sql)),
            );
            assert!(!through.ok, "{through:?}");
            assert_eq!(through, without);
        }
        let database = "no_such_database";
        let (mut client, words) = (site.client(way, "app", "SELECT 1"), database);
        let said = match way.engine() {
            Engine::Postgres => run(client.env("PGDATABASE", database)),
            Engine::Mariadb | Engine::Mysql => run(client.arg(format!("--database={database}"))),
        };
        assert!(
            !said.ok && said.err.contains(words) && !said.err.contains("check, in this order"),
            "{said:?}"
        );
    });
}

#[test]
fn connection_failures_are_reported_to_the_client() {
    each(|stack, site| {
        let way = stack.kind();
        let other_ca = rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap().cert.pem();
        let other_ca = site.write("other.pem", &other_ca).display().to_string();
        let env = stack.env(&[]);
        let [host, port, _] = way.variables().map(|name| &env[name]);
        let scheme = way.engine().as_str();
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
            let said = site.login(way, "app");
            assert!(!said.ok && said.err.contains(words), "{url}: {said:?}");
            drop(proxy);
        }
        assert!(stack.decisions("app").is_empty(), "no token was sent");
    });
}

#[test]
fn denial_has_the_server_s_sqlstate() {
    let Some(way) = postgres() else { return };
    let (stack, site) = (Stack::up(way, &[]), ProxyFixture::default());
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
        let said = run(command);
        assert!(!said.ok, "{said:?}");
        said.err
    };
    assert!(refused(&mut site.bare(&[])).contains("no target is given"));
    let said = refused(&mut site.bare(&["postgres://app:hunter2@localhost/x"]));
    assert!(said.contains("contains a password") && !said.contains("hunter2"), "{said}");
    let said = refused(&mut site.bare(&["postgres://app@localhost?sslmode=disable"]));
    assert!(said.contains("tokens would be sent in clear text"), "{said}");
    let said = refused(&mut site.bare(&["postgres://app@localhost?address=0.0.0.0"]));
    assert!(said.contains("without a password"), "{said}");
}
