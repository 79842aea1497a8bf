//! The `Principal` and `NotPrincipal` elements.

use super::caller::{Caller, PrincipalMatch};
use super::element::{Effect, Polarity};
use crate::arn::Arn;
use crate::name::AccountId;

/// One entry of a principal element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// `*`.
    Everyone,
    /// An account, by ID or as `arn:aws:iam::ACCOUNT:root`, which are equivalent.
    Account(AccountId),
    /// A user, role, session or federated user.
    Identity(Arn),
    /// A service, an identity provider or a canonical user.
    External(Box<str>),
}

impl Entry {
    /// Parses an entry of the `AWS` list. Names are complete; the only wildcard is a single `*`.
    /// Source: IAM user guide, "AWS JSON policy elements: Principal".
    pub(super) fn aws(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Everyone);
        }
        if text.contains(['*', '?']) {
            return Err(format!("{text:?} has a wildcard; write a full principal, or \"*\""));
        }
        if let Ok(account) = text.parse() {
            return Ok(Self::Account(account));
        }
        let arn: Arn = text.parse().map_err(|_| {
            format!("{text:?} is not an account id, the ARN of a user, role or session, or \"*\"")
        })?;
        match (arn.service(), arn.resource().split_once('/')) {
            ("iam", None) if arn.resource() == "root" => {
                arn.account().parse().map(Self::Account).map_err(|invalid| invalid.to_string())
            }
            ("iam", Some(("user" | "role", name)))
            | ("sts", Some(("assumed-role" | "federated-user", name)))
                if !name.is_empty() && !arn.account().is_empty() =>
            {
                Ok(Self::Identity(arn))
            }
            _ => Err(format!(
                "{text:?} is not the ARN of an account's root, a user, a role or a session"
            )),
        }
    }

    /// Parses an entry of the `Service`, `Federated` or `CanonicalUser` list.
    pub(super) fn external(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains(|c: char| c == '*' || c == '?' || c.is_whitespace()) {
            return Err(format!(
                "{text:?} is not the full name of a service, an identity provider or a canonical \
                 user"
            ));
        }
        Ok(Self::External(text.into()))
    }

    fn matches(&self, caller: &Caller) -> Option<PrincipalMatch> {
        match self {
            Self::Everyone => Some(PrincipalMatch::Direct),
            Self::Account(account) => caller.is_in_account(account.as_str()),
            Self::Identity(arn) => caller.is_named(arn),
            Self::External(name) => caller.is_external_named(name),
        }
    }

    /// Returns true if the entry names the caller itself, not its account, nor the role or user of
    /// its session.
    fn is(&self, caller: &Caller) -> bool {
        match self {
            Self::Identity(arn) => caller.is(arn),
            _ => self.matches(caller) == Some(PrincipalMatch::Direct),
        }
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Everyone => "*",
            Self::Account(account) => account.as_str(),
            Self::Identity(arn) => arn.as_str(),
            Self::External(name) => name,
        })
    }
}

/// A `Principal` (`Polarity::Is`) or `NotPrincipal` (`Polarity::IsNot`) element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Principals {
    pub(super) polarity: Polarity,
    pub(super) entries: Box<[Entry]>,
}

impl Principals {
    /// Returns how the element names the caller, or `None` if the statement does not apply to it.
    ///
    /// `NotPrincipal` is the one element whose meaning AWS leaves partly open ("AWS might validate
    /// the account first and then the user"). It is resolved towards denial: a Deny exempts only a
    /// caller that is listed itself, and an Allow applies only to a caller of which neither itself
    /// nor account nor role is listed. A Deny with `NotPrincipal` exempts no caller that has a
    /// permissions boundary.
    /// Sources: IAM user guide, "AWS JSON policy elements: NotPrincipal" and "Permissions
    /// boundaries for IAM entities".
    pub(super) fn matches(
        &self,
        caller: &Caller,
        effect: Effect,
        boundary: Boundary,
    ) -> Option<PrincipalMatch> {
        let mut entries = self.entries.iter();
        let spared = match (self.polarity, effect) {
            (Polarity::Is, _) => return entries.filter_map(|entry| entry.matches(caller)).max(),
            (Polarity::IsNot, Effect::Deny) => {
                boundary == Boundary::Absent && entries.any(|entry| entry.is(caller))
            }
            (Polarity::IsNot, Effect::Allow) => {
                entries.any(|entry| entry.matches(caller).is_some())
            }
        };
        (!spared).then_some(PrincipalMatch::Direct)
    }
}

/// States if the caller has a permissions boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Boundary {
    Present,
    Absent,
}
