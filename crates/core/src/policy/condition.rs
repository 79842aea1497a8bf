//! Condition operators: their table, and their evaluation on the values of a request.
//!
//! Source, unless another is named: IAM user guide, "IAM JSON policy elements: Condition operators"
//! and "Multivalued context keys".

use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;

use super::context::{ContextValueRef, Request};
use super::element::{Effect, Polarity};
use super::operand::{Decimal, Instant, Network, is_base64};
use super::pattern::{ArnSegments, Pattern, Variables, Wildcards};

/// Comparison of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Text,
    TextIgnoringCase,
    Like,
    Arn,
    Number(Relation),
    Date(Relation),
    Bool,
    Binary,
    Address,
    /// Compares the absence of the key with `true` or `false`.
    Null,
}

/// Relation of the request's value to the policy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Relation {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Relation {
    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// All operators, without `IfExists` and the set quantifiers.
const OPERATORS: [(&str, Comparison, Polarity); 27] = [
    ("StringEquals", Comparison::Text, Polarity::Is),
    ("StringNotEquals", Comparison::Text, Polarity::IsNot),
    ("StringEqualsIgnoreCase", Comparison::TextIgnoringCase, Polarity::Is),
    ("StringNotEqualsIgnoreCase", Comparison::TextIgnoringCase, Polarity::IsNot),
    ("StringLike", Comparison::Like, Polarity::Is),
    ("StringNotLike", Comparison::Like, Polarity::IsNot),
    ("NumericEquals", Comparison::Number(Relation::Equal), Polarity::Is),
    ("NumericNotEquals", Comparison::Number(Relation::Equal), Polarity::IsNot),
    ("NumericLessThan", Comparison::Number(Relation::Less), Polarity::Is),
    ("NumericLessThanEquals", Comparison::Number(Relation::LessOrEqual), Polarity::Is),
    ("NumericGreaterThan", Comparison::Number(Relation::Greater), Polarity::Is),
    ("NumericGreaterThanEquals", Comparison::Number(Relation::GreaterOrEqual), Polarity::Is),
    ("DateEquals", Comparison::Date(Relation::Equal), Polarity::Is),
    ("DateNotEquals", Comparison::Date(Relation::Equal), Polarity::IsNot),
    ("DateLessThan", Comparison::Date(Relation::Less), Polarity::Is),
    ("DateLessThanEquals", Comparison::Date(Relation::LessOrEqual), Polarity::Is),
    ("DateGreaterThan", Comparison::Date(Relation::Greater), Polarity::Is),
    ("DateGreaterThanEquals", Comparison::Date(Relation::GreaterOrEqual), Polarity::Is),
    ("Bool", Comparison::Bool, Polarity::Is),
    ("BinaryEquals", Comparison::Binary, Polarity::Is),
    ("IpAddress", Comparison::Address, Polarity::Is),
    ("NotIpAddress", Comparison::Address, Polarity::IsNot),
    ("ArnEquals", Comparison::Arn, Polarity::Is),
    ("ArnLike", Comparison::Arn, Polarity::Is),
    ("ArnNotEquals", Comparison::Arn, Polarity::IsNot),
    ("ArnNotLike", Comparison::Arn, Polarity::IsNot),
    ("Null", Comparison::Null, Polarity::Is),
];

/// The values of a key that an operator applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    Single,
    ForAllValues,
    ForAnyValue,
}

/// Result of an operator for a key that the request does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absent {
    /// Only a negated operator holds.
    ByPolarity,
    /// `…IfExists`: the operator holds.
    Holds,
}

/// An operator with prefix and suffix, such as `ForAnyValue:StringLikeIfExists`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Operator {
    name: Box<str>,
    comparison: Comparison,
    polarity: Polarity,
    quantifier: Quantifier,
    absent: Absent,
}

impl Operator {
    /// Parses an operator. The error describes the problem and its remedy.
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        let (quantifier, rest) = match name.split_once(':') {
            None => (Quantifier::Single, name),
            Some(("ForAllValues", rest)) => (Quantifier::ForAllValues, rest),
            Some(("ForAnyValue", rest)) => (Quantifier::ForAnyValue, rest),
            Some((other, _)) => {
                return Err(format!(
                    "{other:?} is not a set quantifier; write \"ForAllValues:\" or \"ForAnyValue:\""
                ));
            }
        };
        let (base, absent) = rest
            .strip_suffix("IfExists")
            .map_or((rest, Absent::ByPolarity), |base| (base, Absent::Holds));
        let Some(&(_, comparison, polarity)) = OPERATORS.iter().find(|row| row.0 == base) else {
            let near = OPERATORS
                .iter()
                .find(|row| row.0.eq_ignore_ascii_case(base))
                .map_or("StringEquals", |row| row.0);
            return Err(format!(
                "{base:?} is not a condition operator; write {near:?} or another operator of IAM"
            ));
        };
        if comparison == Comparison::Null
            && (quantifier != Quantifier::Single || absent == Absent::Holds)
        {
            return Err(format!(
                "{name:?}: Null accepts neither a set quantifier nor IfExists; write \"Null\""
            ));
        }
        Ok(Self { name: name.into(), comparison, polarity, quantifier, absent })
    }

    /// Returns true if the operator requires a single-valued key.
    pub(super) fn is_single(&self) -> bool {
        self.quantifier == Quantifier::Single && self.comparison != Comparison::Null
    }

    /// Compiles a value of a policy for the operator.
    pub(super) fn operand(&self, text: &str, variables: Variables) -> Result<Operand, String> {
        let typed = |operand: Option<Operand>, what: &str| {
            operand.ok_or_else(|| format!("{text:?} is not {what}, which {} requires", self.name))
        };
        match self.comparison {
            Comparison::Text | Comparison::TextIgnoringCase => {
                Pattern::compile(text, Wildcards::Literal, variables).map(Operand::Pattern)
            }
            Comparison::Like => {
                Pattern::compile(text, Wildcards::Special, variables).map(Operand::Pattern)
            }
            Comparison::Arn => {
                let pattern = Pattern::compile(text, Wildcards::Special, variables)?;
                let whole = pattern.has_variables()
                    || (text.starts_with("arn:") && text.matches(':').count() >= 5);
                typed(
                    whole.then_some(Operand::Pattern(pattern)),
                    "an ARN of six parts (arn:partition:service:region:account:resource)",
                )
            }
            Comparison::Bool => {
                let pattern = Pattern::compile(text, Wildcards::Literal, variables)?;
                let known = pattern.has_variables() || boolean(text).is_some();
                typed(known.then_some(Operand::Pattern(pattern)), "\"true\" or \"false\"")
            }
            Comparison::Number(_) => {
                typed(Decimal::parse(text).map(Operand::Number), "a decimal number")
            }
            Comparison::Date(_) => typed(
                Instant::parse(text).map(Operand::Date),
                "a date such as 2024-01-15T12:00:00Z, or seconds since 1970",
            ),
            Comparison::Address => typed(
                Network::parse(text).map(Operand::Network),
                "an IP address or a range such as 203.0.113.0/24",
            ),
            Comparison::Binary => {
                typed(is_base64(text).then(|| Operand::Binary(text.into())), "Base64")
            }
            Comparison::Null => typed(boolean(text).map(Operand::Absent), "\"true\" or \"false\""),
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn boolean(text: &str) -> Option<bool> {
    let is = |word: &str| text.eq_ignore_ascii_case(word);
    if is("true") { Some(true) } else { is("false").then_some(false) }
}

/// A value of a policy, compiled for its operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Operand {
    Pattern(Pattern),
    Number(Decimal),
    Date(Instant),
    Network(Network),
    Binary(Box<str>),
    /// True if the key must be absent.
    Absent(bool),
}

/// One key of one operator, with the values that it is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) operator: Operator,
    /// The key as written.
    pub(super) key: Box<str>,
    /// The key in lower case.
    pub(super) folded: Box<str>,
    pub(super) operands: Box<[Operand]>,
    /// The operands as written.
    pub(super) wanted: Box<[Box<str>]>,
}

impl Condition {
    /// Returns true if the condition holds for a request. `effect` is that of the statement: see
    /// [`Self::meets`].
    pub(super) fn holds(&self, request: &Request<'_>, effect: Effect) -> bool {
        let value_ref = request.context_value(&self.folded);
        if self.operator.comparison == Comparison::Null {
            let absent = value_ref.is_none_or(|value_ref| value_ref.values().next().is_none());
            return self.operands.contains(&Operand::Absent(absent));
        }
        match (self.operator.quantifier, value_ref) {
            // Set operators define the result for an absent key; a key without values counts as
            // absent. IfExists does not change that result (iam.cloudcopilot.io,
            // "ForAnyValue:StringNotEqualsIfExists").
            (Quantifier::ForAllValues, value_ref) => value_ref.is_none_or(|value_ref| {
                is_null(value_ref)
                    || value_ref.values().all(|value| self.meets(value, request, effect))
            }),
            (Quantifier::ForAnyValue, value_ref) => value_ref.is_some_and(|value_ref| {
                !is_null(value_ref)
                    && value_ref.values().any(|value| self.meets(value, request, effect))
            }),
            (Quantifier::Single, Some(ContextValueRef::One(value))) => {
                self.meets(value, request, effect)
            }
            // "Multivalued condition keys require a condition set operator": others do not hold.
            (Quantifier::Single, Some(ContextValueRef::Many(values))) if !values.is_empty() => {
                false
            }
            (Quantifier::Single, _) => {
                self.operator.absent == Absent::Holds || self.operator.polarity == Polarity::IsNot
            }
        }
    }

    /// Variables of the operands that have no value.
    pub(super) fn unresolved<'a>(
        &'a self,
        request: &'a Request<'_>,
    ) -> impl Iterator<Item = &'a str> {
        patterns(&self.operands).flat_map(|pattern| pattern.unresolved(request))
    }

    /// Returns true if one value of the request satisfies the operator: an operand matches or, for
    /// a negated operator, none does.
    ///
    /// A value that is not of the operator's type, such as a malformed address, cannot be compared.
    /// AWS does not document the result; here a Deny applies and an Allow does not.
    fn meets(&self, value: &str, request: &Request<'_>, effect: Effect) -> bool {
        match self.operator.compare(&self.operands, value, request) {
            Some(matched) => self.operator.polarity.holds(matched),
            None => effect == Effect::Deny,
        }
    }
}

/// "It also returns true if there are no keys in the request, or if the key values resolve to a
/// null data set, such as an empty string" (of ForAllValues).
fn is_null(value_ref: ContextValueRef<'_>) -> bool {
    value_ref.values().all(str::is_empty)
}

impl Operator {
    /// Returns true if `value` matches one of `operands`, and `None` if it is not of the operator's
    /// type.
    fn compare(&self, operands: &[Operand], value: &str, request: &Request<'_>) -> Option<bool> {
        let patterns = || patterns(operands);
        let texts = || patterns().filter_map(|pattern| pattern.text(request));
        Some(match self.comparison {
            Comparison::Text | Comparison::Like => {
                patterns().any(|pattern| pattern.matches(value, ArnSegments::NONE, request))
            }
            Comparison::Arn => {
                let segments = ArnSegments::of_arn(value);
                patterns().any(|pattern| pattern.matches(value, segments, request))
            }
            Comparison::TextIgnoringCase => texts().any(|text| equal_ignoring_case(&text, value)),
            Comparison::Bool => {
                let value = boolean(value)?;
                texts().any(|text| boolean(&text) == Some(value))
            }
            Comparison::Number(relation) => {
                let value = Decimal::parse(value)?;
                operands.iter().any(|operand| {
                    matches!(operand, Operand::Number(number) if relation.holds(value.cmp(number)))
                })
            }
            Comparison::Date(relation) => {
                let value = Instant::parse(value)?;
                operands.iter().any(|operand| {
                    matches!(operand, Operand::Date(date) if relation.holds(value.cmp(date)))
                })
            }
            Comparison::Address => {
                let value: IpAddr = value.parse().ok()?;
                operands.iter().any(|operand| {
                    matches!(operand, Operand::Network(network) if network.contains(value))
                })
            }
            Comparison::Binary if is_base64(value) => operands
                .iter()
                .any(|operand| matches!(operand, Operand::Binary(binary) if **binary == *value)),
            Comparison::Binary | Comparison::Null => return None,
        })
    }
}

fn patterns(operands: &[Operand]) -> impl Iterator<Item = &Pattern> {
    operands.iter().filter_map(|operand| {
        if let Operand::Pattern(pattern) = operand { Some(pattern) } else { None }
    })
}

fn equal_ignoring_case(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
        || one.chars().flat_map(char::to_lowercase).eq(other.chars().flat_map(char::to_lowercase))
}

#[cfg(test)]
mod tests;
