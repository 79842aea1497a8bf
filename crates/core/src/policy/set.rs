//! The policies in effect for a request, by layer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::document::Policy;
use super::element::PolicyKind;

/// A layer of policies, in the order in which AWS evaluates them. Levels count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(tag = "layer", content = "level", rename_all = "camelCase")]
pub enum Layer {
    /// RCPs at one level of the resource's organization: root, unit or account. Every level must
    /// allow. A level without any Allow counts as having RCPFullAWSAccess, which AWS attaches
    /// permanently to every level.
    ResourceControl(usize),
    /// SCPs at one level of the caller's organization: root, unit or account. Every level must
    /// allow.
    ServiceControl(usize),
    /// The policy of the resource, or the trust policy of a role.
    Resource,
    /// The policies of the user and its groups, or of the role.
    Identity,
    /// A permissions boundary. AWS has one for each identity; of several, every one must allow.
    Boundary(usize),
    /// The policies passed when the session was created.
    Session,
}

impl Layer {
    /// The kind of policy that the layer holds.
    #[must_use]
    pub fn kind(self) -> PolicyKind {
        match self {
            Self::ResourceControl(_) => PolicyKind::ResourceControl,
            Self::ServiceControl(_) => PolicyKind::ServiceControl,
            Self::Resource => PolicyKind::Resource,
            Self::Identity | Self::Boundary(_) | Self::Session => PolicyKind::Identity,
        }
    }

    /// Singular noun for a policy of the layer.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::ResourceControl(_) => "resource control policy",
            Self::ServiceControl(_) => "service control policy",
            Self::Resource => "resource policy",
            Self::Identity => "identity policy",
            Self::Boundary(_) => "permissions boundary",
            Self::Session => "session policy",
        }
    }

    /// Plural noun for policies of the layer.
    pub(super) fn nouns(self) -> &'static str {
        match self {
            Self::ResourceControl(_) => "resource control policies",
            Self::ServiceControl(_) => "service control policies",
            Self::Resource => "resource policies",
            Self::Identity => "identity policies",
            Self::Boundary(_) => "permissions boundaries",
            Self::Session => "session policies",
        }
    }

    /// The level, if the layer has several.
    pub(super) fn level(self) -> Option<usize> {
        match self {
            Self::ResourceControl(level) | Self::ServiceControl(level) => Some(level),
            Self::Resource | Self::Identity | Self::Boundary(_) | Self::Session => None,
        }
    }
}

/// Shows as `service control policies of level 2`; shown levels count from 1.
impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.nouns())?;
        self.level().map_or(Ok(()), |level| write!(f, " of level {}", level + 1))
    }
}

/// A policy was added to a layer of another kind. Elements that the layer does not evaluate would
/// be ignored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot add a policy parsed as {found} to the {layer}")]
pub struct WrongKind {
    layer: Layer,
    found: PolicyKind,
}

/// The policies in effect for a request. Policies are shared, so building a set per request is
/// cheap.
#[derive(Debug, Clone, Default)]
pub struct PolicySet {
    layers: BTreeMap<Layer, Vec<Arc<Policy>>>,
}

impl PolicySet {
    /// Returns a set without policies, which allows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a policy to a layer. A layer allows a request if one of its policies does.
    ///
    /// # Errors
    /// The policy was parsed for another kind of layer.
    pub fn add(&mut self, layer: Layer, policy: impl Into<Arc<Policy>>) -> Result<(), WrongKind> {
        let policy = policy.into();
        if policy.kind() != layer.kind() {
            return Err(WrongKind { layer, found: policy.kind() });
        }
        self.layers.entry(layer).or_default().push(policy);
        Ok(())
    }

    /// Includes the layer in decisions even if no policy is added to it. An empty layer allows
    /// nothing, unless it is a level of RCPs.
    pub fn require(&mut self, layer: Layer) {
        self.layers.entry(layer).or_default();
    }

    pub(super) fn layers(&self) -> impl Iterator<Item = (Layer, &[Arc<Policy>])> {
        self.layers.iter().map(|(layer, policies)| (*layer, policies.as_slice()))
    }

    pub(super) fn layer(&self, layer: Layer) -> Option<&[Arc<Policy>]> {
        self.layers.get(&layer).map(Vec::as_slice)
    }

    pub(super) fn has_boundary(&self) -> bool {
        self.layers.range(Layer::Boundary(0)..=Layer::Boundary(usize::MAX)).next().is_some()
    }
}
