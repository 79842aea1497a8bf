//! Command-line tests of `countersign authority`.
#![allow(clippy::unwrap_used, reason = "tests and their helpers fail by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const FILE: &str = r#"
[[accounts]]
id = "123456789012"

[[users]]
name = "jane"
make_access_key = true

[users.policies.connect]
Version = "2012-10-17"
Statement = { Effect = "Allow", Action = "rds-db:connect", Resource = "*" }
"#;

fn countersign(store: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("COUNTERSIGN_STORE", store)
        .arg("authority")
        .args(arguments);
    command
}

fn with_input(store: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = countersign(store, arguments);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    str::from_utf8(&output.stdout).unwrap()
}

#[test]
fn exports_what_it_imported() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("authority");
    let dry = with_input(&store, &["import", "-", "--dry-run"], FILE);
    assert!(
        stdout(&dry).contains("would create user arn:aws:iam::123456789012:user/jane"),
        "{dry:?}"
    );
    assert!(!stdout(&dry).contains("aws_secret_access_key"), "{dry:?}");

    let done = with_input(&store, &["import", "-", "--output", "json"], FILE);
    let done: Value = serde_json::from_str(stdout(&done)).unwrap();
    assert_eq!(done["changes"].as_array().unwrap().len(), 3, "{done}");
    let secret = done["access_keys"][0]["secret_access_key"].as_str().unwrap();
    assert_eq!(secret.len(), 40);

    let bare = countersign(&store, &["export"]).output().unwrap();
    assert!(
        !stdout(&bare).contains(secret) && stdout(&bare).contains("name = \"jane\""),
        "{bare:?}"
    );
    let again = with_input(&store, &["import", "-"], stdout(&bare));
    assert_eq!(stdout(&again), "0 created, 0 changed, 3 unchanged\n");

    let whole = countersign(&store, &["export", "--with-secrets"]).output().unwrap();
    assert!(stdout(&whole).contains(secret));
    let other = directory.path().join("other");
    let moved = with_input(&other, &["import", "-"], stdout(&whole));
    assert!(stdout(&moved).ends_with("3 created, 0 changed, 0 unchanged\n"), "{moved:?}");
    let copied = countersign(&other, &["export", "--with-secrets"]).output().unwrap();
    assert_eq!(stdout(&copied), stdout(&whole));
}

#[test]
fn rejects_invalid_files_and_stores() {
    let directory = tempfile::tempdir().unwrap();
    let assert_rejected = |output: &Output, word: &str| {
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(word), "{output:?}");
    };
    let bad = with_input(directory.path(), &["import", "-"], &FILE.replace("users", "usrs"));
    assert_rejected(
        &bad,
        "cannot import standard input:\nusrs (line 5, column 3): unknown field \"usrs\"",
    );
    assert_eq!(bad.status.code(), Some(5));
    assert_rejected(
        &countersign(directory.path(), &["export", "--store", "/nonexistent"]).output().unwrap(),
        "cannot find a state in /nonexistent",
    );
    let url = countersign(directory.path(), &["export", "--store", "mysql://u@host/db"])
        .output()
        .unwrap();
    assert_rejected(&url, "is neither a directory nor a URL");
    assert_rejected(
        &countersign(directory.path(), &["serve", "--sts", "own"]).output().unwrap(),
        "add --listen",
    );
    assert_rejected(
        &countersign(directory.path(), &["serve", "--allow-user", "no such user"])
            .output()
            .unwrap(),
        "no such user",
    );
}

#[test]
fn serve_reports_readiness_and_stops_on_signals() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("authority");
    stdout(&with_input(&store, &["import", "-"], FILE));
    let socket = directory.path().join("run/verifier.sock");
    let socket_text = socket.display().to_string();
    for (signal, name) in [(Signal::TERM, "john"), (Signal::INT, "jim")] {
        let mut command = countersign(
            &store,
            &[
                "serve",
                "--socket",
                &socket_text,
                "--listen",
                "127.0.0.1:0",
                "--ldap",
                "127.0.0.1:0",
            ],
        );
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = lines.next().unwrap().unwrap();
        assert!(
            ready.starts_with(&format!(
                "ready: verifier socket {socket_text}, AWS's API at http://127.0.0.1:"
            )),
            "{ready}"
        );
        assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        UnixStream::connect(&socket).unwrap();

        // An import takes effect while the authority runs.
        let more = with_input(&store, &["import", "-"], &FILE.replace("jane", name));
        assert!(stdout(&more).contains(&format!("user/{name}")));
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert!(
            lines.any(|line| line.unwrap()
                == "stopping: logins are denied until the authority runs again")
        );
        assert!(child.wait().unwrap().success());
    }
}
