//! What is asked: who wants to do what to which resource, and the facts of the request.

use std::fmt;
use std::str::FromStr;

use super::caller::Caller;
use super::pattern::Lookup;
use crate::name::{AccountId, InvalidName};

/// An action such as `rds-db:connect`: a service, a colon, a name. Case does not matter to a decision.
#[derive(Clone, PartialEq, Eq)]
pub struct Action {
    text: Box<str>,
    folded: Box<str>,
}

impl Action {
    /// The action as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// In lower case, as policies are compiled.
    pub(super) fn folded(&self) -> &str {
        &self.folded
    }
}

impl FromStr for Action {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = |part: &str| {
            !part.is_empty() && !part.contains(|c: char| c == ':' || c.is_whitespace())
        };
        match text.split_once(':') {
            Some((service, name)) if word(service) && word(name) => {
                Ok(Self { text: text.into(), folded: text.to_ascii_lowercase().into() })
            }
            _ => Err(InvalidName::new(
                "the action",
                format!("{text:?} is not of the form service:Name, as in rds-db:connect"),
            )),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.text)
    }
}

/// The value of a condition key.
///
/// AWS tells keys with one value (`aws:SourceIp`) from keys with many (`aws:TagKeys`) by their definition, not by how
/// many values there are: a key with many needs `ForAllValues:` or `ForAnyValue:`, even when it holds one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextValue {
    /// Of a single-valued key.
    One(String),
    /// Of a multivalued key, in any number.
    Many(Vec<String>),
}

impl From<&str> for ContextValue {
    fn from(value: &str) -> Self {
        Self::One(value.into())
    }
}

impl From<String> for ContextValue {
    fn from(value: String) -> Self {
        Self::One(value)
    }
}

impl From<Vec<String>> for ContextValue {
    fn from(values: Vec<String>) -> Self {
        Self::Many(values)
    }
}

/// The facts of a request by condition key, such as `aws:SourceIp`. Keys are compared without regard to case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// Sorted by key, which is in lower case.
    entries: Vec<(Box<str>, ContextValue)>,
}

impl Context {
    /// No facts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key`, and gives back the value that it had.
    pub fn insert(&mut self, key: &str, value: impl Into<ContextValue>) -> Option<ContextValue> {
        let key = key.to_ascii_lowercase();
        let value = value.into();
        match self.entries.binary_search_by(|entry| (*entry.0).cmp(&key)) {
            Ok(at) => self.entries.get_mut(at).map(|entry| std::mem::replace(&mut entry.1, value)),
            Err(at) => {
                self.entries.insert(at, (key.into(), value));
                None
            }
        }
    }

    /// The value of `key`, which must be in lower case.
    fn get(&self, key: &str) -> Option<&ContextValue> {
        let at = self.entries.binary_search_by(|entry| (*entry.0).cmp(key)).ok()?;
        self.entries.get(at).map(|entry| &entry.1)
    }
}

impl<K: AsRef<str>, V: Into<ContextValue>> FromIterator<(K, V)> for Context {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut context = Self::new();
        for (key, value) in entries {
            context.insert(key.as_ref(), value);
        }
        context
    }
}

/// A question to [`decide`](super::decide): may `caller` do `action` to `resource`?
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// What is asked for.
    pub action: &'a Action,
    /// The ARN of the resource, or `*` for actions that know no resource. It is literal text: a `*` in it is matched
    /// only by a policy's wildcard.
    pub resource: &'a str,
    /// The account that owns the resource. Without it, the account in the ARN; if that has none, the caller's.
    pub resource_account: Option<&'a AccountId>,
    /// The facts of the request.
    pub context: &'a Context,
}

impl<'a> Request<'a> {
    /// The account that owns the resource, as digits.
    pub(super) fn owner(&self) -> Option<&'a str> {
        let named = || {
            self.resource
                .strip_prefix("arn:")?
                .split(':')
                .nth(3)
                .filter(|account| account.parse::<AccountId>().is_ok())
        };
        self.resource_account
            .map(AccountId::as_str)
            .or_else(named)
            .or_else(|| self.caller.account())
    }

    /// What is known of a key (lower case): the context's word first, then what follows from caller and resource.
    /// Source of the derived keys: IAM user guide, "AWS global condition context keys".
    pub(super) fn fact(&self, key: &str) -> Option<Fact<'a>> {
        match self.context.get(key) {
            Some(ContextValue::One(value)) => Some(Fact::One(value)),
            Some(ContextValue::Many(values)) => Some(Fact::Many(values)),
            None => match key {
                "aws:resourceaccount" => self.owner(),
                _ => self.caller.fact(key),
            }
            .map(Fact::One),
        }
    }
}

impl Lookup for Request<'_> {
    fn variable(&self, key: &str) -> Option<&str> {
        match self.fact(key)? {
            Fact::One(value) => Some(value),
            Fact::Many(_) => None,
        }
    }
}

/// What is known of a condition key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact<'a> {
    One(&'a str),
    Many(&'a [String]),
}

impl<'a> Fact<'a> {
    pub(super) fn values(self) -> impl Iterator<Item = &'a str> {
        let (one, many) = match self {
            Fact::One(value) => (Some(value), [].as_slice()),
            Fact::Many(values) => (None, values),
        };
        one.into_iter().chain(many.iter().map(String::as_str))
    }
}

#[cfg(test)]
mod tests;
