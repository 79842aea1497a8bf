//! Command-line tests of `countersign token --proof sts`.
#![allow(clippy::unwrap_used, reason = "tests and their helpers fail by panicking")]

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use countersign_core::proof::{Binding, StsEndpoint, TrustedSts, UnverifiedProof};
use countersign_core::region::Partition;
use serde_json::Value;

fn countersign(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.env_clear().env("HOME", "/nonexistent").env("AWS_EC2_METADATA_DISABLED", "true");
    command
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG");
    command.arg("token").args(arguments).envs(environment.iter().copied());
    command
}

fn proof(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let common = ["--proof", "sts", "--audience", "orders"];
    countersign(&[&common, arguments].concat(), environment).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).unwrap().trim_end()
}

fn assert_rejected(output: &Output, status: i32, word: &str) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(status) && error.contains(word), "{output:?}");
    assert!(!error.contains("X-Amz-Signature"), "{error}");
}

#[test]
fn verifiers_accept_proofs() {
    let (audience, user) = ("orders".parse().unwrap(), "jane".parse().unwrap());
    let binding = Binding { audience: &audience, user: Some(&user) };
    let local = StsEndpoint::configured("http://127.0.0.1:4566").unwrap();
    let token = [("AWS_SESSION_TOKEN", "FwoGZXIvYXdzE+/=")];
    let url = [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:4566/"),
    ];
    let ignored = [
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
    ];
    let region = ["--region", "eu-west-1"];
    for (arguments, environment, sts) in [
        (&region[..], &[][..], TrustedSts::aws(Partition::Aws)),
        (&region, &token, TrustedSts::aws(Partition::Aws)),
        (&region, &ignored, TrustedSts::aws(Partition::Aws)),
        (&region, &url, TrustedSts::configured(Partition::Aws, local)),
        (&[], &[("AWS_REGION", "cn-north-1")], TrustedSts::aws(Partition::China)),
    ] {
        for user in [&[][..], &["--username", "jane"]] {
            let output = proof(&[arguments, user].concat(), environment);
            let parsed = UnverifiedProof::parse(stdout(&output)).unwrap();
            assert_eq!(parsed.names_user(), !user.is_empty());
            assert!(parsed.request(&sts, binding, SystemTime::now()).is_ok(), "{output:?}");
        }
    }
}

#[test]
fn errors_have_exit_statuses() {
    let region = ("AWS_REGION", "eu-west-1");
    assert_rejected(&proof(&[], &[]), 3, "--region");
    assert_rejected(
        &proof(&[], &[region, ("AWS_ENDPOINT_URL_STS", "http://sts.example")]),
        5,
        "https://",
    );
    assert_rejected(&proof(&["--output", "env"], &[region]), 2, "--output");
    assert_rejected(&proof(&["--hostname", "db"], &[region]), 2, "--hostname");
    assert_rejected(
        &proof(&[], &[region, ("AWS_CREDENTIAL_EXPIRATION", "2024-01-15T12:00:00Z")]),
        3,
        "expired",
    );
    assert_rejected(
        &proof(&[], &[region, ("AWS_SESSION_TOKEN", &"x".repeat(9000))]),
        3,
        "too long",
    );
    assert_rejected(
        &countersign(&["--proof", "sts"], &[region]).output().unwrap(),
        2,
        "--audience",
    );
    assert_rejected(
        &countersign(&["--audience", "orders"], &[region]).output().unwrap(),
        2,
        "--proof",
    );
    assert_rejected(&countersign(&["--hostname", "db"], &[region]).output().unwrap(), 2, "--port");
}

#[test]
fn json_describes_a_proof_and_inspect_reads_it() {
    let output = proof(&["--output", "json"], &[("AWS_REGION", "eu-west-1")]);
    let value: Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(
        (&value["audience"], &value["sts"]),
        (&"orders".into(), &"https://sts.eu-west-1.amazonaws.com".into())
    );
    let inspect = |text: &str, arguments: &[&str]| {
        let mut child = countersign(&[&["inspect", "--output", "json"], arguments].concat(), &[])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let text = value["token"].as_str().unwrap();
    let report: Value = serde_json::from_str(stdout(&inspect(text, &[]))).unwrap();
    assert_eq!(
        (&report["valid"], &report["verified"], &report["parts"]["service"]),
        (&true.into(), &false.into(), &"sts".into())
    );
    assert_eq!(report["parts"]["proof"], "bound to one database");
    let altered = inspect(&text.replace("Expires=900", "Expires=901"), &[]);
    let report: Value = serde_json::from_str(stdout(&altered)).unwrap();
    assert_eq!((altered.status.code(), &report["reason"]), (Some(1), &"lifetime-too-long".into()));
    assert_rejected(
        &inspect(text, &["--verify", "--hostname", "db", "--port", "1", "--username", "u"]),
        2,
        "--verify",
    );
}
