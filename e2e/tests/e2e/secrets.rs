//! Tokens, signatures and secret keys stay out of logs, arguments and process lists.

use std::fs;
use std::path::Path;

use countersign_e2e::{Stack, countersign, run, ways};

/// Collects the files below a directory, except data of servers and state of the authority, which
/// contain secrets.
fn files(directory: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match path.is_dir() {
            true if ["data", "state"].contains(&name.as_str()) => {}
            true => files(&path, found),
            false if path.is_file() => found.push(path),
            false => {}
        }
    }
}

#[test]
fn logs_and_files_contain_no_token_or_key() {
    for kind in ways() {
        // The daemons log at the trace level.
        let stack = Stack::up(kind, &[]);
        let key = stack.credentials(&["--temporary"]);
        let good = stack.token(&key, "app");
        let tampered = good.replace("Expires=900", "Expires=899");
        for token in
            [good.as_str(), tampered.as_str(), "hunter2-is-secret", &good[..good.len() / 2]]
        {
            let _either = stack.login("app", token);
        }
        let session = key.session_token.as_ref().unwrap().expose();
        let signature = good.split("X-Amz-Signature=").nth(1).unwrap();
        let secrets = [key.secret.expose(), session, signature, "hunter2-is-secret"];
        let mut paths = Vec::new();
        files(stack.directory(), &mut paths);
        assert!(
            paths.iter().any(|path| path.ends_with("server.log"))
                && paths.iter().any(|path| path.ends_with("up.log"))
        );
        for path in paths {
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            for secret in secrets {
                assert!(!text.contains(secret), "{} contains a secret", path.display());
            }
        }
    }
}

#[test]
fn token_is_passed_in_the_environment_only() {
    let env = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2-is-secret"),
        ("AWS_SESSION_TOKEN", "session-is-secret"),
    ];
    for (url, variable) in [
        ("postgres://jane@db.abc.us-east-1.rds.amazonaws.com/x?sslrootcert=system", "PGPASSWORD"),
        ("mysql://jane@db.abc.us-east-1.rds.amazonaws.com/x", "MYSQL_PWD"),
        ("mariadb://jane@db.abc.us-east-1.rds.amazonaws.com/x", "MYSQL_PWD"),
    ] {
        let shell = format!(
            "tr '\\0' '\\n' < /proc/$$/cmdline; ps -ef; printf '%s\\n' \"${variable}\" | wc -c"
        );
        let output = run(countersign().args(["exec", url, "--", "sh", "-c", &shell]).envs(env));
        assert!(output.ok, "{output:?}");
        let length: usize = output.out.lines().last().unwrap().trim().parse().unwrap();
        assert!(length > 300, "{variable} holds no token");
        for secret in ["X-Amz-Signature", "hunter2-is-secret", "session-is-secret"] {
            assert!(!output.out.contains(secret), "{secret} is in the process list");
        }
    }
}

#[test]
fn inspect_output_contains_no_signature_or_session_token() {
    let env = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "hunter2-is-secret"),
        ("AWS_SESSION_TOKEN", "session-is-secret"),
    ];
    let token = run(countersign()
        .args([
            "token",
            "--hostname",
            "db.abc.us-east-1.rds.amazonaws.com",
            "--port",
            "5432",
            "--username",
            "jane",
        ])
        .envs(env));
    let signature = token.out.split("X-Amz-Signature=").nth(1).unwrap().to_owned();
    for format in ["text", "json"] {
        let output = crate::commands::with_input(
            countersign().args(["token", "inspect", "--output", format]).envs(env),
            &token.out,
        );
        assert!(output.ok, "{output:?}");
        for secret in [signature.as_str(), "session-is-secret", "hunter2-is-secret"] {
            assert!(!output.out.contains(secret) && !output.err.contains(secret), "{output:?}");
        }
    }
}
