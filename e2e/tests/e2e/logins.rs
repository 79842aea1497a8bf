//! Who gets in and who does not: the table of `docs/postgresql.md`, on each way of asking.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::endpoint::Endpoint;
use countersign_e2e::{Stack, authentications, token};

fn each(test: impl Fn(&Stack, &str)) {
    for way in authentications() {
        test(&Stack::up(way), &way.to_uppercase());
    }
}

/// Tries a login that must fail as the server says it, and gives the authority's class.
fn refused(stack: &Stack, way: &str, user: &str, password: &str) -> Option<String> {
    let said = stack.psql(user, password, "select 1");
    assert!(!said.ok, "{user} was let in: {said:?}");
    assert!(said.err.contains(&format!("FATAL:  {way} authentication failed for user \"{user}\"")), "{said:?}");
    stack.last_class(user)
}

#[test]
fn a_token_opens_the_database_and_each_fault_keeps_it_shut() {
    each(|stack, way| {
        let (key, here) = (stack.credentials(&[]), stack.endpoint());
        let good = stack.token(&key, "app");
        let said = stack.psql("app", &good, "select current_user, ssl from pg_stat_ssl where pid = pg_backend_pid()");
        assert_eq!((said.out.as_str(), stack.last_class("app")), ("app|t", None), "{said:?}");

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
            assert_eq!(refused(stack, way, "app", &password).as_deref(), Some(class));
        }
        let nobody_s = good.replace(key.access_key_id.as_str(), "AKIANOBODY");
        assert_eq!(refused(stack, way, "app", &nobody_s).as_deref(), Some("unknown-key"));
        assert!(stack.psql("app", &good, "select 1").ok, "a token is good more than once");
    });
}

#[test]
fn policies_and_keys_take_effect_with_the_next_login() {
    each(|stack, way| {
        let _made = stack.must(&["user", "create", "jane", "--no-policy"]);
        let good = stack.token(&stack.credentials(&["--user", "jane"]), "jane");
        let class = || refused(stack, way, "jane", &good);
        assert_eq!(class().as_deref(), Some("not-allowed"));
        let _granted = stack.must(&["user", "grant", "jane"]);
        assert!(stack.psql("jane", &good, "select 1").ok);
        let _disabled = stack.must(&["user", "disable-key", "jane"]);
        assert_eq!(class().as_deref(), Some("inactive-key"));
        let _enabled = stack.must(&["user", "enable-key", "jane"]);
        assert!(stack.psql("jane", &good, "select 1").ok);

        let statement = |effect: &str| format!(r#"{{"Effect":"{effect}","Action":"rds-db:connect","Resource":"*"}}"#);
        let document = format!(r#"{{"Version":"2012-10-17","Statement":[{},{}]}}"#, statement("Allow"), statement("Deny"));
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
fn rds_iam_decides_over_passwords_and_tls() {
    each(|stack, way| {
        stack.sql("CREATE ROLE plain LOGIN PASSWORD 'hunter2'");
        stack.sql("CREATE ROLE twofold LOGIN PASSWORD 'hunter2' IN ROLE rds_iam");
        stack.sql("CREATE ROLE grp NOLOGIN IN ROLE rds_iam; CREATE ROLE indirect LOGIN PASSWORD 'hunter2' IN ROLE grp");
        stack.sql("CREATE ROLE shut NOLOGIN IN ROLE rds_iam");
        assert!(stack.psql("plain", "hunter2", "select 1").ok, "without rds_iam a password does");
        let good = stack.token(&stack.credentials(&[]), "app");
        assert!(!stack.psql("plain", &good, "select 1").ok, "without rds_iam a token is only a wrong password");
        for user in ["twofold", "indirect"] {
            assert_eq!(refused(stack, way, user, "hunter2").as_deref(), Some("malformed"), "{user}");
        }
        // NOLOGIN is the database's own affair: IAM says yes, the server no.
        let _made = stack.must(&["user", "create", "shutter", "--db-user", "shut"]);
        stack.sql("ALTER ROLE shut NOLOGIN");
        let superuser = countersign_e2e::run(&mut stack.local(&["user", "create", "postgres"]));
        assert!(superuser.status == Some(5) && superuser.err.contains("superuser"), "{superuser:?}");
        let allowed = stack.token(&stack.credentials(&["--user", "shutter"]), "shut");
        let said = stack.psql("shut", &allowed, "select 1");
        assert!(said.err.contains("role \"shut\" is not permitted to log in") && stack.last_class("shut").is_none(), "{said:?}");

        let before = stack.decisions("app").len();
        let said = run_without_tls(stack, "app", &good);
        assert!(said.contains("pg_hba.conf rejects connection") && said.contains("no encryption"), "{said}");
        assert_eq!(stack.decisions("app").len(), before, "nobody is asked about a connection without TLS");
    });
}

fn run_without_tls(stack: &Stack, user: &str, password: &str) -> String {
    let mut psql: Command = stack.psql_command(user, password, "select 1");
    let said = countersign_e2e::run(psql.env("PGSSLMODE", "disable"));
    assert!(!said.ok, "{said:?}");
    said.err
}

#[test]
fn sessions_of_users_and_roles_log_in() {
    each(|stack, way| {
        let temporary = stack.credentials(&["--temporary"]);
        assert!(temporary.session_token.is_some());
        assert!(stack.psql("app", &stack.token(&temporary, "app"), "select 1").ok);
        let other = Credentials { session_token: Secret::new("another's"), ..temporary.clone() };
        assert_eq!(refused(stack, way, "app", &stack.token(&other, "app")).as_deref(), Some("session-token-wrong"));
        let bare = Credentials { session_token: None, ..temporary };
        assert_eq!(refused(stack, way, "app", &stack.token(&bare, "app")).as_deref(), Some("session-token-missing"));

        let _made = stack.must(&["role", "create", "reporting"]);
        let assumed = stack.credentials(&["--role", "reporting"]);
        assert!(stack.psql("reporting", &stack.token(&assumed, "reporting"), "select 1").ok);
        let record = stack.decisions("reporting").pop().unwrap();
        assert_eq!(record["principal"], "arn:aws:sts::123456789012:assumed-role/reporting/countersign-local");
        let _revoked = stack.must(&["role", "revoke", "reporting"]);
        assert_eq!(refused(stack, way, "reporting", &stack.token(&assumed, "reporting")).as_deref(), Some("not-allowed"));
    });
}

#[test]
fn the_newest_postgresql_enforces_it_too() {
    let installed = countersign_e2e::run(countersign_e2e::countersign().args(["local", "install", "--engine", "postgres:18"]));
    if !installed.ok {
        eprintln!("skipped: PostgreSQL 18 can't be had here: {}", installed.err);
        return;
    }
    for way in authentications() {
        let stack = Stack::with(&["--authentication", way, "--engine", "postgres:18"]);
        let good = stack.token(&stack.credentials(&[]), "app");
        let said = stack.psql("app", &good, "show server_version_num");
        assert!(said.out.starts_with("18"), "{said:?}");
        assert_eq!(refused(&stack, &way.to_uppercase(), "app", "hunter2").as_deref(), Some("malformed"));
    }
}
