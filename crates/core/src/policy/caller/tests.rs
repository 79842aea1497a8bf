use super::{Caller, PrincipalMatch};

fn caller(text: &str) -> Caller {
    text.parse().unwrap_or_else(|invalid| panic!("{invalid}"))
}

#[test]
fn the_keys_that_follow_from_the_caller_are_as_documented() {
    let keys = [
        "aws:principalarn",
        "aws:principalaccount",
        "aws:principaltype",
        "aws:username",
        "aws:userid",
        "aws:principalisawsservice",
    ];
    let account = Some("123456789012");
    let role = "arn:aws:iam::123456789012:role/path/app";
    for (caller, facts) in [
        (
            caller("arn:aws:iam::123456789012:user/team/jane").with_unique_id("AIDA1"),
            [
                Some("arn:aws:iam::123456789012:user/team/jane"),
                account,
                Some("User"),
                Some("jane"),
                Some("AIDA1"),
                Some("false"),
            ],
        ),
        (
            caller("arn:aws:sts::123456789012:assumed-role/app/i-1"),
            [
                Some("arn:aws:iam::123456789012:role/app"),
                account,
                Some("AssumedRole"),
                None,
                None,
                Some("false"),
            ],
        ),
        (
            caller("arn:aws:sts::123456789012:assumed-role/app/i-1")
                .with_role(&role.parse().unwrap())
                .with_unique_id("AROA1:i-1"),
            [Some(role), account, Some("AssumedRole"), None, Some("AROA1:i-1"), Some("false")],
        ),
        (caller(role), [Some(role), account, Some("AssumedRole"), None, None, Some("false")]),
        (
            caller("arn:aws:sts::123456789012:federated-user/bob"),
            [
                Some("arn:aws:sts::123456789012:federated-user/bob"),
                account,
                Some("FederatedUser"),
                None,
                None,
                Some("false"),
            ],
        ),
        (
            caller("123456789012"),
            [
                Some("arn:aws:iam::123456789012:root"),
                account,
                Some("Account"),
                None,
                account,
                Some("false"),
            ],
        ),
        (caller("ec2.amazonaws.com"), [None, None, None, None, None, Some("true")]),
        (caller("accounts.google.com"), [None, None, None, None, None, Some("false")]),
    ] {
        assert_eq!(keys.map(|key| caller.context_value(key)), facts, "{caller}");
    }
}

#[test]
fn a_session_is_behind_its_role_in_its_account_and_partition_only() {
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
fn what_can_ask_nothing_is_refused() {
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
