//! The command line: output and exit statuses.

use std::io::Write;
use std::process::{Command, Stdio};

use countersign_e2e::{CommandOutput, ServerKind, Stack, countersign, run};
use serde_json::Value;

const HOST: &str = "db.abc.eu-west-1.rds.amazonaws.com";
const KEYS: [(&str, &str); 2] =
    [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG")];

/// Runs a program with `input` on its standard input.
pub(crate) fn with_input(command: &mut Command, input: &str) -> CommandOutput {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

fn token(arguments: &[&str]) -> CommandOutput {
    run(countersign()
        .args(["token", "--hostname", HOST, "--port", "5432", "--username", "jane"])
        .args(arguments)
        .envs(KEYS))
}

fn inspect(token: &str, arguments: &[&str]) -> (Option<i32>, Value) {
    let output = with_input(
        countersign().args(["token", "inspect", "--output", "json"]).args(arguments).envs(KEYS),
        token,
    );
    (output.status, serde_json::from_str(&output.out).unwrap_or_else(|_| panic!("{output:?}")))
}

#[test]
fn inspect_reports_validity_and_reason() {
    let good = token(&[]).out;
    let verify = |host: &str, port: &str, user: &str| {
        inspect(&good, &["--verify", "--hostname", host, "--port", port, "--username", user])
    };
    assert_eq!(inspect(&good, &[]).0, Some(0));
    let (status, report) = verify(HOST, "5432", "jane");
    assert_eq!(
        (status, &report["valid"], &report["verified"]),
        (Some(0), &true.into(), &true.into()),
        "{report}"
    );
    for ((status, report), reason) in [
        (verify("other.abc.eu-west-1.rds.amazonaws.com", "5432", "jane"), "wrong-host"),
        (verify("db.abc.eu-west-2.rds.amazonaws.com", "5432", "jane"), "wrong-region"),
        (verify(HOST, "5433", "jane"), "wrong-port"),
        (verify(HOST, "5432", "Jane"), "wrong-user"),
        (inspect("hunter2", &[]), "malformed"),
        (inspect(&good.replace("Expires=900", "Expires=901"), &[]), "lifetime-too-long"),
        (inspect(&good.replace("Action=connect", "Action=drop"), &[]), "wrong-action"),
    ] {
        assert_eq!(
            (status, &report["valid"], &report["reason"]),
            (Some(1), &false.into(), &reason.into()),
            "{report}"
        );
    }
}

#[test]
fn token_output_formats_are_accepted_by_their_consumers() {
    let value: Value = serde_json::from_str(&token(&["--output", "json"]).out).unwrap();
    assert_eq!(
        (&value["hostname"], &value["port"], &value["region"]),
        (&HOST.into(), &5432.into(), &"eu-west-1".into())
    );
    let shell = format!(
        "{}\nprintf %s \"$PGUSER@$PGHOST:$PGPORT ${{#PGPASSWORD}}\"",
        token(&["--output", "env"]).out
    );
    let read = run(Command::new("sh").args(["-c", &shell]));
    assert!(read.out.starts_with(&format!("jane@{HOST}:5432 3")), "{read:?}");
    let pgpass = token(&["--output", "pgpass"]).out;
    assert!(
        pgpass.starts_with(&format!("{HOST}:5432:*:jane:{HOST}\\:5432/?Action=connect")),
        "{pgpass}"
    );
    let uri = token(&["--output", "uri"]).out;
    assert!(
        uri.starts_with(&format!("postgres://jane:{HOST}%3A5432%2F%3FAction%3Dconnect%26"))
            && uri.ends_with("?sslmode=verify-full"),
        "{uri}"
    );
}

#[test]
fn missing_input_is_reported_with_its_exit_status() {
    let bare = run(countersign().args([
        "token",
        "--hostname",
        HOST,
        "--port",
        "5432",
        "--username",
        "jane",
    ]));
    assert!(
        bare.status == Some(3)
            && bare.err.contains("AWS_ACCESS_KEY_ID")
            && bare.err.contains("--profile"),
        "{bare:?}"
    );
    let profile = token(&["--profile", "missing"]);
    assert!(profile.status == Some(3) && profile.err.contains("\"missing\""), "{profile:?}");
    let misplaced = run(countersign().args(["token", "inspect", "secret-token"]));
    assert!(
        misplaced.status == Some(2) && !misplaced.err.contains("secret-token"),
        "{misplaced:?}"
    );
    let region = run(countersign()
        .args(["token", "--hostname", "localhost", "--port", "5432", "--username", "jane"])
        .envs(KEYS));
    assert!(region.status == Some(3) && region.err.contains("--region"), "{region:?}");
    let ended = run(countersign()
        .args(["token", "--hostname", HOST, "--port", "5432", "--username", "jane"])
        .envs(KEYS)
        .env("AWS_CREDENTIAL_EXPIRATION", "2024-01-15T12:00:00Z"));
    assert!(
        ended.status == Some(3) && ended.err.contains("expired at 2024-01-15T12:00:00.000Z"),
        "{ended:?}"
    );
    assert_eq!(run(countersign().args(["token", "--hostname", HOST])).status, Some(2));
    assert_eq!(
        run(countersign().args([
            "token",
            "--hostname",
            HOST,
            "--port",
            "99999",
            "--username",
            "jane"
        ]))
        .status,
        Some(2)
    );
}

#[test]
fn profile_flag_takes_precedence_over_environment_keys() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("credentials");
    std::fs::write(&file, "[work]\naws_access_key_id = AKIDWORK\naws_secret_access_key = x\n")
        .unwrap();
    let mut command = countersign();
    command
        .args(["token", "--hostname", HOST, "--port", "5432", "--username", "jane"])
        .envs(KEYS)
        .env("AWS_SHARED_CREDENTIALS_FILE", file);
    assert!(run(&mut command).out.contains("Credential=AKIDEXAMPLE%2F"));
    assert!(
        run(command.env("AWS_PROFILE", "work")).out.contains("Credential=AKIDEXAMPLE%2F"),
        "keys in the environment take precedence over AWS_PROFILE, as in the aws CLI"
    );
    assert!(run(command.args(["--profile", "work"])).out.contains("Credential=AKIDWORK%2F"));
}

#[test]
fn policies_are_simulated_and_explained() {
    let resource = "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/jane";
    let input = |effect: &str, resource_in_policy: &str| {
        format!(
            r#"{{"principal":"arn:aws:iam::123456789012:user/jane","action":"rds-db:connect",
                "resource":"{resource}",
                "identity_policies":[{{"Version":"2012-10-17","Statement":[{{"Sid":"One",
                "Effect":"{effect}","Action":"rds-db:connect",
                "Resource":"{resource_in_policy}"}}]}}]}}"#
        )
    };
    let simulate =
        |text: &str| with_input(countersign().args(["policy", "simulate", "--input", "-"]), text);
    for (text, decision, matched) in [
        (input("Allow", resource), "allowed", 1),
        (input("Deny", resource), "explicitDeny", 1),
        (input("Allow", &resource.replace("jane", "john")), "implicitDeny", 0),
    ] {
        let output = simulate(&text);
        let value: Value =
            serde_json::from_str(&output.out).unwrap_or_else(|_| panic!("{output:?}"));
        assert_eq!(
            (&value["decision"], value["matched"].as_array().unwrap().len()),
            (&decision.into(), matched),
            "{value}"
        );
    }
    let refused = simulate(&input("Maybe", resource));
    assert!(
        refused.status == Some(5)
            && refused.err.contains("$.identity_policies[0].Statement[0].Effect"),
        "{refused:?}"
    );
    let explained = with_input(
        countersign().args(["policy", "explain", "--input", "-"]),
        &input("Allow", &resource.replace("jane", "john")),
    );
    assert!(
        explained.ok && explained.out.contains("One") && explained.out.contains("john"),
        "{explained:?}"
    );
}

#[test]
fn stack_starts_once_and_keeps_its_state_over_a_restart() {
    let stack = Stack::up(ServerKind::Ldap, &[]);
    let twice = run(stack.local(&["up", "--detach"]).args(["--authentication", "ldap"]));
    assert!(
        twice.status == Some(5) && twice.err.contains("a stack runs there already"),
        "{twice:?}"
    );
    let status = stack.status();
    assert_eq!(
        (&status["running"], &status["instances"][0]["authentication"]),
        (&true.into(), &"ldap".into()),
        "{status}"
    );
    let id = status["instances"][0]["resource_id"].clone();
    let _down = stack.must(&["down"]);
    let stopped = run(&mut stack.local(&["status", "--output", "json"]));
    assert!(stopped.status == Some(1) && stopped.out.contains("\"running\": false"), "{stopped:?}");
    let env = run(&mut stack.local(&["env"]));
    assert!(env.status == Some(4) && env.err.contains("local up --dir"), "{env:?}");
    stack.start();
    assert_eq!(
        stack.status()["instances"][0]["resource_id"],
        id,
        "the resource id in policies stays the same"
    );
    assert!(stack.login("app", &stack.token(&stack.credentials(&[]), "app")).ok);
}

#[test]
fn unavailable_server_is_skipped_with_a_reason() {
    let directory = tempfile::Builder::new().prefix("countersign-").tempdir().unwrap();
    let local = |arguments: &[&str]| {
        let mut command = countersign();
        command.arg("local").arg("--dir").arg(directory.path()).args(arguments);
        // Packages cannot be unpacked there.
        run(command.env("COUNTERSIGN_SERVERS_DIR", "/proc/none"))
    };
    let alone = local(&["up", "--engine", "mysql:99.9", "--detach"]);
    assert!(alone.status == Some(5) && alone.err.contains("cannot find MySQL 99.9"), "{alone:?}");
    let up = local(&["up", "--engine", "mariadb,mysql:99.9", "--detach"]);
    assert!(up.ok && up.err.contains("skipping mysql-99-9: cannot find MySQL 99.9"), "{up:?}");
    let status: Value = serde_json::from_str(&local(&["status", "--output", "json"]).out).unwrap();
    assert_eq!(
        (&status["instances"][0]["instance"], &status["skipped"][0]["instance"]),
        (&"mariadb".into(), &"mysql-99-9".into())
    );
    let env = local(&["env", "--engine", "mysql"]);
    assert!(env.status == Some(5) && env.err.contains("mysql-99-9 was skipped"), "{env:?}");
    assert!(local(&["env", "--engine", "mariadb"]).ok);
    let down = local(&["down", "--wipe"]);
    assert!(down.ok, "{down:?}");
}

#[test]
fn unusable_stack_directories_are_rejected() {
    for directory in
        ["/tmp/with space/x", "/tmp/quote'd", "/tmp/hash#x", &format!("/tmp/{}", "long".repeat(30))]
    {
        let output = run(countersign().args(["local", "up", "--dir", directory]));
        assert!(output.status == Some(5) && output.err.contains("--dir"), "{output:?}");
    }
    let nothing = run(countersign().args(["local", "down", "--dir", "/tmp/countersign-nowhere"]));
    assert!(nothing.ok && nothing.err.contains("no stack runs in"), "{nothing:?}");
    let precious = tempfile::tempdir().unwrap();
    std::fs::write(precious.path().join("file"), "hi").unwrap();
    let output = run(countersign().args(["local", "up", "--dir"]).arg(precious.path()));
    assert!(
        output.status == Some(5) && output.err.contains("holds files that are not a stack's"),
        "{output:?}"
    );
    let twice = run(countersign().args(["local", "up", "--engine", "postgres:15,postgres:15"]));
    assert!(twice.status == Some(2) && twice.err.contains("postgres-15 twice"), "{twice:?}");
}

#[test]
fn completions_and_manual_pages_are_generated() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(countersign().args(["completion", shell]));
        assert!(
            output.ok
                && output.out.contains("countersign")
                && output.out.contains("generate") | output.out.contains("token"),
            "{shell}"
        );
    }
    let bash = run(Command::new("bash").args(["-n", "/dev/stdin"]).stdin(Stdio::null()));
    assert!(bash.ok);
    let checked = with_input(
        Command::new("bash").arg("-n"),
        &run(countersign().args(["completion", "bash"])).out,
    );
    assert!(checked.ok, "{checked:?}");
    assert!(run(countersign().arg("man")).out.contains(".TH countersign 1"));
    let directory = tempfile::tempdir().unwrap();
    assert!(run(countersign().arg("man").arg("--directory").arg(directory.path())).ok);
    assert!(directory.path().join("countersign-token.1").exists());
}

#[test]
fn unprivileged_user_runs_a_stack() {
    use std::os::unix::fs::chown;
    use std::os::unix::process::CommandExt;

    const UNPRIVILEGED: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: without root, every other test covers this case");
        return;
    }
    // The user gets a home directory and a copy of the program, since the build directory may be
    // accessible to root only.
    let home = tempfile::Builder::new().prefix("countersign-").tempdir().unwrap();
    let program = home.path().join("countersign");
    std::fs::copy(countersign_e2e::programs().join("countersign"), &program).unwrap();
    chown(home.path(), Some(UNPRIVILEGED), Some(UNPRIVILEGED)).unwrap();
    let local = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command
            .arg("local")
            .args(arguments)
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", "/usr/bin:/bin");
        run(command.uid(UNPRIVILEGED).gid(UNPRIVILEGED).current_dir("/"))
    };
    let up = local(&["up", "--detach"]);
    assert!(up.ok && up.err.contains("authentication by ldap"), "{up:?}");
    assert!(home.path().join(".local/state/countersign/local/state.json").exists());
    let shell = format!(
        "eval \"$({0} local env)\"; {0} connect postgres://app@localhost:$PGPORT/postgres -- -Atc \
         'select current_user'",
        program.display()
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &shell])
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", "/usr/bin:/bin")
        .uid(UNPRIVILEGED)
        .gid(UNPRIVILEGED);
    let output = run(&mut command);
    let down = local(&["down", "--wipe"]);
    assert!(output.out == "app" && down.ok, "{output:?} {down:?}");
}
