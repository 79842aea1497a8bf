//! Each row is a sentence of AWS's documentation. Pages: OPERATORS is "IAM JSON policy elements:
//! Condition operators" (reference_policies_elements_condition_operators), SETS "Multivalued
//! context keys" (reference_policies_multi-value-conditions), VARIABLES "IAM policy elements:
//! Variables and tags" (reference_policies_variables), SINGLE "Single-valued vs. multivalued
//! context keys" (reference_policies_single-vs-multi-valued-condition-keys), all of the IAM user
//! guide.

mod single_valued;

use self::single_valued::SINGLE_VALUED;
use super::{OPERATORS, Operator};
use crate::policy::{
    Caller, Context, ContextValue, Decision, Layer, Policy, PolicyKind, PolicySet, Request, decide,
};

/// Returns true if a statement with `effect` and this condition applies, using the whole engine.
fn applies_to(effect: &str, condition: &str, context: &[(&str, ContextValue)]) -> bool {
    let allow = r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#;
    let other = if effect == "Deny" {
        allow
    } else {
        r#"{"Effect": "Deny", "Action": "no:Thing", "Resource": "*"}"#
    };
    let statement = format!(
        r#"{{"Effect": "{effect}", "Action": "*", "Resource": "*", "Condition": {condition}}}"#
    );
    let text = format!(r#"{{"Version": "2012-10-17", "Statement": [{statement}, {other}]}}"#);
    let policy =
        Policy::parse(&text, PolicyKind::Identity).unwrap_or_else(|errors| panic!("{errors}"));
    let mut policies = PolicySet::new();
    policies.add(Layer::Identity, policy).unwrap();
    let caller: Caller = "arn:aws:iam::123456789012:user/jane".parse().unwrap();
    let context: Context = context.iter().cloned().collect();
    let action = "s3:GetObject".parse().unwrap();
    let request = Request {
        caller: &caller,
        action: &action,
        resource: "*",
        resource_account: None,
        context: &context,
    };
    matches!(decide(&request, &policies), Decision::Allow(_)) == (effect == "Allow")
}

fn applies(condition: &str, context: &[(&str, ContextValue)]) -> bool {
    applies_to("Allow", condition, context)
}

fn one(value: &str) -> ContextValue {
    value.into()
}

fn many(values: &[&str]) -> ContextValue {
    ContextValue::Many(values.iter().map(|value| (*value).to_owned()).collect())
}

#[test]
fn single_valued_keys_are_compared_as_documented() {
    for (source, condition, value, holds) in SINGLE_VALUED {
        let context: Vec<_> = value.iter().map(|value| ("k:k", one(value))).collect();
        assert_eq!(applies(condition, &context), *holds, "{source}: {condition} with {value:?}");
        assert_eq!(
            applies_to("Deny", condition, &context),
            *holds,
            "{source}, of a Deny: {condition} with {value:?}"
        );
    }
}

/// Page, condition, values of `k:k` in the request, and result of the condition.
const MULTIVALUED: &[(&str, &str, &[&str], bool)] = &[
    (
        "SETS: every value of the request has to match",
        r#"{"ForAllValues:StringEquals": {"k:k": ["a", "b"]}}"#,
        &["a", "b"],
        true,
    ),
    (
        "SETS: every value of the request has to match",
        r#"{"ForAllValues:StringEquals": {"k:k": ["a", "b"]}}"#,
        &["a", "c"],
        false,
    ),
    ("SETS: an empty data set", r#"{"ForAllValues:StringEquals": {"k:k": "a"}}"#, &[], true),
    ("SETS: an empty data set", r#"{"ForAnyValue:StringEquals": {"k:k": "a"}}"#, &[], false),
    (
        "SETS: one value of the request has to match",
        r#"{"ForAnyValue:StringEquals": {"k:k": ["a", "b"]}}"#,
        &["c", "b"],
        true,
    ),
    (
        "SETS: one value of the request has to match",
        r#"{"ForAnyValue:StringEquals": {"k:k": ["a", "b"]}}"#,
        &["c"],
        false,
    ),
    (
        "SETS: negated, no value may match",
        r#"{"ForAllValues:StringNotEquals": {"k:k": ["a", "b"]}}"#,
        &["c", "a"],
        false,
    ),
    (
        "SETS: negated, no value may match",
        r#"{"ForAllValues:StringNotEquals": {"k:k": ["a", "b"]}}"#,
        &["c", "d"],
        true,
    ),
    (
        "SETS: negated, one value that does not match",
        r#"{"ForAnyValue:StringNotEquals": {"k:k": ["a", "b"]}}"#,
        &["a", "c"],
        true,
    ),
    (
        "SETS: negated, one value that does not match",
        r#"{"ForAnyValue:StringNotEquals": {"k:k": ["a", "b"]}}"#,
        &["a", "b"],
        false,
    ),
    (
        "SINGLE: a multivalued key requires a set operator",
        r#"{"StringEquals": {"k:k": "a"}}"#,
        &["a"],
        false,
    ),
    ("SINGLE: … negated too", r#"{"StringNotEquals": {"k:k": "b"}}"#, &["a"], false),
    ("SINGLE: … IfExists too", r#"{"StringEqualsIfExists": {"k:k": "a"}}"#, &["a"], false),
    (
        "SINGLE: no multivalued key as a variable",
        r#"{"StringEquals": {"aws:username": "${k:k}"}}"#,
        &["jane"],
        false,
    ),
    ("OPERATORS: Null, the key exists", r#"{"Null": {"k:k": "false"}}"#, &["a"], true),
    ("OPERATORS: Null, its value is null", r#"{"Null": {"k:k": "true"}}"#, &[], true),
];

#[test]
fn multivalued_keys_are_compared_as_documented() {
    for (source, condition, values, holds) in MULTIVALUED {
        assert_eq!(
            applies(condition, &[("K:k", many(values))]),
            *holds,
            "{source}: {condition} with {values:?}"
        );
    }
}

/// AWS documents no result for a value that is not of the operator's type; the engine denies.
#[test]
fn incomparable_values_deny() {
    for operator in
        [r#"{"IpAddress": {"k:k": "10.0.0.0/8"}}"#, r#"{"NotIpAddress": {"k:k": "10.0.0.0/8"}}"#]
    {
        let context = [("k:k", one("unknown"))];
        assert!(!applies_to("Allow", operator, &context), "an Allow does not apply: {operator}");
        assert!(applies_to("Deny", operator, &context), "a Deny applies: {operator}");
    }
    for condition in [
        r#"{"NumericNotEquals": {"k:k": "1"}}"#,
        r#"{"DateNotEquals": {"k:k": "1"}}"#,
        r#"{"Bool": {"k:k": "true"}}"#,
        r#"{"BinaryEquals": {"k:k": "QQ=="}}"#,
    ] {
        assert!(!applies(condition, &[("k:k", one("?"))]), "{condition}");
    }
}

#[test]
fn every_operator_accepts_if_exists_and_set_quantifiers() {
    for (name, ..) in OPERATORS {
        assert!(Operator::parse(name).is_ok());
        for decorated in [
            format!("{name}IfExists"),
            format!("ForAllValues:{name}"),
            format!("ForAnyValue:{name}IfExists"),
        ] {
            assert_eq!(Operator::parse(&decorated).is_ok(), name != "Null", "{decorated}");
        }
    }
}

#[test]
fn unknown_operators_are_rejected() {
    for (name, problem) in [
        ("stringequals", r#"write "StringEquals""#),
        ("StringEqual", "is not a condition operator"),
        ("ForAnyValue::StringEquals", "is not a condition operator"),
        ("ForEveryValue:StringEquals", "is not a set quantifier"),
        ("IfExists", "is not a condition operator"),
        ("NullIfExists", "Null accepts neither"),
        ("", "is not a condition operator"),
    ] {
        let error = Operator::parse(name).unwrap_err();
        assert!(error.contains(problem), "{name}: {error}");
    }
}
