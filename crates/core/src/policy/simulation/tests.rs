use super::Simulation;
use proptest::prelude::*;

const USER: &str = "arn:aws:iam::123456789012:user/jane";

fn outcome(text: &str) -> String {
    let simulation = Simulation::parse(text).unwrap_or_else(|errors| panic!("{errors}"));
    serde_json::to_string_pretty(&simulation.run()).unwrap()
}

#[test]
fn minimal_input_is_evaluated() {
    let text = format!(r#"{{"principal": {USER:?}, "action": "rds-db:connect", "resource": "*"}}"#);
    assert_eq!(
        outcome(&text),
        r#"{
  "decision": "implicitDeny",
  "reason": "implicit deny: no identity policy allows rds-db:connect on *",
  "matched": []
}"#
    );
}

#[test]
fn policies_are_objects_strings_or_null() {
    let text = r#"{
        "principal": 123456789012, "action": "s3:GetObject",
        "resource": "arn:aws:s3:::b/k", "resource_account": null,
        "context": {"aws:SourceIp": "10.0.0.1", "a:n": 7, "a:b": true,
                    "aws:TagKeys": ["x", 1, false], "a:absent": null},
        "identity_policies": [
            {"Version": "2012-10-17", "Statement": [{
                "Sid": "Read", "Effect": "Allow", "Action": "s3:Get*", "Resource": "*",
                "Condition": {
                    "IpAddress": {"aws:sourceip": "10.0.0.0/8"},
                    "NumericEquals": {"a:n": "7"},
                    "Bool": {"a:b": "true"},
                    "ForAnyValue:StringEquals": {"aws:TagKeys": "false"},
                    "Null": {"a:absent": "true"}}}]},
            "{\"Statement\": {\"Effect\": \"Deny\", \"Action\": \"s3:Put*\", \"Resource\": \"*\"}}"
        ],
        "permission_boundaries": null, "session_policies": [],
        "service_control_policies": [], "resource_control_policies": [[]],
        "resource_policy": null
    }"#;
    let resource = "arn:aws:s3:::b/k";
    assert_eq!(
        outcome(text),
        format!(
            r#"{{
  "decision": "allowed",
  "reason": "allowed: statement \"Read\" of identity policy 1 allows s3:GetObject on {resource}",
  "matched": [
    {{
      "layer": "identity",
      "policy": 0,
      "statement": 0,
      "sid": "Read",
      "effect": "Allow"
    }}
  ]
}}"#
        )
    );
}

#[test]
fn matched_statements_have_layer_and_level() {
    let text = format!(
        r#"{{"principal": {USER:?}, "action": "s3:GetObject", "resource": "*",
            "identity_policies": [
                {{"Statement": {{"Effect": "Allow", "Action": "*", "Resource": "*"}}}}],
            "service_control_policies": [[], [
                {{"Statement": {{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}}}}]]}}"#
    );
    let outcome: serde_json::Value = serde_json::from_str(&outcome(&text)).unwrap();
    assert_eq!(outcome["decision"], "explicitDeny");
    assert_eq!(
        outcome["reason"],
        "explicit deny: statement 1 of service control policy 1 of level 2 denies s3:GetObject on *"
    );
    assert_eq!(
        outcome["matched"][0],
        serde_json::json!({
            "layer": "serviceControl", "level": 1, "policy": 0, "statement": 0, "effect": "Deny"
        })
    );
    assert_eq!(outcome["matched"][1]["layer"], "identity");
}

#[test]
fn errors_have_their_path_in_the_input() {
    let text = r#"{
  "principal": "jane doe", "action": "connect",
  "context": {"a:b": {}, "A:B": "x", "a:c": ["x", null], "a:C": "y"},
  "identity_policies": [
    {"Statement": {"Effect": "Allow", "Action": "*"}},
    "{\n\"Statement\": {\"Effect\": \"Allow\", \"Action\": \"*\", \"Resource\": 1}}",
    7
  ],
  "service_control_policies": [{}],
  "colour": "blue"
}"#;
    assert_eq!(
        Simulation::parse(text).unwrap_err().to_string(),
        "$ (line 1, column 1): the field \"resource\" is missing\n\
         $.principal (line 2, column 16): the principal \"jane doe\" is not an ARN, an account \
         id or the name of a service\n\
         $.action (line 2, column 38): the action \"connect\" is not of the form service:Name, \
         as in rds-db:connect\n\
         $.context[\"a:b\"] (line 3, column 22): a context value is a string, a number, a \
         boolean or a list of these, not an object\n\
         $.context[\"a:c\"][1] (line 3, column 51): a context value is a string, a number, a \
         boolean or a list of these, not null\n\
         $.context[\"a:C\"] (line 3, column 58): duplicate key \"a:C\", in different case; keep \
         one\n\
         $.identity_policies[0].Statement (line 5, column 19): the Resource element is missing; \
         add Resource or NotResource\n\
         $.identity_policies[1].Statement.Resource (line 6, column 5): expected a string, found \
         a number (line 2, column 61 of the document in this string)\n\
         $.identity_policies[2] (line 7, column 5): a policy document must be an object, not a \
         number\n\
         $.service_control_policies[0] (line 9, column 32): expected a list, found an object\n\
         $.colour (line 10, column 3): \"colour\" is not a field of a simulation, which has \
         principal, action, resource, resource_account, context, identity_policies, \
         permission_boundaries, session_policies, service_control_policies, \
         resource_control_policies, resource_policy"
    );
}

#[test]
fn explanation_covers_every_statement() {
    let text = format!(
        r#"{{"principal": {USER:?}, "action": "s3:GetObject", "resource": "arn:aws:s3:::b/k",
        "resource_policy": {{"Statement": [
            {{"Effect": "Allow", "Principal": {{"AWS": "123456789012"}},
                "Action": "s3:*", "Resource": "*"}},
            {{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "*",
                "Condition": {{"Bool": {{"aws:SecureTransport": "false"}}}}}}
        ]}}}}"#
    );
    assert_eq!(
        Simulation::parse(&text).unwrap().explain().to_string(),
        "implicit deny: no identity policy allows s3:GetObject on arn:aws:s3:::b/k\n\
         \n\
         resource policies: 1\n\
         \x20 statement 1 of resource policy (line 3) allows, if a policy of the account does as \
         well\n\
         \x20 statement 2 of resource policy (line 5) does not apply: its condition Bool requires \
         aws:SecureTransport to be false, but the request has no aws:SecureTransport\n"
    );
}

proptest! {
    #[test]
    fn simulation_never_panics(text in ".*") {
        let _ = Simulation::parse(&text);
    }
}
