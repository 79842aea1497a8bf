//! The `Principal` and `NotPrincipal` elements.

use super::caller::{Caller, PrincipalMatch};
use super::element::{Effect, Polarity};
use crate::arn::Arn;
use crate::name::AccountId;

/// One entry of a principal element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// `*`
    Everyone,
    /// An account, by id or as `arn:aws:iam::ACCOUNT:root`: the two mean the same.
    Account(AccountId),
    /// A user, role, session or federated user.
    Identity(Arn),
    /// A service, an identity provider or a canonical user.
    Outside(Box<str>),
}

impl Entry {
    /// An entry of the `AWS` list. Names in it are whole: `*` stands alone or not at all.
    /// Source: IAM user guide, "AWS JSON policy elements: Principal".
    pub(super) fn aws(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Everyone);
        }
        if text.contains(['*', '?']) {
            return Err(format!(
                "{text:?} has a wildcard; a principal is named in full, or is \"*\""
            ));
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

    /// An entry of the `Service`, `Federated` or `CanonicalUser` list.
    pub(super) fn outside(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains(|c: char| c == '*' || c == '?' || c.is_whitespace()) {
            return Err(format!(
                "{text:?} is not the full name of a service, an identity provider or a canonical user"
            ));
        }
        Ok(Self::Outside(text.into()))
    }

    fn reach(&self, caller: &Caller) -> Option<PrincipalMatch> {
        match self {
            Self::Everyone => Some(PrincipalMatch::Direct),
            Self::Account(account) => caller.is_in_account(account.as_str()),
            Self::Identity(arn) => caller.is_named(arn),
            Self::Outside(name) => caller.is_named_outside_iam(name),
        }
    }

    /// Whether the entry names the caller itself: not its account, not the role or user behind its session.
    fn is(&self, caller: &Caller) -> bool {
        match self {
            Self::Identity(arn) => caller.is(arn),
            _ => self.reach(caller) == Some(PrincipalMatch::Direct),
        }
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Everyone => "*",
            Self::Account(account) => account.as_str(),
            Self::Identity(arn) => arn.as_str(),
            Self::Outside(name) => name,
        })
    }
}

/// A `Principal` (`Sense::Is`) or `NotPrincipal` (`Sense::IsNot`) element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Principals {
    pub(super) sense: Polarity,
    pub(super) entries: Box<[Entry]>,
}

impl Principals {
    /// How the element speaks of the caller, or nothing if the statement is not about it.
    ///
    /// `NotPrincipal` is the one element whose meaning AWS leaves partly open ("AWS might validate the account first
    /// and then the user"), so it errs towards denial: a Deny spares only a caller that is listed itself, and an Allow
    /// reaches only a caller of whom nothing is listed, neither account nor role. A Deny with `NotPrincipal` spares no
    /// caller that has a permissions boundary.
    /// Sources: IAM user guide, "AWS JSON policy elements: NotPrincipal" and "Permissions boundaries for IAM entities".
    pub(super) fn reach(
        &self,
        caller: &Caller,
        effect: Effect,
        bounded: Bounded,
    ) -> Option<PrincipalMatch> {
        let mut entries = self.entries.iter();
        let spared = match (self.sense, effect) {
            (Polarity::Is, _) => return entries.filter_map(|entry| entry.reach(caller)).max(),
            (Polarity::IsNot, Effect::Deny) => {
                bounded == Bounded::No && entries.any(|entry| entry.is(caller))
            }
            (Polarity::IsNot, Effect::Allow) => entries.any(|entry| entry.reach(caller).is_some()),
        };
        (!spared).then_some(PrincipalMatch::Direct)
    }
}

/// Whether the caller has a permissions boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bounded {
    Yes,
    No,
}
