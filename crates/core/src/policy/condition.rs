//! Conditions: one table of operators, and what each does with the values of a request.
//!
//! Source of the semantics, where no other is named: IAM user guide, "IAM JSON policy elements: Condition operators"
//! and "Multivalued context keys".

use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;

use super::context::{Fact, Request};
use super::element::{Effect, Polarity};
use super::operand::{Decimal, Instant, Network, is_base64};
use super::pattern::{ArnSegments, Pattern, Variables, Wildcards};

/// How an operator compares two values.
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
    /// Whether the key is absent.
    Null,
}

/// A relation that the request's value has to the policy's.
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

/// Every operator, without `IfExists` and the set quantifiers.
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

/// How many values of a key an operator looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    Single,
    ForAllValues,
    ForAnyValue,
}

/// What an operator says of a key that the request does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absent {
    /// What its sense implies: only a negated operator holds.
    BySense,
    /// `…IfExists`: it holds.
    Holds,
}

/// An operator as a policy writes it, such as `ForAnyValue:StringLikeIfExists`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Operator {
    name: Box<str>,
    comparison: Comparison,
    sense: Polarity,
    quantifier: Quantifier,
    absent: Absent,
}

impl Operator {
    /// Reads an operator; the error says what is wrong with it.
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        let (quantifier, rest) = match name.split_once(':') {
            None => (Quantifier::Single, name),
            Some(("ForAllValues", rest)) => (Quantifier::ForAllValues, rest),
            Some(("ForAnyValue", rest)) => (Quantifier::ForAnyValue, rest),
            Some((other, _)) => {
                return Err(format!(
                    "{other:?} is no set quantifier; write \"ForAllValues:\" or \"ForAnyValue:\""
                ));
            }
        };
        let (base, absent) = rest
            .strip_suffix("IfExists")
            .map_or((rest, Absent::BySense), |base| (base, Absent::Holds));
        let Some(&(_, comparison, sense)) = OPERATORS.iter().find(|row| row.0 == base) else {
            let near = OPERATORS
                .iter()
                .find(|row| row.0.eq_ignore_ascii_case(base))
                .map_or("StringEquals", |row| row.0);
            return Err(format!(
                "{base:?} is no condition operator; write {near:?} or another that IAM knows"
            ));
        };
        if comparison == Comparison::Null
            && (quantifier != Quantifier::Single || absent == Absent::Holds)
        {
            return Err(format!(
                "{name:?}: Null takes neither a set quantifier nor IfExists; write \"Null\""
            ));
        }
        Ok(Self { name: name.into(), comparison, sense, quantifier, absent })
    }

    /// Whether it looks at a single value.
    pub(super) fn is_single(&self) -> bool {
        self.quantifier == Quantifier::Single && self.comparison != Comparison::Null
    }

    /// Compiles a value that the operator compares with.
    pub(super) fn operand(&self, text: &str, variables: Variables) -> Result<Operand, String> {
        let typed = |operand: Option<Operand>, what: &str| {
            operand.ok_or_else(|| format!("{text:?} is not {what}, which {} needs", self.name))
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
    /// Whether the key has to be absent.
    Absent(bool),
}

/// One key of one operator, with the values that it is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) operator: Operator,
    /// As it was written.
    pub(super) key: Box<str>,
    /// In lower case.
    pub(super) folded: Box<str>,
    pub(super) operands: Box<[Operand]>,
    /// The operands as they were written.
    pub(super) wanted: Box<[Box<str>]>,
}

impl Condition {
    /// Whether the condition holds for a request. `effect` is the statement's: see [`Self::meets`].
    pub(super) fn holds(&self, request: &Request<'_>, effect: Effect) -> bool {
        let fact = request.fact(&self.folded);
        if self.operator.comparison == Comparison::Null {
            let absent = fact.is_none_or(|fact| fact.values().next().is_none());
            return self.operands.contains(&Operand::Absent(absent));
        }
        match (self.operator.quantifier, fact) {
            // Set operators have their own answer for an absent key, and a key with nothing in it counts as absent.
            // IfExists does not change that answer (iam.cloudcopilot.io, "ForAnyValue:StringNotEqualsIfExists").
            (Quantifier::ForAllValues, fact) => fact.is_none_or(|fact| {
                is_null(fact) || fact.values().all(|value| self.meets(value, request, effect))
            }),
            (Quantifier::ForAnyValue, fact) => fact.is_some_and(|fact| {
                !is_null(fact) && fact.values().any(|value| self.meets(value, request, effect))
            }),
            (Quantifier::Single, Some(Fact::One(value))) => self.meets(value, request, effect),
            // "Multivalued condition keys require a condition set operator": without one, nothing holds.
            (Quantifier::Single, Some(Fact::Many(values))) if !values.is_empty() => false,
            (Quantifier::Single, _) => {
                self.operator.absent == Absent::Holds || self.operator.sense == Polarity::IsNot
            }
        }
    }

    /// The variables among the operands that have no value.
    pub(super) fn unresolved<'a>(
        &'a self,
        request: &'a Request<'_>,
    ) -> impl Iterator<Item = &'a str> {
        patterns(&self.operands).flat_map(|pattern| pattern.unresolved(request))
    }

    /// Whether one value of the request satisfies the operator: one of the operands matches, or, negated, none does.
    ///
    /// A value that is not of the operator's type (an address that is none, say) can't be compared. AWS does not say
    /// what then happens; here it counts against the caller: a Deny applies and an Allow does not.
    fn meets(&self, value: &str, request: &Request<'_>, effect: Effect) -> bool {
        match self.operator.compare(&self.operands, value, request) {
            Some(matched) => self.operator.sense.holds(matched),
            None => effect == Effect::Deny,
        }
    }
}

/// "It also returns true if there are no keys in the request, or if the key values resolve to a null data set, such as
/// an empty string" (of ForAllValues).
fn is_null(fact: Fact<'_>) -> bool {
    fact.values().all(str::is_empty)
}

impl Operator {
    /// Whether `value` matches one of `operands`, or nothing if it is not of the operator's type.
    fn compare(&self, operands: &[Operand], value: &str, request: &Request<'_>) -> Option<bool> {
        let patterns = || patterns(operands);
        let texts = || patterns().filter_map(|pattern| pattern.text(request));
        Some(match self.comparison {
            Comparison::Text | Comparison::Like => {
                patterns().any(|pattern| pattern.matches(value, ArnSegments::NONE, request))
            }
            Comparison::Arn => {
                let walls = ArnSegments::of_arn(value);
                patterns().any(|pattern| pattern.matches(value, walls, request))
            }
            Comparison::TextIgnoringCase => texts().any(|text| equal_ignoring_case(&text, value)),
            Comparison::Bool => {
                let value = boolean(value)?;
                texts().any(|text| boolean(&text) == Some(value))
            }
            Comparison::Number(relation) => {
                let value = Decimal::parse(value)?;
                operands.iter().any(|operand| matches!(operand, Operand::Number(number) if relation.holds(value.cmp(number))))
            }
            Comparison::Date(relation) => {
                let value = Instant::parse(value)?;
                operands.iter().any(|operand| matches!(operand, Operand::Date(date) if relation.holds(value.cmp(date))))
            }
            Comparison::Address => {
                let value: IpAddr = value.parse().ok()?;
                operands.iter().any(|operand| matches!(operand, Operand::Network(network) if network.contains(value)))
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
