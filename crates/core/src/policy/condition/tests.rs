//! Each row is a sentence of AWS's documentation. Pages: OPERATORS is "IAM JSON policy elements:
//! Condition operators" (reference_policies_elements_condition_operators), SETS "Multivalued
//! context keys" (reference_policies_multi-value-conditions), VARIABLES "IAM policy elements:
//! Variables and tags" (reference_policies_variables), SINGLE "Single-valued vs. multivalued
//! context keys" (reference_policies_single-vs-multi-valued-condition-keys), all of the IAM user
//! guide.

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
        Policy::parse(&text, PolicyKind::Identity).unwrap_or_else(|mistakes| panic!("{mistakes}"));
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

/// A page, a condition, the value of the key `k:k` in the request, and whether the condition holds.
type Row = (&'static str, &'static str, Option<&'static str>, bool);

const SINGLE_VALUED: &[Row] = &[
    (
        "OPERATORS: exact matching, case sensitive",
        r#"{"StringEquals": {"k:k": "Ab"}}"#,
        Some("Ab"),
        true,
    ),
    (
        "OPERATORS: exact matching, case sensitive",
        r#"{"StringEquals": {"k:k": "Ab"}}"#,
        Some("ab"),
        false,
    ),
    (
        "OPERATORS: wildcards are StringLike's",
        r#"{"StringEquals": {"k:k": "A*"}}"#,
        Some("Ab"),
        false,
    ),
    (
        "OPERATORS: wildcards are StringLike's",
        r#"{"StringEquals": {"k:k": "A*"}}"#,
        Some("A*"),
        true,
    ),
    ("OPERATORS: negated matching", r#"{"StringNotEquals": {"k:k": "Ab"}}"#, Some("ab"), true),
    (
        "OPERATORS: exact matching, ignoring case",
        r#"{"StringEqualsIgnoreCase": {"k:k": "ÄB"}}"#,
        Some("äb"),
        true,
    ),
    (
        "OPERATORS: negated matching, ignoring case",
        r#"{"StringNotEqualsIgnoreCase": {"k:k": "AB"}}"#,
        Some("ab"),
        false,
    ),
    (
        "OPERATORS: multi-character wildcard",
        r#"{"StringLike": {"k:k": "t2.*"}}"#,
        Some("t2.micro"),
        true,
    ),
    (
        "OPERATORS: single-character wildcard",
        r#"{"StringLike": {"k:k": "t?.micro"}}"#,
        Some("t2.micro"),
        true,
    ),
    (
        "OPERATORS: case-sensitive matching",
        r#"{"StringLike": {"k:k": "T2.*"}}"#,
        Some("t2.micro"),
        false,
    ),
    (
        "OPERATORS: you must specify wildcards for partial matches",
        r#"{"StringLike": {"k:k": "t2"}}"#,
        Some("t2.micro"),
        false,
    ),
    ("OPERATORS: negated", r#"{"StringNotLike": {"k:k": "t2.*"}}"#, Some("m5.large"), true),
    (
        "OPERATORS: several values are a logical OR",
        r#"{"StringEquals": {"k:k": ["a", "b"]}}"#,
        Some("b"),
        true,
    ),
    (
        "OPERATORS: several negated values are a NOR",
        r#"{"StringNotEquals": {"k:k": ["a", "b"]}}"#,
        Some("b"),
        false,
    ),
    (
        "OPERATORS: several negated values are a NOR",
        r#"{"StringNotEquals": {"k:k": ["a", "b"]}}"#,
        Some("c"),
        true,
    ),
    (
        "OPERATORS: several keys are a logical AND",
        r#"{"StringEquals": {"k:k": "a", "k:l": "b"}}"#,
        Some("a"),
        false,
    ),
    (
        "OPERATORS: several operators are a logical AND",
        r#"{"StringEquals": {"k:k": "a"}, "Null": {"k:k": "true"}}"#,
        Some("a"),
        false,
    ),
    (
        "OPERATORS: key names are not case-sensitive",
        r#"{"StringEquals": {"K:K": "a"}}"#,
        Some("a"),
        true,
    ),
    ("OPERATORS: numeric", r#"{"NumericEquals": {"k:k": "10"}}"#, Some("10.0"), true),
    ("OPERATORS: numeric, unquoted", r#"{"NumericLessThanEquals": {"k:k": 10}}"#, Some("10"), true),
    ("OPERATORS: numeric", r#"{"NumericLessThan": {"k:k": "10"}}"#, Some("10"), false),
    ("OPERATORS: numeric, not by text", r#"{"NumericLessThan": {"k:k": "10"}}"#, Some("9"), true),
    ("OPERATORS: numeric", r#"{"NumericGreaterThan": {"k:k": "10"}}"#, Some("10.5"), true),
    ("OPERATORS: numeric", r#"{"NumericGreaterThanEquals": {"k:k": "10"}}"#, Some("9.99"), false),
    ("OPERATORS: numeric", r#"{"NumericNotEquals": {"k:k": "10"}}"#, Some("11"), true),
    (
        "OPERATORS: date",
        r#"{"DateGreaterThan": {"k:k": "2020-01-01T00:00:01Z"}}"#,
        Some("2020-01-01T00:00:02Z"),
        true,
    ),
    (
        "OPERATORS: date in epoch time",
        r#"{"DateEquals": {"k:k": "1577836801"}}"#,
        Some("2020-01-01T00:00:01Z"),
        true,
    ),
    (
        "OPERATORS: date",
        r#"{"DateNotEquals": {"k:k": "2020-01-01"}}"#,
        Some("2020-01-01T00:00:00Z"),
        false,
    ),
    (
        "OPERATORS: date",
        r#"{"DateLessThan": {"k:k": "2020-01-01"}}"#,
        Some("2019-12-31T23:59:59Z"),
        true,
    ),
    (
        "OPERATORS: date",
        r#"{"DateLessThanEquals": {"k:k": "2020-01-01"}}"#,
        Some("2020-01-01T00:00:00Z"),
        true,
    ),
    (
        "OPERATORS: date",
        r#"{"DateGreaterThanEquals": {"k:k": "2020-01-01"}}"#,
        Some("2019-12-31T23:59:59Z"),
        false,
    ),
    ("OPERATORS: boolean", r#"{"Bool": {"k:k": "false"}}"#, Some("false"), true),
    ("OPERATORS: boolean, unquoted", r#"{"Bool": {"k:k": true}}"#, Some("true"), true),
    ("OPERATORS: boolean", r#"{"Bool": {"k:k": "true"}}"#, Some("false"), false),
    (
        "OPERATORS: byte for byte against Base64",
        r#"{"BinaryEquals": {"k:k": "QmluYXJ5VmFsdWVJbkJhc2U2NA=="}}"#,
        Some("QmluYXJ5VmFsdWVJbkJhc2U2NA=="),
        true,
    ),
    (
        "OPERATORS: byte for byte against Base64",
        r#"{"BinaryEquals": {"k:k": "QQ=="}}"#,
        Some("QUI="),
        false,
    ),
    (
        "OPERATORS: IP address",
        r#"{"IpAddress": {"k:k": "203.0.113.0/24"}}"#,
        Some("203.0.113.255"),
        true,
    ),
    (
        "OPERATORS: IP address without prefix is /32",
        r#"{"IpAddress": {"k:k": "203.0.113.1"}}"#,
        Some("203.0.113.2"),
        false,
    ),
    (
        "OPERATORS: IPv6",
        r#"{"IpAddress": {"k:k": ["203.0.113.0/24", "2001:DB8:1234:5678::/64"]}}"#,
        Some("2001:db8:1234:5678::9"),
        true,
    ),
    (
        "OPERATORS: all addresses except",
        r#"{"NotIpAddress": {"k:k": "203.0.113.0/24"}}"#,
        Some("198.51.100.1"),
        true,
    ),
    (
        "OPERATORS: ArnEquals and ArnLike are the same",
        r#"{"ArnEquals": {"k:k": "arn:aws:sns:*:123456789012:*"}}"#,
        Some("arn:aws:sns:us-east-1:123456789012:topic"),
        true,
    ),
    (
        "OPERATORS: each of the six parts is checked separately",
        r#"{"ArnLike": {"k:k": "arn:aws:someservice:*:111122223333:finance/*"}}"#,
        Some(
            "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt",
        ),
        false,
    ),
    (
        "OPERATORS: a string operator would match there",
        r#"{"StringLike": {"k:k": "arn:aws:someservice:*:111122223333:finance/*"}}"#,
        Some(
            "arn:aws:someservice:us-east-2:999999999999:store/abc:111122223333:finance/document.txt",
        ),
        true,
    ),
    (
        "OPERATORS: negated matching for ARN",
        r#"{"ArnNotLike": {"k:k": "arn:aws:sns:*:123456789012:*"}}"#,
        Some("arn:aws:sns:us-east-1:210987654321:t"),
        true,
    ),
    (
        "OPERATORS: negated matching for ARN",
        r#"{"ArnNotEquals": {"k:k": "arn:aws:sns:*:123456789012:*"}}"#,
        Some("arn:aws:sns:us-east-1:123456789012:t"),
        false,
    ),
    // Absent keys.
    (
        "OPERATORS: a key that is not present does not match",
        r#"{"StringEquals": {"k:k": "a"}}"#,
        None,
        false,
    ),
    ("OPERATORS: … of any type", r#"{"NumericLessThan": {"k:k": "1"}}"#, None, false),
    ("OPERATORS: … of any type", r#"{"Bool": {"k:k": "false"}}"#, None, false),
    ("OPERATORS: negated, it is true", r#"{"StringNotLike": {"k:k": "a"}}"#, None, true),
    (
        "OPERATORS: negated, it is true",
        r#"{"ArnNotLike": {"k:k": "arn:aws:iam::123456789012:user/*"}}"#,
        None,
        true,
    ),
    ("OPERATORS: negated, it is true", r#"{"NotIpAddress": {"k:k": "10.0.0.0/8"}}"#, None, true),
    (
        "OPERATORS: IfExists, not present, is true",
        r#"{"StringLikeIfExists": {"k:k": "t2.*"}}"#,
        None,
        true,
    ),
    (
        "OPERATORS: IfExists, present, is processed",
        r#"{"StringLikeIfExists": {"k:k": "t2.*"}}"#,
        Some("m5.large"),
        false,
    ),
    (
        "OPERATORS: negated IfExists, not present, is true",
        r#"{"StringNotEqualsIfExists": {"k:k": "a"}}"#,
        None,
        true,
    ),
    ("OPERATORS: Null true, the key does not exist", r#"{"Null": {"k:k": "true"}}"#, None, true),
    ("OPERATORS: Null true, the key exists", r#"{"Null": {"k:k": true}}"#, Some(""), false),
    ("OPERATORS: Null false, the key exists", r#"{"Null": {"k:k": "false"}}"#, Some("a"), true),
    ("OPERATORS: Null false, the key does not exist", r#"{"Null": {"k:k": "false"}}"#, None, false),
    // Sets, of a key with one value or none.
    (
        "SETS: ForAllValues is true without the key",
        r#"{"ForAllValues:StringEquals": {"k:k": "a"}}"#,
        None,
        true,
    ),
    (
        "SETS: ForAllValues is true for an empty string",
        r#"{"ForAllValues:StringEquals": {"k:k": "a"}}"#,
        Some(""),
        true,
    ),
    ("SETS: ForAllValues", r#"{"ForAllValues:StringEquals": {"k:k": "a"}}"#, Some("b"), false),
    (
        "SETS: ForAnyValue is false without the key",
        r#"{"ForAnyValue:StringEquals": {"k:k": "a"}}"#,
        None,
        false,
    ),
    ("SETS: … negated too", r#"{"ForAnyValue:StringNotEquals": {"k:k": "a"}}"#, None, false),
    (
        "iam.cloudcopilot.io: ForAnyValue ignores IfExists",
        r#"{"ForAnyValue:StringEqualsIfExists": {"k:k": "a"}}"#,
        None,
        false,
    ),
    ("SETS: ForAnyValue", r#"{"ForAnyValue:StringLike": {"k:k": "a*"}}"#, Some("ab"), true),
    // Variables.
    (
        "VARIABLES: replaced by the request's value",
        r#"{"StringEquals": {"k:k": "${aws:username}"}}"#,
        Some("jane"),
        true,
    ),
    (
        "VARIABLES: in string comparisons",
        r#"{"StringLike": {"k:k": "${aws:username}/*"}}"#,
        Some("jane/x"),
        true,
    ),
    (
        "VARIABLES: in ARN comparisons",
        r#"{"ArnLike": {"k:k": "arn:aws:iam::*:user/${aws:username}"}}"#,
        Some("arn:aws:iam::1:user/jane"),
        true,
    ),
    (
        "OPERATORS: a variable with the Boolean operator",
        r#"{"Bool": {"k:k": "${aws:PrincipalIsAWSService}"}}"#,
        Some("false"),
        true,
    ),
    (
        "VARIABLES: a variable with no value matches nothing",
        r#"{"StringEquals": {"k:k": "${aws:PrincipalTag/Team}"}}"#,
        Some("red"),
        false,
    ),
    (
        "VARIABLES: … inverted operators do match",
        r#"{"StringNotEquals": {"k:k": "${aws:PrincipalTag/Team}"}}"#,
        Some("red"),
        true,
    ),
    (
        "VARIABLES: default values",
        r#"{"StringEquals": {"k:k": "${aws:PrincipalTag/Team, 'company-wide'}"}}"#,
        Some("company-wide"),
        true,
    ),
    ("VARIABLES: special characters", r#"{"StringLike": {"k:k": "a${*}*"}}"#, Some("a*b"), true),
    ("VARIABLES: special characters", r#"{"StringLike": {"k:k": "a${*}*"}}"#, Some("ab"), false),
];

#[test]
fn single_values_are_compared_as_documented() {
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

/// A page, a condition, the values of `k:k`, and whether the condition holds.
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
fn many_values_are_compared_as_documented() {
    for (source, condition, values, holds) in MULTIVALUED {
        assert_eq!(
            applies(condition, &[("K:k", many(values))]),
            *holds,
            "{source}: {condition} with {values:?}"
        );
    }
}

/// AWS does not say what becomes of a value that is not of the operator's type; here it counts
/// against the caller.
#[test]
fn a_value_that_cannot_be_compared_counts_against_the_caller() {
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
fn every_operator_takes_its_suffix_and_prefixes() {
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
fn unknown_operators_are_refused() {
    for (name, problem) in [
        ("stringequals", r#"write "StringEquals""#),
        ("StringEqual", "is not a condition operator"),
        ("ForAnyValue::StringEquals", "is not a condition operator"),
        ("ForEveryValue:StringEquals", "is not a set quantifier"),
        ("IfExists", "is not a condition operator"),
        ("NullIfExists", "Null accepts neither"),
        ("", "is not a condition operator"),
    ] {
        let refused = Operator::parse(name).unwrap_err();
        assert!(refused.contains(problem), "{name}: {refused}");
    }
}
