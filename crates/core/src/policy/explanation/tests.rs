use crate::policy::{
    Caller, Context, ContextValue, Layer, Policy, PolicyKind, PolicySet, Request, decide,
};

/// Returns the decision on rds-db:connect as jane with these statements.
fn sentence(statements: &str, context: &Context) -> String {
    let text = format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#);
    let policy = Policy::parse(&text, PolicyKind::Identity)
        .unwrap_or_else(|errors| panic!("{errors}"))
        .named("app");
    let mut policies = PolicySet::new();
    policies.add(Layer::Identity, policy).unwrap();
    let caller: Caller = "arn:aws:sts::123456789012:assumed-role/app/jane".parse().unwrap();
    let action = "rds-db:connect".parse().unwrap();
    let resource = "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-X/jane";
    decide(
        &Request { caller: &caller, action: &action, resource, resource_account: None, context },
        &policies,
    )
    .to_string()
}

const START: &str = "implicit deny: no statement of the identity policy allows rds-db:connect on \
    arn:aws:rds-db:us-east-1:123456789012:dbuser:db-X/jane";

fn nearest(statements: &str, context: &Context) -> String {
    let sentence = sentence(statements, context);
    let rest = sentence.strip_prefix(START).unwrap_or_else(|| panic!("{sentence}"));
    rest.strip_prefix("; nearest is ").unwrap_or(rest).to_owned()
}

#[test]
fn near_miss_is_the_statement_that_matches_the_most_elements() {
    let s3 = r#"{"Sid": "S3", "Effect": "Allow", "Action": "s3:*", "Resource": "*"}"#;
    let rds =
        r#"{"Sid": "Describe", "Effect": "Allow", "Action": "rds:Describe*", "Resource": "*"}"#;
    let john = r#"{"Sid": "ConnectAsJohn", "Effect": "Allow", "Action": "rds-db:connect",
        "Resource": "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-X/john"}"#;
    let other = r#"{"Effect": "Allow", "Action": "rds-db:*",
        "Resource": "arn:aws:rds-db:eu-west-1:123456789012:dbuser:*/*"}"#;
    let context = Context::new();
    assert_eq!(
        nearest(s3, &context),
        r#"statement "S3" of identity policy "app": its Action s3:* does not match rds-db:connect"#
    );
    assert_eq!(
        nearest(&format!("{s3}, {rds}"), &context),
        "statement \"Describe\" of identity policy \"app\": its Action rds:Describe* does not \
         match rds-db:connect"
    );
    assert_eq!(
        nearest(&format!("{s3}, {other}, {john}, {rds}"), &context),
        "statement \"ConnectAsJohn\" of identity policy \"app\": its Resource \
         arn:aws:rds-db:us-east-1:123456789012:dbuser:db-X/john does not match \
         arn:aws:rds-db:us-east-1:123456789012:dbuser:db-X/jane"
    );
    assert!(nearest(other, &context).starts_with(
        r#"statement 1 of identity policy "app": its Resource arn:aws:rds-db:eu-west-1"#
    ));
}

#[test]
fn near_miss_is_never_a_deny() {
    let deny = r#"{"Effect": "Deny", "Action": "rds-db:connect",
        "Resource": "arn:aws:rds-db:*:*:dbuser:*/john"}"#;
    assert_eq!(nearest(deny, &Context::new()), "");
}

#[test]
fn condition_mismatch_shows_required_and_actual_values() {
    let allow = |condition: &str| {
        format!(
            r#"{{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {condition}}}"#
        )
    };
    let start = r#"statement 1 of identity policy "app": its "#;
    let mut context = Context::new();
    context.insert("aws:SourceIp", "192.168.1.1");
    context.insert("aws:TagKeys", ContextValue::Many(vec!["a".into(), "b".into()]));
    for (condition, mismatch) in [
        (
            r#"{"IpAddress": {"aws:SourceIp":
                ["10.0.0.0/8", "172.16.0.0/12", "fd00::/8", "::1", "127.0.0.1"]}}"#,
            "condition IpAddress requires aws:SourceIp to be 10.0.0.0/8 or 172.16.0.0/12 or \
             fd00::/8 or one of 2 more, but the request has 192.168.1.1",
        ),
        (
            r#"{"Bool": {"aws:MultiFactorAuthPresent": "true"}}"#,
            "condition Bool requires aws:MultiFactorAuthPresent to be true, but the request has \
             no aws:MultiFactorAuthPresent",
        ),
        (
            r#"{"StringEquals": {"aws:SourceIp": "${aws:username}"}}"#,
            "condition StringEquals requires aws:SourceIp to be ${aws:username}, but the request \
             has 192.168.1.1 (${aws:username} has no value in this request)",
        ),
        (
            r#"{"StringEquals": {"aws:TagKeys": "a"}}"#,
            "condition StringEquals requires aws:TagKeys to be a, but the request has a or b (a \
             list needs ForAllValues: or ForAnyValue:)",
        ),
    ] {
        assert_eq!(nearest(&allow(condition), &context), format!("{start}{mismatch}"));
    }
}

#[test]
fn not_elements_and_variables_without_value_are_explained() {
    let context = Context::new();
    let except = r#"{"Effect": "Allow", "NotAction": ["iam:*", "rds-db:*"], "Resource": "*"}"#;
    assert_eq!(
        nearest(except, &context),
        "statement 1 of identity policy \"app\": its NotAction iam:* or rds-db:* excepts \
         rds-db:connect"
    );
    let own = r#"{"Effect": "Allow", "Action": "*",
        "Resource": "arn:aws:rds-db:*:*:dbuser:*/${aws:username}"}"#;
    assert!(
        nearest(own, &context)
            .ends_with("db-X/jane (${aws:username} has no value in this request)"),
        "{}",
        nearest(own, &context)
    );
}

#[test]
fn denial_is_serialized() {
    let text =
        r#"{"Statement": {"Sid": "S3", "Effect": "Allow", "Action": "s3:*", "Resource": "*"}}"#;
    let mut policies = PolicySet::new();
    policies.add(Layer::Identity, Policy::parse(text, PolicyKind::Identity).unwrap()).unwrap();
    let caller: Caller = "arn:aws:iam::123456789012:user/jane".parse().unwrap();
    let request = Request {
        caller: &caller,
        action: &"rds-db:connect".parse().unwrap(),
        resource: "*",
        resource_account: None,
        context: &Context::new(),
    };
    let crate::policy::Decision::Deny(reason) = decide(&request, &policies) else { panic!() };
    assert_eq!(
        serde_json::to_value(&reason).unwrap(),
        serde_json::json!({
            "action": "rds-db:connect", "resource": "*",
            "deny": "implicit", "layer": "identity", "policies": 1,
            "nearest": {
                "statement": {
                    "layer": "identity", "policy": 0, "statement": 0, "sid": "S3", "effect": "Allow"
                },
                "mismatch": {
                    "kind": "element", "element": "Action", "wanted": ["s3:*"],
                    "actual": "rds-db:connect", "unresolved": []
                }
            }
        })
    );
}

#[test]
fn explanation_is_serialized() {
    let text = r#"{"Statement": [
        {"Sid": "S3", "Effect": "Allow", "Action": "s3:*", "Resource": "*"},
        {"Effect": "Allow", "Action": "rds-db:*", "Resource": "*"}]}"#;
    let mut policies = PolicySet::new();
    policies.add(Layer::Identity, Policy::parse(text, PolicyKind::Identity).unwrap()).unwrap();
    let caller: Caller = "arn:aws:iam::123456789012:user/jane".parse().unwrap();
    let action = "rds-db:connect".parse().unwrap();
    let request = Request {
        caller: &caller,
        action: &action,
        resource: "*",
        resource_account: None,
        context: &Context::new(),
    };
    let value = serde_json::to_value(crate::policy::explain(&request, &policies)).unwrap();
    assert_eq!(value["decision"], "allowed");
    let statements = value["statements"].as_array().unwrap();
    assert_eq!(
        (&statements[0]["applies"], &statements[1]["applies"]),
        (&false.into(), &true.into())
    );
    assert!(
        statements[0]["reason"].as_str().unwrap().contains("s3:*")
            && statements[1].get("reason").is_none(),
        "{value}"
    );
}
