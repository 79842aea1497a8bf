use countersign_e2e::CommandOutput;

use super::{BY_SOURCE, Outcome, refused, steps, whole};

fn output(ok: bool, out: &str, err: &str) -> CommandOutput {
    CommandOutput { ok, status: Some(i32::from(!ok)), out: out.to_owned(), err: err.to_owned() }
}

#[test]
fn a_run_counts_as_far_as_it_came() {
    let steps = steps(
        &BY_SOURCE,
        ":user/app",
        &output(false, "identity arn:aws:iam::123456789012:user/app", "token: NoCredentials"),
    );
    assert_eq!(steps["identity"], Outcome::Ok);
    assert!(matches!(&steps["token"], Outcome::Failed(what) if what.contains("NoCredentials")));
    assert_eq!(steps["login"], Outcome::Untried);
}

#[test]
fn a_login_as_another_or_by_another_is_none() {
    let role = "identity arn:aws:sts::123456789012:assumed-role/app/s\ntoken 400\nlogin";
    assert_eq!(whole(&output(true, &format!("{role} app"), "")), Outcome::Ok);
    assert!(matches!(whole(&output(true, &format!("{role} master"), "")), Outcome::Failed(_)));
    let user = "identity arn:aws:iam::123456789012:user/app\ntoken 400\nlogin app";
    assert!(
        matches!(whole(&output(true, user, "")), Outcome::Failed(_)),
        "the credentials are not from the source"
    );
}

#[test]
fn a_refusal_is_aws_s_own() {
    assert_eq!(
        refused(&output(false, "", "identity: InvalidClientTokenId: The security token")),
        Outcome::Ok
    );
    assert!(matches!(
        refused(&output(false, "", "identity: could not connect")),
        Outcome::Failed(_)
    ));
    assert!(matches!(
        refused(&output(true, "identity arn:aws:iam::123456789012:user/app", "")),
        Outcome::Failed(_)
    ));
}
