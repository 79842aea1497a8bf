//! The decision and its reason, as values and as text.

use std::fmt;
use std::sync::Arc;

use serde::Serialize as _;

use super::document::{Policy, Statement};
use super::element::Effect;
use super::set::Layer;

/// Decision on a [`Request`](super::Request).
#[derive(Debug, PartialEq)]
#[must_use]
pub enum Decision {
    /// The request is allowed; the permit names what was allowed.
    Allow(Permit),
    /// The request is denied for this reason.
    Deny(DenyReason),
}

/// Decision in the terms of AWS's policy simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// The request is allowed.
    Allowed,
    /// A statement denies the request.
    ExplicitDeny,
    /// No statement allows the request.
    ImplicitDeny,
}

impl From<&Decision> for Verdict {
    fn from(decision: &Decision) -> Self {
        match decision {
            Decision::Allow(_) => Self::Allowed,
            Decision::Deny(DenyReason { cause: Cause::Explicit { .. }, .. }) => Self::ExplicitDeny,
            Decision::Deny(DenyReason { cause: Cause::Implicit { .. }, .. }) => Self::ImplicitDeny,
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow(permit) => permit.fmt(f),
            Self::Deny(reason) => reason.fmt(f),
        }
    }
}

/// Proof that policies allow a caller an action on a resource. Only [`decide`](super::decide)
/// constructs one, so a function that takes a permit cannot be called without a decision.
#[derive(Debug, PartialEq, serde::Serialize)]
pub struct Permit {
    pub(super) principal: Box<str>,
    pub(super) action: Box<str>,
    pub(super) resource: Box<str>,
    pub(super) statements: Vec<StatementName>,
}

impl Permit {
    /// The ARN of the caller, or the name of the service.
    #[must_use]
    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// The action that is allowed.
    #[must_use]
    pub fn action(&self) -> &str {
        &self.action
    }

    /// The resource that the action is allowed on.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// One statement of each layer that must allow. Empty for the root user of an account, which
    /// needs no policy.
    #[must_use]
    pub fn statements(&self) -> &[StatementName] {
        &self.statements
    }
}

impl fmt::Display for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("allowed: ")?;
        for (index, statement) in self.statements.iter().enumerate() {
            let separator = if index == 0 { "" } else { " and " };
            write!(f, "{separator}{statement}")?;
        }
        let verb = match self.statements.len() {
            0 => "the root user of the account may do",
            1 => " allows",
            _ => " allow",
        };
        write!(f, "{verb} {} on {}", self.action, self.resource)
    }
}

/// Identifies a statement of a policy. Indexes count from 0 and are shown from 1.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StatementName {
    /// The layer that the policy is in.
    #[serde(flatten)]
    pub layer: Layer,
    /// Index of the policy in its layer.
    pub policy: usize,
    /// Name of the policy, if it has one.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shared")]
    pub name: Option<Arc<str>>,
    /// Index of the statement in its policy.
    pub statement: usize,
    /// Sid of the statement, if it has one.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shared")]
    pub sid: Option<Arc<str>>,
    /// Effect of the statement.
    pub effect: Effect,
}

fn shared<S: serde::Serializer>(text: &Option<Arc<str>>, serializer: S) -> Result<S::Ok, S::Error> {
    text.as_deref().serialize(serializer)
}

impl fmt::Display for StatementName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sid {
            Some(sid) => write!(f, "statement {sid:?}")?,
            None => write!(f, "statement {}", self.statement + 1)?,
        }
        write!(f, " of {}", self.layer.noun())?;
        match (&self.name, self.layer) {
            (Some(name), _) => write!(f, " {name:?}")?,
            (None, Layer::Resource) => {}
            (None, Layer::Boundary(index)) => write!(f, " {}", index + 1)?,
            (None, _) => write!(f, " {}", self.policy + 1)?,
        }
        self.layer.level().map_or(Ok(()), |level| write!(f, " of level {}", level + 1))
    }
}

/// Reference to a statement in its policy and layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct StatementRef<'a> {
    pub(super) layer: Layer,
    pub(super) policy: (usize, &'a Policy),
    pub(super) statement: (usize, &'a Statement),
}

impl StatementRef<'_> {
    pub(super) fn name(&self) -> StatementName {
        StatementName {
            layer: self.layer,
            policy: self.policy.0,
            name: self.policy.1.shared_name(),
            statement: self.statement.0,
            sid: self.statement.1.sid.clone(),
            effect: self.statement.1.effect,
        }
    }
}

/// Reason for a denial.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct DenyReason {
    /// The requested action.
    pub action: String,
    /// The requested resource.
    pub resource: String,
    /// The statement that denies, or the layer that does not allow.
    #[serde(flatten)]
    pub cause: Cause,
}

/// Cause of a denial.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(tag = "deny", rename_all = "camelCase")]
pub enum Cause {
    /// A statement denies the request, regardless of what others allow.
    Explicit {
        /// The statement.
        statement: StatementName,
    },
    /// A layer that must allow the request does not.
    Implicit {
        /// The layer; of several that fail, the first that AWS evaluates.
        #[serde(flatten)]
        layer: Layer,
        /// Number of policies in the layer.
        policies: usize,
        /// Account that owns the resource, if it is not the caller's. Both must allow then.
        #[serde(skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// The Allow of the layer that is closest to the request.
        #[serde(skip_serializing_if = "Option::is_none")]
        nearest: Option<Box<NearMiss>>,
    },
}

/// An Allow that almost applies, and the check that it fails.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct NearMiss {
    /// The statement.
    pub statement: StatementName,
    /// The check that it fails.
    pub mismatch: Mismatch,
}

/// The check that a statement fails for a request.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Mismatch {
    /// The caller, the action or the resource does not match.
    Element {
        /// The element: `Action`, `NotAction`, `Resource`, `Principal`, …
        element: &'static str,
        /// Values of the element.
        wanted: Vec<String>,
        /// Value of the request.
        actual: String,
        /// Variables of the element that have no value in this request.
        unresolved: Vec<String>,
    },
    /// A condition is not met.
    Condition {
        /// The operator, as the policy writes it.
        operator: String,
        /// The key, as the policy writes it.
        key: String,
        /// The values that the policy compares with.
        wanted: Vec<String>,
        /// The values of the request; `None` if it does not have the key.
        actual: Option<Vec<String>>,
        /// The variables among the wanted values that have no value in this request.
        unresolved: Vec<String>,
        /// An error other than the values.
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<&'static str>,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Element { element, wanted, actual, unresolved } => {
                let verb = match *element {
                    "Principal" => "does not name",
                    "NotPrincipal" | "NotAction" | "NotResource" => "excepts",
                    _ => "does not match",
                };
                write!(f, "its {element} {} {verb} {actual}", Listed(wanted))?;
                write!(f, "{}", Unresolved(unresolved))
            }
            Self::Condition { operator, key, wanted, actual, unresolved, note } => {
                write!(
                    f,
                    "its condition {operator} requires {key} to be {}, but the request has ",
                    Listed(wanted)
                )?;
                match actual.as_deref() {
                    None => write!(f, "no {key}")?,
                    Some([]) => f.write_str("an empty list")?,
                    Some(actual) => write!(f, "{}", Listed(actual))?,
                }
                write!(f, "{}", Unresolved(unresolved))?;
                note.map_or(Ok(()), |note| write!(f, " ({note})"))
            }
        }
    }
}

/// Maximum number of values of a list in a sentence.
const SHOWN: usize = 3;

/// Formats the first values of a list and the number of the rest.
struct Listed<'a>(&'a [String]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, value) in self.0.iter().take(SHOWN).enumerate() {
            let separator = if index == 0 { "" } else { " or " };
            // Values that would be invisible in a sentence are quoted.
            if value.is_empty() || value.contains(char::is_whitespace) {
                write!(f, "{separator}{value:?}")?;
            } else {
                write!(f, "{separator}{value}")?;
            }
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " or one of {more} more"),
        }
    }
}

struct Unresolved<'a>(&'a [String]);

impl fmt::Display for Unresolved<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|variable| write!(f, " (${{{variable}}} has no value in this request)"))
    }
}

/// The sentence that `doctor`, logs and the command line show.
impl fmt::Display for DenyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { action, resource, cause } = self;
        match cause {
            Cause::Explicit { statement } => {
                write!(f, "explicit deny: {statement} denies {action} on {resource}")
            }
            Cause::Implicit { layer, policies, owner, nearest } => {
                f.write_str("implicit deny: ")?;
                if let Some(owner) = owner {
                    write!(
                        f,
                        "the resource belongs to another account ({owner}), so both sides must \
                         allow, and "
                    )?;
                }
                match policies {
                    0 => write!(f, "no {}", layer.noun())?,
                    1 => write!(f, "no statement of the {}", layer.noun())?,
                    many => write!(f, "no statement of {many} {}", layer.nouns())?,
                }
                layer.level().map_or(Ok(()), |level| write!(f, " of level {}", level + 1))?;
                write!(f, " allows {action} on {resource}")?;
                match nearest {
                    None => Ok(()),
                    Some(nearest) => {
                        write!(f, "; nearest is {}: {}", nearest.statement, nearest.mismatch)
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
