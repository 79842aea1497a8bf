use super::{Caller, PrincipalMatch};

fn caller(text: &str) -> Caller {
    text.parse().unwrap_or_else(|invalid| panic!("{invalid}"))
}

/// Checks the values of the keys that IAM derives from the caller, in the order of this table:
/// ARN, account, type, user name, unique ID, and service.
#[track_caller]
fn assert_derived_keys(caller: &Caller, values: [Option<&str>; 6]) {
    let keys = [
        "aws:principalarn",
        "aws:principalaccount",
        "aws:principaltype",
        "aws:username",
        "aws:userid",
        "aws:principalisawsservice",
    ];
    assert_eq!(keys.map(|key| caller.context_value(key)), values, "{caller}");
}

const ACCOUNT: Option<&str> = Some("123456789012");
const ROLE: &str = "arn:aws:iam::123456789012:role/path/app";
const SESSION: &str = "arn:aws:sts::123456789012:assumed-role/app/i-1";

#[test]
fn keys_derived_from_users_and_services_are_as_documented() {
    let no = Some("false");
    let user = "arn:aws:iam::123456789012:user/team/jane";
    assert_derived_keys(
        &caller(user).with_unique_id("AIDA1"),
        [Some(user), ACCOUNT, Some("User"), Some("jane"), Some("AIDA1"), no],
    );
    let federated = "arn:aws:sts::123456789012:federated-user/bob";
    assert_derived_keys(
        &caller(federated),
        [Some(federated), ACCOUNT, Some("FederatedUser"), None, None, no],
    );
    let root = Some("arn:aws:iam::123456789012:root");
    assert_derived_keys(
        &caller("123456789012"),
        [root, ACCOUNT, Some("Account"), None, ACCOUNT, no],
    );
    assert_derived_keys(&caller("ec2.amazonaws.com"), [None, None, None, None, None, Some("true")]);
    assert_derived_keys(&caller("accounts.google.com"), [None, None, None, None, None, no]);
}

#[test]
fn keys_derived_from_roles_are_as_documented() {
    let (no, kind) = (Some("false"), Some("AssumedRole"));
    let without_path = Some("arn:aws:iam::123456789012:role/app");
    assert_derived_keys(&caller(SESSION), [without_path, ACCOUNT, kind, None, None, no]);
    assert_derived_keys(
        &caller(SESSION).with_role(&ROLE.parse().unwrap()).with_unique_id("AROA1:i-1"),
        [Some(ROLE), ACCOUNT, kind, None, Some("AROA1:i-1"), no],
    );
    assert_derived_keys(&caller(ROLE), [Some(ROLE), ACCOUNT, kind, None, None, no]);
}

#[test]
fn role_principal_matches_sessions_of_its_account_and_partition_only() {
    let session = caller("arn:aws:sts::123456789012:assumed-role/app/i-1");
    let named = |arn: &str| session.is_named(&arn.parse().unwrap());
    assert_eq!(
        named("arn:aws:sts::123456789012:assumed-role/app/i-1"),
        Some(PrincipalMatch::Direct)
    );
    assert_eq!(
        named("arn:aws:iam::123456789012:role/any/path/app"),
        Some(PrincipalMatch::Identity)
    );
    for other in [
        "arn:aws:sts::123456789012:assumed-role/app/i-2",
        "arn:aws:iam::123456789012:role/App",
        "arn:aws:iam::123456789012:role/my-app",
        "arn:aws:iam::210987654321:role/app",
        "arn:aws-cn:iam::123456789012:role/app",
        "arn:aws:iam::123456789012:user/app",
    ] {
        assert_eq!(named(other), None, "{other}");
    }
}

#[test]
fn arns_of_non_principals_are_rejected() {
    for text in [
        "",
        "*",
        "jane doe",
        "arn:aws:iam::123456789012:group/g",
        "arn:aws:iam::123456789012:user/",
        "arn:aws:iam:::user/jane",
        "arn:aws:sts::123456789012:assumed-role/app",
        "arn:aws:sts::123456789012:assumed-role/app/",
        "arn:aws:s3:::bucket/key",
        "arn:aws:iam",
        "AWS:123456789012",
    ] {
        assert!(text.parse::<Caller>().is_err(), "{text:?}");
    }
}
