//! Unmodified clients of the vendors.

use std::process::Command;

use countersign_core::name::Engine;
use countersign_e2e::{Stack, countersign, mysql_client, programs, run, ways, ways_of};

/// Returns the aws CLI that `cargo xtask test` installs, or else the one on the PATH.
fn aws() -> Option<Command> {
    let installed = programs().join("../tools/aws/bin/aws");
    let candidates = [installed.into_os_string(), "aws".into()];
    candidates
        .into_iter()
        .find(|program| {
            Command::new(program)
                .arg("--version")
                .output()
                .is_ok_and(|output| output.status.success())
        })
        .map(Command::new)
}

#[test]
fn aws_cli_token_is_accepted_and_identical_to_ours() {
    let stack = Stack::up(ways()[0], &[]);
    let Some(mut aws) = aws() else {
        eprintln!("skipped: the aws CLI is not installed");
        return;
    };
    let env = stack.env(&["--temporary"]);
    let arguments = ["--hostname", &env["PGHOST"], "--port", &env["PGPORT"], "--username", "app"];
    // Retries until both tokens are signed in the same second.
    let equal = (0..5).any(|_| {
        let theirs = run(aws.args(["rds", "generate-db-auth-token"]).args(arguments).envs(&env));
        assert!(stack.login("app", &theirs.out).ok, "{theirs:?}");
        let second =
            |token: &str| token.split_once("X-Amz-Date=").map(|(_, rest)| rest[..16].to_owned());
        let ours = run(countersign().arg("token").args(arguments).envs(&env));
        assert!(ours.ok, "{ours:?}");
        second(&ours.out) != second(&theirs.out) || {
            assert_eq!(ours.out, theirs.out);
            true
        }
    });
    assert!(equal, "no pair of tokens was signed in the same second");
    let whoami = run(Command::new(aws.get_program())
        .args(["sts", "get-caller-identity", "--query", "Arn", "--output", "text"])
        .envs(&env));
    assert_eq!(whoami.out, "arn:aws:iam::123456789012:user/app", "{whoami:?}");
}

#[test]
fn connect_runs_psql_and_exec_runs_a_command() {
    let stack = Stack::up(ways()[0], &[]);
    let env = stack.env(&[]);
    let url = format!("postgres://app@{}:{}/postgres", env["PGHOST"], env["PGPORT"]);
    let connect = |url: &str, rest: &[&str]| {
        run(countersign().args(["connect", url, "--"]).args(rest).envs(&env))
    };
    assert_eq!(connect(&url, &["-Atc", "select current_user"]).out, "app");
    assert_eq!(connect(&url, &["-c", "select nothing"]).status, Some(1), "exit status of psql");
    let without_tls = connect(&format!("{url}?sslmode=disable"), &["-c", "select 1"]);
    assert!(
        without_tls.err.contains("warning: sslmode=disable")
            && without_tls.err.contains("no encryption"),
        "{without_tls:?}"
    );
    let no_ca = connect(&format!("{url}?sslrootcert=/nowhere.pem"), &[]);
    assert!(
        no_ca.status == Some(5)
            && no_ca.err.contains("cannot find the CA certificates /nowhere.pem"),
        "{no_ca:?}"
    );

    let exec =
        |command: &[&str]| run(countersign().args(["exec", &url, "--"]).args(command).envs(&env));
    assert_eq!(exec(&["psql", "-Atc", "select current_user"]).out, "app");
    assert_eq!(exec(&["sh", "-c", "exit 42"]).status, Some(42));
    let missing = exec(&["no-such-command"]);
    assert!(missing.status == Some(5) && missing.err.contains("no-such-command"), "{missing:?}");
}

#[test]
fn connect_runs_mysql_clients_and_exec_runs_a_command() {
    for kind in ways_of(&[Engine::Mariadb, Engine::Mysql]) {
        let stack = Stack::up(kind, &[]);
        let env = stack.env(&[]);
        let (scheme, statement) = (kind.engine().as_str(), "SELECT CURRENT_USER()");
        let url = format!("{scheme}://app@{}:{}/app", env["MYSQL_HOST"], env["MYSQL_TCP_PORT"]);
        let oracle_s = mysql_client()
            .map_or(String::new(), |client| format!("{}:", client.parent().unwrap().display()));
        let path = format!("{oracle_s}/usr/bin:/bin");
        let countersign =
            |arguments: &[&str]| run(countersign().args(arguments).envs(&env).env("PATH", &path));

        let connect = |url: &str, sql: &str| {
            countersign(&["connect", url, "--", "--batch", "--skip-column-names", "-e", sql])
        };
        assert_eq!(connect(&url, statement).out, "app@%");
        assert_eq!(connect(&url, "SELECT nothing").status, Some(1), "exit status of the client");
        let cipher = connect(&url, "SHOW STATUS LIKE 'Ssl_cipher'").out;
        assert!(cipher.contains("TLS_"), "{cipher}");
        let no_ca = connect(&format!("{url}?ssl-ca=/nowhere.pem"), statement);
        assert!(no_ca.status == Some(5) && no_ca.err.contains("/nowhere.pem"), "{no_ca:?}");
        let without_tls = connect(&format!("{url}?ssl-mode=DISABLED"), statement);
        assert!(
            without_tls.err.contains("warning: ssl-mode=DISABLED")
                && without_tls.err.contains(&kind.denial("app")),
            "{without_tls:?}"
        );

        let exec = |command: &[&str]| countersign(&[&["exec", &url, "--"], command].concat());
        let own = if kind.engine() == Engine::Mariadb {
            "mariadb --ssl-verify-server-cert"
        } else {
            "mysql --ssl-mode=VERIFY_IDENTITY"
        };
        let script = format!(
            "{own} --protocol=TCP --ssl-ca=$MYSQL_SSL_CA --user=$MYSQL_USER -BNe '{statement}'"
        );
        let output = exec(&["sh", "-c", &script]);
        assert_eq!(output.out, "app@%", "{output:?}");
        assert_eq!(exec(&["sh", "-c", "exit 42"]).status, Some(42));
    }
}
