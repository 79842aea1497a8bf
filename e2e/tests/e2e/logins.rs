//! Allowed and denied logins: the tables of `docs/postgresql.md` and `docs/mysql.md`, for each
//! server and authentication method.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::endpoint::Endpoint;
use countersign_core::name::Engine;
use countersign_e2e::{Stack, countersign, programs, run, token, ways_of};

fn each(test: impl Fn(&Stack)) {
    each_of(&[Engine::Postgres, Engine::Mariadb, Engine::Mysql], test);
}

fn each_of(engines: &[Engine], test: impl Fn(&Stack)) {
    for kind in ways_of(engines) {
        test(&Stack::up(kind, &[]));
    }
}

#[test]
fn valid_token_is_accepted_and_each_fault_is_denied_by_class() {
    each(|stack| {
        let (key, here) = (stack.credentials(&[]), stack.endpoint());
        let good = stack.token(&key, "app");
        let output = stack.login("app", &good);
        assert_eq!((output.out.as_str(), stack.last_class("app")), ("app", None), "{output:?}");

        let minutes = |count: u64| Duration::from_secs(60 * count);
        let at = |endpoint: &Endpoint, when| token(&key, endpoint, "app", when);
        let now = SystemTime::now();
        let elsewhere = Endpoint { port: here.port ^ 1, ..here.clone() };
        let other_host = Endpoint { host: "db.example.com".parse().unwrap(), ..here.clone() };
        let other_region = Endpoint { region: "eu-west-1".parse().unwrap(), ..here.clone() };
        let flipped = if good.ends_with('0') { "1" } else { "0" };
        for (password, class) in [
            (at(&here, now - minutes(16)), "expired"),
            (at(&here, now + minutes(6)), "not-yet-valid"),
            (at(&elsewhere, now), "wrong-port"),
            (at(&other_host, now), "wrong-host"),
            (at(&other_region, now), "wrong-region"),
            (token(&key, &here, "APP", now), "wrong-user"),
            (format!("{}{flipped}", &good[..good.len() - 1]), "signature-mismatch"),
            ("hunter2".to_owned(), "malformed"),
        ] {
            assert_eq!(stack.refused("app", &password).as_deref(), Some(class));
        }
        let unknown_key = good.replace(key.access_key_id.as_str(), "AKIAUNKNOWN");
        assert_eq!(stack.refused("app", &unknown_key).as_deref(), Some("unknown-key"));
        assert!(stack.login("app", &good).ok, "a token can be used repeatedly");
    });
}

#[test]
fn changes_of_policies_and_keys_apply_to_the_next_login() {
    each(|stack| {
        let _made = stack.must(&["user", "create", "jane", "--no-policy"]);
        let good = stack.token(&stack.credentials(&["--user", "jane"]), "jane");
        let class = || stack.refused("jane", &good);
        assert_eq!(class().as_deref(), Some("not-allowed"));
        let _granted = stack.must(&["user", "grant", "jane"]);
        assert!(stack.login("jane", &good).ok);
        let _disabled = stack.must(&["user", "disable-key", "jane"]);
        assert_eq!(class().as_deref(), Some("inactive-key"));
        let _enabled = stack.must(&["user", "enable-key", "jane"]);
        assert!(stack.login("jane", &good).ok);

        let statement = |effect: &str| {
            format!(r#"{{"Effect":"{effect}","Action":"rds-db:connect","Resource":"*"}}"#)
        };
        let document = format!(
            r#"{{"Version":"2012-10-17","Statement":[{},{}]}}"#,
            statement("Allow"),
            statement("Deny")
        );
        grant(stack, "jane", &document);
        assert_eq!(class().as_deref(), Some("explicitly-denied"));
        let _revoked = stack.must(&["user", "revoke", "jane"]);
        assert_eq!(class().as_deref(), Some("not-allowed"));
    });
}

fn grant(stack: &Stack, user: &str, document: &str) {
    let mut command = stack.local(&["user", "grant", user, "--policy-document", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(document.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn rds_iam_membership_requires_a_token_and_tls() {
    each_of(&[Engine::Postgres], |stack| {
        stack.sql("CREATE ROLE plain LOGIN PASSWORD 'hunter2'");
        stack.sql("CREATE ROLE twofold LOGIN PASSWORD 'hunter2' IN ROLE rds_iam");
        stack.sql(
            "CREATE ROLE grp NOLOGIN IN ROLE rds_iam; CREATE ROLE indirect LOGIN PASSWORD \
         'hunter2' IN ROLE grp",
        );
        stack.sql("CREATE ROLE shut NOLOGIN IN ROLE rds_iam");
        assert!(
            stack.login("plain", "hunter2").ok,
            "without rds_iam, PostgreSQL checks a \
         password"
        );
        let good = stack.token(&stack.credentials(&[]), "app");
        assert!(!stack.login("plain", &good).ok, "without rds_iam, a token is a wrong password");
        for user in ["twofold", "indirect"] {
            assert_eq!(stack.refused(user, "hunter2").as_deref(), Some("malformed"), "{user}");
        }
        // NOLOGIN is enforced by the server after IAM has allowed the login.
        let _made = stack.must(&["user", "create", "shutter", "--db-user", "shut"]);
        stack.sql("ALTER ROLE shut NOLOGIN");
        let superuser = run(&mut stack.local(&["user", "create", "postgres"]));
        assert!(
            superuser.status == Some(5) && superuser.err.contains("superuser"),
            "{superuser:?}"
        );
        let allowed = stack.token(&stack.credentials(&["--user", "shutter"]), "shut");
        let output = stack.login("shut", &allowed);
        assert!(
            output.err.contains("role \"shut\" is not permitted to log in")
                && stack.last_class("shut").is_none(),
            "{output:?}"
        );

        let before = stack.decisions("app").len();
        let without_tls = run(&mut stack.client_without_tls("app", &good, "select 1"));
        let output = without_tls.err;
        assert!(
            output.contains("pg_hba.conf rejects connection") && output.contains("no encryption"),
            "{output}"
        );
        assert_eq!(
            stack.decisions("app").len(),
            before,
            "the verifier is not consulted about a connection without TLS"
        );
    });
}

#[test]
fn temporary_credentials_of_users_and_roles_log_in() {
    each(|stack| {
        let temporary = stack.credentials(&["--temporary"]);
        assert!(temporary.session_token.is_some());
        assert!(stack.login("app", &stack.token(&temporary, "app")).ok);
        let other = Credentials { session_token: Secret::new("another's"), ..temporary.clone() };
        assert_eq!(
            stack.refused("app", &stack.token(&other, "app")).as_deref(),
            Some("session-token-wrong")
        );
        let bare = Credentials { session_token: None, ..temporary };
        assert_eq!(
            stack.refused("app", &stack.token(&bare, "app")).as_deref(),
            Some("session-token-missing")
        );

        let _made = stack.must(&["role", "create", "reporting"]);
        let assumed = stack.credentials(&["--role", "reporting"]);
        assert!(stack.login("reporting", &stack.token(&assumed, "reporting")).ok);
        let record = stack.decisions("reporting").pop().unwrap();
        assert_eq!(
            record["principal"],
            "arn:aws:sts::123456789012:assumed-role/reporting/countersign-local"
        );
        let _revoked = stack.must(&["role", "revoke", "reporting"]);
        assert_eq!(
            stack.refused("reporting", &stack.token(&assumed, "reporting")).as_deref(),
            Some("not-allowed")
        );
    });
}

#[test]
fn newest_postgresql_enforces_iam() {
    let installed = run(countersign().args(["local", "install", "--engine", "postgres:18"]));
    if !installed.ok {
        eprintln!("skipped: cannot install PostgreSQL 18: {}", installed.err);
        return;
    }
    for kind in ways_of(&[Engine::Postgres]) {
        let stack = Stack::up(kind, &["--engine", "postgres:18"]);
        let good = stack.token(&stack.credentials(&[]), "app");
        let output = run(&mut stack.client("app", &good, "show server_version_num"));
        assert!(output.out.starts_with("18"), "{output:?}");
        assert_eq!(stack.refused("app", "hunter2").as_deref(), Some("malformed"));
    }
}

#[test]
fn newest_mariadb_enforces_iam_and_reports_missing_tls() {
    // A separate directory, since the other tests use the system's MariaDB. The server's user needs
    // access to it.
    let servers = if rustix::process::geteuid().is_root() {
        "/var/cache/countersign/newest".into()
    } else {
        programs().join("newest")
    };
    let newest = |command: &mut Command| run(command.env("COUNTERSIGN_SERVERS_DIR", &servers));
    let installed = newest(countersign().args(["local", "install", "--engine", "mariadb:11.8"]));
    if !installed.ok {
        eprintln!("skipped: cannot install MariaDB 11.8: {}", installed.err);
        return;
    }
    let stack = NewestStack {
        directory: tempfile::Builder::new().prefix("countersign-").tempdir().unwrap(),
    };
    let local = |arguments: &[&str]| newest(stack.local().args(arguments));
    let up = local(&["up", "--engine", "mariadb:11.8", "--detach"]);
    assert!(up.ok, "{up:?}");
    let connect = |options: &str| {
        let url = format!("mariadb://app@$MYSQL_HOST:$MYSQL_TCP_PORT/app{options}");
        let (local, program) = (local(&["env"]).out, programs().join("countersign"));
        let script = format!(
            "{local}\n{} connect \"{url}\" -- -BNe 'SELECT CURRENT_USER(), LEFT(VERSION(), 4)'",
            program.display()
        );
        run(Command::new("sh").args(["-c", &script]))
    };
    let output = connect("");
    assert_eq!(output.out, "app@%\t11.8", "{output:?}");
    let without_tls = connect("?ssl-mode=DISABLED");
    assert!(
        without_tls.err.contains("ERROR 1045 (28000): Access denied for user 'app'@"),
        "{without_tls:?}"
    );
    let log = local(&["log"]).out;
    assert!(
        log.lines().last().is_some_and(|line| line.contains("no-tls: connection does not use TLS")),
        "{log}"
    );
}

/// Stack that is wiped on drop, even if the test fails.
struct NewestStack {
    directory: tempfile::TempDir,
}

impl NewestStack {
    fn local(&self) -> Command {
        let mut command = countersign();
        command.arg("local").arg("--dir").arg(self.directory.path());
        command
    }
}

impl Drop for NewestStack {
    fn drop(&mut self) {
        let down = run(self.local().args(["down", "--wipe"]));
        assert!(down.ok || std::thread::panicking(), "{down:?}");
    }
}
