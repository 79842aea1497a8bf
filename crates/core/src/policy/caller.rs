//! The principal of a request as policies see it.

use std::fmt;
use std::str::FromStr;

use crate::arn::Arn;
use crate::name::{AccountId, InvalidName};

/// The principal of a request: an IAM identity or session, an AWS service, or an identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The ARN, or the name of a service or provider.
    text: Box<str>,
    kind: Kind,
    account: Option<AccountId>,
    /// Value of `aws:PrincipalArn`.
    principal_arn: Option<Box<str>>,
    unique_id: Option<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// The account itself.
    Root,
    User {
        name: Box<str>,
    },
    /// A role, for any of its sessions.
    Role,
    /// The session of an assumed role. Its ARN lacks the role's path, so the role may be known by
    /// name only.
    Session {
        role: Role,
    },
    /// A session from GetFederationToken, with the ARN of the user.
    FederatedUser {
        user: Box<str>,
    },
    /// A service or an identity provider. It belongs to no account; only resource policies name it.
    External,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Role {
    Known(Box<str>),
    Named(Box<str>),
}

/// Match of a principal element with a caller, from the least to the most specific.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PrincipalMatch {
    /// The element names the account, which delegates: a policy of that account must allow too.
    Account,
    /// The element names the identity of a session: boundaries and session policies still apply.
    Identity,
    /// The element names the caller or everyone.
    Direct,
}

impl Caller {
    /// Returns the caller with this ARN: a user, role, session of an assumed role, federated user,
    /// account (`:root`), or OIDC or SAML provider.
    ///
    /// # Errors
    /// The ARN is of another kind.
    pub fn new(arn: &Arn) -> Result<Self, InvalidName> {
        let invalid = || {
            InvalidName::new(
                "the principal",
                format!(
                    "{arn} is not a user, role, session, federated user, root or identity provider"
                ),
            )
        };
        let account: AccountId = arn.account().parse()?;
        let (kind, name) = arn.resource().split_once('/').unwrap_or((arn.resource(), ""));
        let iam_arn =
            |path: &str| format!("arn:{}:iam::{account}:{path}", arn.partition()).into_boxed_str();
        let last_segment = || name.rsplit('/').next().unwrap_or(name).into();
        let (kind, principal_arn) = match (arn.service(), kind, name) {
            ("iam", "root", "") => (Kind::Root, arn.as_str().into()),
            (_, _, "") => return Err(invalid()),
            ("iam", "user", _) => (Kind::User { name: last_segment() }, arn.as_str().into()),
            ("iam", "role", _) => (Kind::Role, arn.as_str().into()),
            ("iam", "oidc-provider" | "saml-provider", _) => {
                return Ok(Self::external(arn.as_str()));
            }
            ("sts", "assumed-role", _) => {
                let (role, session) = name.split_once('/').ok_or_else(invalid)?;
                if role.is_empty() || session.is_empty() {
                    return Err(invalid());
                }
                (Kind::Session { role: Role::Named(role.into()) }, iam_arn(&format!("role/{role}")))
            }
            ("sts", "federated-user", _) => (
                Kind::FederatedUser { user: iam_arn(&format!("user/{name}")) },
                arn.as_str().into(),
            ),
            _ => return Err(invalid()),
        };
        Ok(Self {
            text: arn.as_str().into(),
            kind,
            account: Some(account),
            principal_arn: Some(principal_arn),
            unique_id: None,
        })
    }

    fn external(name: &str) -> Self {
        Self {
            text: name.into(),
            kind: Kind::External,
            account: None,
            principal_arn: None,
            unique_id: None,
        }
    }

    /// Sets the role of a session, with its path. Has no effect on other callers.
    #[must_use]
    pub fn with_role(mut self, role: &Arn) -> Self {
        if matches!(self.kind, Kind::Session { .. }) {
            self.principal_arn = Some(role.as_str().into());
            self.kind = Kind::Session { role: Role::Known(role.as_str().into()) };
        }
        self
    }

    /// Sets `aws:userid`: `AIDA…` of a user, `AROA…:SESSION` of a session.
    #[must_use]
    pub fn with_unique_id(mut self, id: &str) -> Self {
        self.unique_id = Some(id.into());
        self
    }

    /// The ARN, or the name of the service or provider.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The account ID. Services and providers have none.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.account.as_ref().map(AccountId::as_str)
    }

    pub(super) fn is_root(&self) -> bool {
        self.kind == Kind::Root
    }

    pub(super) fn is_external(&self) -> bool {
        self.kind == Kind::External
    }

    pub(super) fn is_federated_user(&self) -> bool {
        matches!(self.kind, Kind::FederatedUser { .. })
    }

    pub(super) fn is_in_account(&self, account: &str) -> Option<PrincipalMatch> {
        let within = self.account() == Some(account);
        within.then_some(if self.is_root() {
            PrincipalMatch::Direct
        } else {
            PrincipalMatch::Account
        })
    }

    pub(super) fn is_external_named(&self, name: &str) -> Option<PrincipalMatch> {
        (self.is_external() && *self.text == *name).then_some(PrincipalMatch::Direct)
    }

    /// Matches an ARN of a principal element with the caller.
    pub(super) fn is_named(&self, arn: &Arn) -> Option<PrincipalMatch> {
        if *self.text == *arn.as_str() {
            return Some(if self.kind == Kind::Role {
                PrincipalMatch::Identity
            } else {
                PrincipalMatch::Direct
            });
        }
        let names_session_identity = match &self.kind {
            Kind::Session { role: Role::Known(role) } => **role == *arn.as_str(),
            Kind::Session { role: Role::Named(role) } => {
                let last =
                    arn.resource().strip_prefix("role/").and_then(|path| path.rsplit('/').next());
                let partition = self.text.split(':').nth(1);
                last == Some(&**role)
                    && self.account() == Some(arn.account())
                    && partition == Some(arn.partition())
            }
            Kind::FederatedUser { user } => **user == *arn.as_str(),
            Kind::Root | Kind::User { .. } | Kind::Role | Kind::External => false,
        };
        names_session_identity.then_some(PrincipalMatch::Identity)
    }

    /// Returns true if an ARN of a principal element is the caller itself, not the role or user of
    /// its session.
    pub(super) fn is(&self, arn: &Arn) -> bool {
        *self.text == *arn.as_str()
    }

    /// Returns the value of a lower-case condition key that follows from the caller.
    /// Source: IAM user guide, "AWS global condition context keys" and "Principal key values".
    pub(super) fn context_value(&self, key: &str) -> Option<&str> {
        match (key, &self.kind) {
            ("aws:principalarn", _) => self.principal_arn.as_deref(),
            ("aws:principalaccount", _) => self.account(),
            ("aws:principaltype", Kind::Root) => Some("Account"),
            ("aws:principaltype", Kind::User { .. }) => Some("User"),
            ("aws:principaltype", Kind::Role | Kind::Session { .. }) => Some("AssumedRole"),
            ("aws:principaltype", Kind::FederatedUser { .. }) => Some("FederatedUser"),
            ("aws:principalisawsservice", Kind::External) => {
                Some(if self.text.contains(".amazonaws.") { "true" } else { "false" })
            }
            ("aws:principalisawsservice", _) => Some("false"),
            ("aws:username", Kind::User { name }) => Some(name),
            ("aws:userid", Kind::Root) => self.unique_id.as_deref().or(self.account()),
            ("aws:userid", _) => self.unique_id.as_deref(),
            _ => None,
        }
    }
}

impl FromStr for Caller {
    type Err = InvalidName;

    /// Parses an ARN, twelve digits for the root of an account, or the name of a service or
    /// identity provider, such as `ec2.amazonaws.com` or `accounts.google.com`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("arn:") {
            return Self::new(&text.parse()?);
        }
        if let Ok(account) = text.parse::<AccountId>() {
            return Self::new(&format!("arn:aws:iam::{account}:root").parse()?);
        }
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c == '*' || c == ':') {
            return Err(InvalidName::new(
                "the principal",
                format!("{text:?} is not an ARN, an account id or the name of a service"),
            ));
        }
        Ok(Self::external(text))
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
