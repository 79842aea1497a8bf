use countersign_core::name::Engine;
use countersign_e2e::CommandOutput;

use super::{Expected, Outcome, judge, tampered};

const TOKEN: &str = "localhost:3306/?Action=connect";

fn output(ok: bool, out: &str, err: &str) -> CommandOutput {
    CommandOutput { ok, status: Some(i32::from(!ok)), out: out.to_owned(), err: err.to_owned() }
}

fn is_met(expected: Expected, output: &CommandOutput) -> bool {
    judge(expected, Engine::Mysql, output, TOKEN) == Outcome::Expected(expected)
}

#[test]
fn a_login_counts_over_tls_alone() {
    assert!(is_met(Expected::Opens, &output(true, "app@% TLSv1.3", "")));
    assert!(!is_met(Expected::Opens, &output(true, "app@% ", "")));
    assert!(!is_met(Expected::Opens, &output(true, "root@localhost TLSv1.3", "")));
    assert!(!is_met(Expected::Opens, &output(false, "app@% TLSv1.3", "")));
}

#[test]
fn a_denial_is_the_server_s_and_a_refusal_the_driver_s() {
    let denied =
        output(false, "", "1045 Access denied for user 'app'@'localhost' (using password: YES)");
    let refused = output(false, "", "certificate is not valid for '127.0.0.2'");
    assert!(is_met(Expected::Denied, &denied) && !is_met(Expected::Denied, &refused));
    assert!(
        is_met(Expected::Refused("not valid for"), &refused)
            && !is_met(Expected::Refused("Access denied"), &denied)
    );
    assert!(!is_met(Expected::Refused("requires SSL"), &refused), "for another reason");
    assert!(!is_met(Expected::Denied, &output(false, "", "2003 Can't connect")));
}

#[test]
fn a_client_that_prints_the_token_fails() {
    let outcome = judge(
        Expected::Opens,
        Engine::Mysql,
        &output(true, "app@% TLSv1.3", &format!("password {TOKEN}")),
        TOKEN,
    );
    assert_eq!(outcome, Outcome::Unexpected("it printed the token".to_owned()));
}

#[test]
fn tampering_changes_the_last_digit() {
    assert_eq!(tampered("ab0".to_owned()), "ab1");
    assert_eq!(tampered("abf".to_owned()), "ab0");
}
