//! The request to decide on: caller, action, resource and condition context.

use std::fmt;
use std::str::FromStr;

use super::caller::Caller;
use super::pattern::Lookup;
use crate::name::{AccountId, InvalidName};

/// An action such as `rds-db:connect`: a service, a colon, a name. Case does not matter to a
/// decision.
#[derive(Clone, PartialEq, Eq)]
pub struct Action {
    text: Box<str>,
    folded: Box<str>,
}

impl Action {
    /// The action as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The action in lower case, as patterns of actions are compiled.
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
/// AWS distinguishes single-valued keys (`aws:SourceIp`) from multivalued ones (`aws:TagKeys`) by
/// definition, not by the number of values. A multivalued key requires `ForAllValues:` or
/// `ForAnyValue:` even if it holds one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContextValue {
    /// Value of a single-valued key.
    One(String),
    /// Values of a multivalued key, in any number.
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

/// The condition keys of a request, such as `aws:SourceIp`, and their values. Keys are
/// case-insensitive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// Sorted by lower-case key.
    entries: Vec<(Box<str>, ContextValue)>,
}

impl Context {
    /// Returns an empty context.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key` and returns its previous value.
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

/// A request to [`decide`](super::decide) on: `caller` performs `action` on `resource`.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The principal of the request.
    pub caller: &'a Caller,
    /// The requested action.
    pub action: &'a Action,
    /// ARN of the resource, or `*` for actions without a resource. It is literal text: only a
    /// wildcard of a policy matches a `*` in it.
    pub resource: &'a str,
    /// Account that owns the resource. The default is the account in the ARN or, if it has none,
    /// the caller's.
    pub resource_account: Option<&'a AccountId>,
    /// The condition keys of the request.
    pub context: &'a Context,
}

impl<'a> Request<'a> {
    /// Returns the account that owns the resource.
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

    /// Returns the value of a lower-case key: from the context, else derived from caller and
    /// resource. Source of the derived keys: IAM user guide, "AWS global condition context keys".
    pub(super) fn context_value(&self, key: &str) -> Option<ContextValueRef<'a>> {
        match self.context.get(key) {
            Some(ContextValue::One(value)) => Some(ContextValueRef::One(value)),
            Some(ContextValue::Many(values)) => Some(ContextValueRef::Many(values)),
            None => match key {
                "aws:resourceaccount" => self.owner(),
                _ => self.caller.context_value(key),
            }
            .map(ContextValueRef::One),
        }
    }
}

impl Lookup for Request<'_> {
    fn variable(&self, key: &str) -> Option<&str> {
        match self.context_value(key)? {
            ContextValueRef::One(value) => Some(value),
            ContextValueRef::Many(_) => None,
        }
    }
}

/// Borrowed value of a condition key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContextValueRef<'a> {
    One(&'a str),
    Many(&'a [String]),
}

impl<'a> ContextValueRef<'a> {
    pub(super) fn values(self) -> impl Iterator<Item = &'a str> {
        let (one, many) = match self {
            ContextValueRef::One(value) => (Some(value), [].as_slice()),
            ContextValueRef::Many(values) => (None, values),
        };
        one.into_iter().chain(many.iter().map(String::as_str))
    }
}

#[cfg(test)]
mod tests;
