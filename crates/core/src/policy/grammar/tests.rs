use crate::policy::{Policy, PolicyKind};

const KINDS: [PolicyKind; 4] = [
    PolicyKind::Identity,
    PolicyKind::ServiceControl,
    PolicyKind::ResourceControl,
    PolicyKind::Resource,
];

fn errors_of(text: &str, kind: PolicyKind) -> String {
    Policy::parse(text, kind)
        .err()
        .unwrap_or_else(|| panic!("accepted as {kind}: {text}"))
        .to_string()
}

fn with(statement: &str) -> String {
    format!(r#"{{"Version": "2012-10-17", "Statement": {statement}}}"#)
}

/// Returns an identity policy whose statement has `element` in place of the valid one.
fn statement(element: &str) -> String {
    let name = element.split('"').nth(1).unwrap();
    let good = [r#""Effect": "Allow""#, r#""Action": "s3:Get*""#, r#""Resource": "*""#];
    let rest: Vec<&str> =
        good.into_iter().filter(|good| !good.contains(name.trim_start_matches("Not"))).collect();
    with(&format!("{{{}, {element}}}", rest.join(", ")))
}

#[test]
fn all_errors_are_reported_at_once_with_their_position() {
    let text = r#"{
  "Version": "2012-10-18",
  "Comment": "x",
  "Statement": [
    {"Sid": "a b", "Effect": "allow", "Action": ["s3:Get*", "s3"], "Resource": "arn:aws:s3"},
    {"Effect": "Deny", "Action": [], "NotAction": "*",
     "Condition": {"StringEquals": {"aws:x": null}, "IpAddres": {},
      "NumericEquals": {"a:b": ["1", "x"]}}}
  ]
}"#;
    assert_eq!(
        errors_of(text, PolicyKind::Identity),
        "$.Version (line 2, column 14): \"2012-10-18\" is not a version of the policy language; \
         write \"2012-10-17\"\n\
         $.Comment (line 3, column 3): \"Comment\" is not an element of a policy, which has \
         Version, Id and Statement\n\
         $.Statement[0].Sid (line 5, column 13): the Sid \"a b\" has characters other than A-Z, \
         a-z and 0-9; leave them out\n\
         $.Statement[0].Effect (line 5, column 30): \"allow\" is not an effect; write \"Allow\" \
         or \"Deny\"\n\
         $.Statement[0].Action[1] (line 5, column 61): the action \"s3\" is not of the form \
         service:Name, as in \"rds-db:connect\", nor \"*\"\n\
         $.Statement[1] (line 6, column 5): the Resource element is missing; add Resource or \
         NotResource\n\
         $.Statement[1].NotAction (line 6, column 38): Action and NotAction are mutually \
         exclusive; keep one\n\
         $.Statement[1].Condition.StringEquals[\"aws:x\"] (line 7, column 46): a condition's \
         value is a string, a number or a boolean, not null\n\
         $.Statement[1].Condition.IpAddres (line 7, column 53): \"IpAddres\" is not a condition \
         operator; write \"StringEquals\" or another operator of IAM\n\
         $.Statement[1].Condition.NumericEquals[\"a:b\"][1] (line 8, column 38): \"x\" is not a \
         decimal number, which NumericEquals requires"
    );
}

#[test]
fn malformed_policies_are_rejected() {
    for (text, problem) in [
        ("[]", "a policy document must be an object, not an array"),
        ("{}", "the Statement element is missing"),
        (r#"{"Statement": []}"#, "the list of statements is empty"),
        (
            r#"{"Statement": ["x"]}"#,
            "$.Statement[0] (line 1, column 16): a statement must be an object, not a string",
        ),
        (r#"{"Statement": "x"}"#, "a statement must be an object, not a string"),
        (r#"{"Version": 2012, "Statement": {}}"#, "expected a string, found a number"),
        (r#"{"Id": {}, "Statement": {}}"#, "$.Id (line 1, column 8): expected a string"),
        (r#"{"Statement": {}}"#, "the Effect element is missing"),
        (r#"{"Statement": {}}"#, "the Action element is missing"),
        (
            &with(r#"{"Effect": "Allow", "Action": "*", "Resource": "*", "Owner": "me"}"#),
            r#""Owner" is not an element of a statement"#,
        ),
        (
            &with(r#"{"Effect": "Allow", "Effect": "Deny", "Action": "*", "Resource": "*"}"#),
            "duplicate key \"Effect\"",
        ),
        (
            &with(
                r#"[{"Sid": "a", "Effect": "Allow", "Action": "*", "Resource": "*"},
                    {"Sid": "a", "Effect": "Deny", "Action": "*", "Resource": "*"}]"#,
            ),
            r#"$.Statement[1].Sid (line 2, column 29): duplicate Sid "a""#,
        ),
    ] {
        let errors = errors_of(text, PolicyKind::Identity);
        assert!(errors.contains(problem), "{text}: {errors}");
    }
}

#[test]
fn actions_are_a_service_and_a_name() {
    for good in [
        r#""*""#,
        r#""s3:*""#,
        r#"["S3:Get?bject", "rds-db:connect"]"#,
        r#""a4b.c-d:X""#,
        r#""*:*""#,
        r#""iam: odd name ""#,
    ] {
        assert!(
            Policy::parse(&statement(&format!(r#""Action": {good}"#)), PolicyKind::Identity)
                .is_ok(),
            "{good}"
        );
    }
    for bad in [
        r#""""#,
        r#""s3""#,
        r#""s3*:Get""#,
        r#"":Get""#,
        r#""s3:a:b""#,
        r#""a a:b""#,
        "[]",
        "{}",
        "[[]]",
        "1",
        r#"["s3:*", {}]"#,
    ] {
        errors_of(&statement(&format!(r#""Action": {bad}"#)), PolicyKind::Identity);
        errors_of(&statement(&format!(r#""NotAction": {bad}"#)), PolicyKind::Identity);
    }
}

#[test]
fn resources_are_arns_or_everything() {
    for good in [
        "*",
        "arn:aws:s3:::b/*",
        "arn:aws-us-gov:s3:::b",
        "arn:*:s3:::b",
        "arn:aws*:s3:::b",
        "arn:aws:iam::*:user/${aws:username}",
        "arn:aws:s3:*",
        "arn:aws:iam::123456789012:*",
        "arn:aws:s3",
        "arn:aws-eusc:rds-db:eusc-de-east-1:123456789012:dbuser:*/*",
    ] {
        let text = statement(&format!(r#""Resource": "{good}""#));
        assert!(
            Policy::parse(&text, PolicyKind::Identity).is_ok(),
            "{good}: {}",
            errors_of(&text, PolicyKind::Identity)
        );
    }
    for (bad, problem) in [
        ("", "is not an ARN"),
        ("b/*", "is not an ARN"),
        ("arn:aws", "fewer than six parts"),
        ("arn:aws:s3::b", "fewer than six parts"),
        ("arn:aws:s3:::", "names no resource"),
        ("arn:error:s3:::b", "not a partition of AWS"),
        ("arn:aws::::b", "does not name its service"),
        ("arn:aws:*:::b", "does not name its service"),
        ("arn:aws:iam::${aws:PrincipalAccount}:user/a", "a variable before its fifth colon"),
        ("arn:aws:s3:::b/${aws:username", "unterminated variable"),
    ] {
        let errors =
            errors_of(&statement(&format!(r#""Resource": "{bad}""#)), PolicyKind::Identity);
        assert!(errors.contains(problem), "{bad}: {errors}");
    }
}

#[test]
fn principals_are_validated_per_policy_kind() {
    let text = |principal: &str| {
        with(&format!(r#"{{"Effect": "Allow", {principal} "Action": "s3:*", "Resource": "*"}}"#))
    };
    let everyone = text(r#""Principal": "*","#);
    let accepted: Vec<bool> =
        KINDS.iter().map(|kind| Policy::parse(&everyone, *kind).is_ok()).collect();
    assert_eq!(accepted, [false, false, true, true]);
    assert!(
        errors_of(&everyone, PolicyKind::Identity)
            .contains("identity policy must not have a principal")
    );
    assert!(
        errors_of(&text(""), PolicyKind::Resource).contains("the Principal element is missing")
    );
    assert!(
        errors_of(&text(r#""Principal": {"AWS": "123456789012"},"#), PolicyKind::ResourceControl)
            .contains(r#"only "Principal": "*""#)
    );
    assert!(
        errors_of(&text(r#""NotPrincipal": "*","#), PolicyKind::ResourceControl)
            .contains(r#"only "Principal": "*""#)
    );

    for good in [
        r#""*""#,
        r#""123456789012""#,
        r#"{"AWS": "*"}"#,
        r#"{"AWS": ["123456789012", "arn:aws:iam::123456789012:root",
            "arn:aws:iam::123456789012:role/path/r"]}"#,
        r#"{"AWS": "arn:aws:sts::123456789012:assumed-role/r/s"}"#,
        r#"{"AWS": "arn:aws:sts::123456789012:federated-user/bob"}"#,
        r#"{"Service": ["ec2.amazonaws.com", "pods.eks.amazonaws.com"],
            "Federated": "arn:aws:iam::123456789012:oidc-provider/x"}"#,
        r#"{"CanonicalUser": "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be"}"#,
    ] {
        let text = text(&format!(r#""Principal": {good},"#));
        assert!(
            Policy::parse(&text, PolicyKind::Resource).is_ok(),
            "{good}: {}",
            errors_of(&text, PolicyKind::Resource)
        );
    }
    for bad in [
        "{}",
        "[]",
        "1",
        r#"{"AWS": []}"#,
        r#"{"AWS": "arn:aws:iam::123456789012:user/*"}"#,
        r#"{"AWS": "arn:aws:iam::123456789012:group/g"}"#,
        r#"{"AWS": "arn:aws:iam::123456789012:user/"}"#,
        r#"{"AWS": "jane"}"#,
        r#"{"AWS": {"a": "b"}}"#,
        r#"{"Service": "*"}"#,
        r#"{"aws": "*"}"#,
        r#"{"User": "jane"}"#,
    ] {
        errors_of(&text(&format!(r#""Principal": {bad},"#)), PolicyKind::Resource);
        errors_of(&text(&format!(r#""NotPrincipal": {bad},"#)), PolicyKind::Resource);
    }
}

#[test]
fn only_resource_policies_may_omit_the_resource() {
    let text = with(
        r#"{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"},
            "Action": "sts:AssumeRole"}"#,
    );
    assert!(Policy::parse(&text, PolicyKind::Resource).is_ok());
    assert!(
        errors_of(&text, PolicyKind::ResourceControl).contains("the Resource element is missing")
    );
}

#[test]
fn conditions_are_typed() {
    for (good, condition) in [
        (true, "{}"),
        (true, r#"{"DateGreaterThan": {}}"#),
        (true, r#"{"Bool": {"a:b": [true, "False"]}, "NumericEquals": {"a:b": 1.5}}"#),
        (true, r#"{"StringLike": {"s3:prefix": ["", "home/", "home/${aws:username}/*"]}}"#),
        (false, "[]"),
        (false, r#""a""#),
        (false, r#"{"StringEquals": "a"}"#),
        (false, r#"{"StringEquals": {"a:b": {}}}"#),
        (false, r#"{"StringEquals": {"a:b": []}}"#),
        (false, r#"{"StringEquals": {"a:b": null}}"#),
        (false, r#"{"StringEquals": {"a:b": [["x"]]}}"#),
        (false, r#"{"StringEquals": {"": "x"}}"#),
        (false, r#"{"StringEquals": {"a:b": "x", "A:B": "y"}}"#),
        (false, r#"{"StringEquals": {"a:b": "${x"}}"#),
        (false, r#"{"NumericEquals": {"a:b": "ten"}}"#),
        (false, r#"{"NumericEquals": {"a:b": "${aws:x}"}}"#),
        (false, r#"{"NumericEquals": {"a:b": 1e3}}"#),
        (false, r#"{"DateEquals": {"a:b": "01T"}}"#),
        (false, r#"{"Bool": {"a:b": "yes"}}"#),
        (false, r#"{"Bool": {"a:b": 1}}"#),
        (false, r#"{"Null": {"a:b": "maybe"}}"#),
        (false, r#"{"ForAllValues:Null": {"a:b": "true"}}"#),
        (false, r#"{"NullIfExists": {"a:b": "true"}}"#),
        (false, r#"{"BinaryEquals": {"a:b": "not base64"}}"#),
        (false, r#"{"IpAddress": {"a:b": "10.0.0.0/40"}}"#),
        (false, r#"{"ArnLike": {"a:b": "arn:aws:s3"}}"#),
        (false, r#"{"ArnEquals": {"a:b": "*"}}"#),
        (false, r#"{"stringEquals": {"a:b": "x"}}"#),
    ] {
        let text = statement(&format!(r#""Condition": {condition}"#));
        assert_eq!(Policy::parse(&text, PolicyKind::Identity).is_ok(), good, "{condition}");
    }
}

#[test]
fn version_decides_whether_variables_are_expanded() {
    let with = |version: &str| {
        format!(
            r#"{{{version} "Statement":
                {{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::${{x"}}}}"#
        )
    };
    assert!(Policy::parse(&with(""), PolicyKind::Identity).is_ok());
    assert!(Policy::parse(&with(r#""Version": "2008-10-17","#), PolicyKind::Identity).is_ok());
    assert!(Policy::parse(&with(r#""Version": "2012-10-17","#), PolicyKind::Identity).is_err());
}
