//! Clients as their makers ship them.

use std::process::Command;

use countersign_e2e::{Stack, countersign, programs, run};

/// The aws CLI: on the PATH, or where `cargo xtask test` installs it.
fn aws() -> Option<Command> {
    let installed = programs().join("../tools/aws/bin/aws");
    let candidates = [installed.into_os_string(), "aws".into()];
    candidates
        .into_iter()
        .find(|program| Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success()))
        .map(Command::new)
}

#[test]
fn the_aws_cli_s_tokens_open_it_and_are_ours_byte_for_byte() {
    let stack = Stack::up(countersign_e2e::authentications()[0]);
    let Some(mut aws) = aws() else {
        eprintln!("skipped: the aws CLI is not installed");
        return;
    };
    let env = stack.env(&["--temporary"]);
    let arguments = ["--hostname", &env["PGHOST"], "--port", &env["PGPORT"], "--username", "app"];
    // Both in the same second, or once more.
    let equal = (0..5).any(|_| {
        let theirs = run(aws.args(["rds", "generate-db-auth-token"]).args(arguments).envs(&env));
        assert!(stack.psql("app", &theirs.out, "select 1").ok, "{theirs:?}");
        let second = |token: &str| token.split_once("X-Amz-Date=").map(|(_, rest)| rest[..16].to_owned());
        let ours = run(countersign().arg("token").args(arguments).envs(&env));
        assert!(ours.ok, "{ours:?}");
        second(&ours.out) != second(&theirs.out) || {
            assert_eq!(ours.out, theirs.out);
            true
        }
    });
    assert!(equal);
    let whoami = run(Command::new(aws.get_program()).args(["sts", "get-caller-identity", "--query", "Arn", "--output", "text"]).envs(&env));
    assert_eq!(whoami.out, "arn:aws:iam::123456789012:user/app", "{whoami:?}");
}

#[test]
fn connect_opens_psql_and_exec_any_command() {
    let stack = Stack::up(countersign_e2e::authentications()[0]);
    let env = stack.env(&[]);
    let url = format!("postgres://app@{}:{}/postgres", env["PGHOST"], env["PGPORT"]);
    let connect = |url: &str, rest: &[&str]| run(countersign().args(["connect", url, "--"]).args(rest).envs(&env));
    assert_eq!(connect(&url, &["-Atc", "select current_user"]).out, "app");
    assert_eq!(connect(&url, &["-c", "select nothing"]).status, Some(1), "psql's own status");
    let without_tls = connect(&format!("{url}?sslmode=disable"), &["-c", "select 1"]);
    assert!(without_tls.err.contains("warning: sslmode=disable") && without_tls.err.contains("no encryption"), "{without_tls:?}");
    let no_ca = connect(&format!("{url}?sslrootcert=/nowhere.pem"), &[]);
    assert!(no_ca.status == Some(5) && no_ca.err.contains("/nowhere.pem do not exist"), "{no_ca:?}");

    let exec = |command: &[&str]| run(countersign().args(["exec", &url, "--"]).args(command).envs(&env));
    assert_eq!(exec(&["psql", "-Atc", "select current_user"]).out, "app");
    assert_eq!(exec(&["sh", "-c", "exit 42"]).status, Some(42));
    let missing = exec(&["no-such-command"]);
    assert!(missing.status == Some(5) && missing.err.contains("no-such-command"), "{missing:?}");
}
