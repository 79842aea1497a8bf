//! What was decided, and why: values to hold, to log and to read aloud.

use std::fmt;
use std::sync::Arc;

use serde::Serialize as _;

use super::document::{Policy, Statement};
use super::element::Effect;
use super::set::Layer;

/// The answer to a [`Request`](super::Request).
#[derive(Debug, PartialEq)]
#[must_use]
pub enum Decision {
    /// It is allowed; what was allowed is in the permit.
    Allow(Permit),
    /// It is denied, and this is why.
    Deny(DenyReason),
}

/// What AWS's policy simulator would call the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It is allowed.
    Allowed,
    /// A statement denies it.
    ExplicitDeny,
    /// Nothing allows it.
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

/// That policies allow a caller an action on a resource. Only [`decide`](super::decide) makes one: what takes a permit
/// can't be done without having asked.
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

    /// What it may do.
    #[must_use]
    pub fn action(&self) -> &str {
        &self.action
    }

    /// What it may do it to.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// One statement of each layer that had to allow. There is none for the root user of an account, who may do
    /// everything in it.
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

/// Which statement of which policy. Indexes count from 0, and are shown from 1.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StatementName {
    /// Where the policy is attached.
    #[serde(flatten)]
    pub layer: Layer,
    /// The place of the policy in its layer.
    pub policy: usize,
    /// The name of the policy, if it was given one.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shared")]
    pub name: Option<Arc<str>>,
    /// The place of the statement in its policy.
    pub statement: usize,
    /// The Sid of the statement, if it has one.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shared")]
    pub sid: Option<Arc<str>>,
    /// What the statement does.
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

/// A statement where it stands, before anybody asked for its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) layer: Layer,
    pub(super) policy: (usize, &'a Policy),
    pub(super) statement: (usize, &'a Statement),
}

impl Place<'_> {
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

/// Why a request is denied.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct DenyReason {
    /// What was asked for.
    pub action: String,
    /// What it was asked for on.
    pub resource: String,
    /// What stood in the way.
    #[serde(flatten)]
    pub cause: Cause,
}

/// What stood in the way of a request.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(tag = "deny", rename_all = "camelCase")]
pub enum Cause {
    /// A statement denies it, whatever others allow.
    Explicit {
        /// The statement.
        statement: StatementName,
    },
    /// A layer that had to allow it does not.
    Implicit {
        /// The layer; of several that fail, the first that AWS consults.
        #[serde(flatten)]
        layer: Layer,
        /// How many policies the layer has.
        policies: usize,
        /// The account that owns the resource, where it is not the caller's: both then have to allow.
        #[serde(skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// The Allow of the layer that came nearest to the request.
        #[serde(skip_serializing_if = "Option::is_none")]
        nearest: Option<Box<NearMiss>>,
    },
}

/// An Allow that comes near a request, and what keeps it from applying.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct NearMiss {
    /// The statement.
    pub statement: StatementName,
    /// What keeps it from applying.
    pub mismatch: Mismatch,
}

/// What keeps a statement from applying to a request.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "what", rename_all = "camelCase")]
pub enum Mismatch {
    /// The caller, the action or the resource.
    Element {
        /// The element: `Action`, `NotAction`, `Resource`, `Principal`, …
        element: &'static str,
        /// What it says.
        wanted: Vec<String>,
        /// What the request has.
        actual: String,
        /// The variables in it that have no value in this request.
        unresolved: Vec<String>,
    },
    /// A condition.
    Condition {
        /// The operator, as the policy writes it.
        operator: String,
        /// The key, as the policy writes it.
        key: String,
        /// The values that the policy compares with.
        wanted: Vec<String>,
        /// The values that the request has; nothing, if it does not have the key.
        actual: Option<Vec<String>>,
        /// The variables among the wanted values that have no value in this request.
        unresolved: Vec<String>,
        /// What is amiss beyond the values.
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
                    "its condition {operator} wants {key} to be {}, and the request has ",
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

/// How many values of a list a sentence shows.
const SHOWN: usize = 3;

/// A list in a sentence: the first few values, and how many more there are.
struct Listed<'a>(&'a [String]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, value) in self.0.iter().take(SHOWN).enumerate() {
            let separator = if index == 0 { "" } else { " or " };
            // Values that would disappear in a sentence stand in quotes.
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

/// The sentence that doctor, logs and command line all show.
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
                        "the resource belongs to another account ({owner}), so both sides must allow, and "
                    )?;
                }
                match policies {
                    0 => write!(f, "there is no {}", layer.noun())?,
                    1 => write!(f, "no statement of the {}", layer.noun())?,
                    many => write!(f, "no statement of {many} {}", layer.nouns())?,
                }
                layer.level().map_or(Ok(()), |level| write!(f, " of level {}", level + 1))?;
                let that = if *policies == 0 { " that" } else { "" };
                write!(f, "{that} allows {action} on {resource}")?;
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
