//! Words that documents and evaluation share: what a policy is attached to, allow or deny, `X` or `NotX`.

use std::fmt;

/// What a policy is attached to, which decides the elements that it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PolicyKind {
    /// Of a user, group or role; also a permissions boundary or a session policy. It has no principal.
    Identity,
    /// A service control policy (SCP) of an organization. It has no principal.
    ServiceControl,
    /// A resource control policy (RCP) of an organization. Its principal, if any, is `*`.
    ResourceControl,
    /// Of a resource, or the trust policy of a role. It names principals; it may leave out the resource, which is then
    /// the one that it is attached to.
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

/// Whether a statement allows or denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Effect {
    /// `"Effect": "Allow"`
    Allow,
    /// `"Effect": "Deny"`
    Deny,
}

/// Whether an element or operator asks for a match or for the absence of one (`NotAction`, `StringNotEquals`).
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
