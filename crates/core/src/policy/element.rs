//! Types that documents and evaluation share: kind of policy, effect, `X` or `NotX`.

use std::fmt;

/// The kind of entity that a policy is attached to. It determines the elements allowed in a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PolicyKind {
    /// A policy of a user, group or role, a permissions boundary or a session policy. It has no
    /// principal.
    Identity,
    /// A service control policy (SCP) of an organization. It has no principal.
    ServiceControl,
    /// A resource control policy (RCP) of an organization. Its principal, if any, is `*`.
    ResourceControl,
    /// A policy of a resource, or the trust policy of a role. It names principals. It may omit the
    /// resource, which then is the one that it is attached to.
    Resource,
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity policy",
            Self::ServiceControl => "service control policy",
            Self::ResourceControl => "resource control policy",
            Self::Resource => "resource policy",
        })
    }
}

/// Effect of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Effect {
    /// `"Effect": "Allow"`
    Allow,
    /// `"Effect": "Deny"`
    Deny,
}

/// States if an element or operator requires a match or its absence (`NotAction`,
/// `StringNotEquals`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Polarity {
    Is,
    IsNot,
}

impl Polarity {
    pub(super) fn holds(self, matched: bool) -> bool {
        matched == (self == Self::Is)
    }
}
