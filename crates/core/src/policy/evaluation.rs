//! The decision: explicit denies first, then the layers that must allow.
//!
//! Sources: IAM user guide, "How AWS enforcement code logic evaluates requests to allow or deny
//! access", "Policy evaluation for requests within a single account", "Cross-account policy
//! evaluation logic".

use std::sync::Arc;

use super::caller::PrincipalMatch;
use super::context::Request;
use super::decision::{Cause, Decision, DenyReason, Permit, StatementName, StatementRef};
use super::document::Policy;
use super::element::Effect;
use super::matching::Evaluation;
use super::near_miss::nearest;
use super::set::{Layer, PolicySet};

/// Decides if `policies` allow `request`.
///
/// An explicit Deny in any layer wins. Then every level of RCPs and of SCPs must allow. Within one
/// account, an Allow of the resource policy or of an identity policy is enough; boundaries and
/// session policies must allow too, unless the resource policy names everyone or the caller itself
/// (the user or the session, not the role). Across accounts both sides must allow. Without an
/// Allow the request is denied.
///
/// Time is linear in the number of statements. An Allow costs a few small allocations for the
/// permit. The explanation of a Deny is computed only for a Deny.
pub fn decide(request: &Request<'_>, policies: &PolicySet) -> Decision {
    let evaluation = Evaluation::new(request, policies);
    let reason = |cause| DenyReason {
        action: request.action.as_str().into(),
        resource: request.resource.into(),
        cause,
    };
    let allows = match evaluation.survey() {
        Ok(allows) => allows,
        Err(denial) => {
            return Decision::Deny(reason(Cause::Explicit { statement: denial.name() }));
        }
    };
    match evaluation.combine(&allows) {
        Ok(grounds) => Decision::Allow(Permit {
            principal: request.caller.as_str().into(),
            action: request.action.as_str().into(),
            resource: request.resource.into(),
            statements: grounds.iter().map(|allow| allow.place.name()).collect(),
        }),
        Err(layer) => {
            let crossing =
                evaluation.crosses_accounts() && matches!(layer, Layer::Resource | Layer::Identity);
            Decision::Deny(reason(Cause::Implicit {
                layer,
                policies: policies.layer(layer).map_or(0, <[_]>::len),
                owner: request.owner().filter(|_| crossing).map(str::to_owned),
                nearest: nearest(&evaluation, layer).map(Box::new),
            }))
        }
    }
}

/// Returns every statement that applies to the request, allowing or denying, in layer order.
#[must_use]
pub fn applying(request: &Request<'_>, policies: &PolicySet) -> Vec<StatementName> {
    let evaluation = Evaluation::new(request, policies);
    let statements =
        evaluation.layers().flat_map(|(layer, policies)| evaluation.statements(layer, policies));
    statements.filter(|(_, applies)| applies.is_ok()).map(|(place, _)| place.name()).collect()
}

/// An Allow that applies.
#[derive(Debug, Clone, Copy)]
struct Allow<'a> {
    principal_match: PrincipalMatch,
    place: StatementRef<'a>,
}

/// The layers in their order, each with the Allow that names the caller most closely.
type Allows<'a> = Vec<(Layer, Option<Allow<'a>>)>;

impl<'a> Evaluation<'a> {
    /// Collects the Allows of every layer. The error is an explicit Deny.
    fn survey(&self) -> Result<Allows<'a>, StatementRef<'a>> {
        let mut allows = Vec::new();
        for (layer, policies) in self.layers() {
            let mut best: Option<Allow<'a>> = None;
            for (place, principal_match) in self.statements(layer, policies) {
                let Ok(principal_match) = principal_match else { continue };
                if place.statement.1.effect == Effect::Deny {
                    return Err(place);
                }
                if best.is_none_or(|best| best.principal_match < principal_match) {
                    best = Some(Allow { principal_match, place });
                }
            }
            allows.push((layer, best));
        }
        Ok(allows)
    }

    /// Returns true if the caller is in one account and the resource in another.
    fn crosses_accounts(&self) -> bool {
        self.request.caller.account().is_some_and(|account| self.request.owner() != Some(account))
    }

    /// Combines the layers. The error is the first layer that must allow and does not.
    fn combine(&self, allows: &Allows<'a>) -> Result<Vec<Allow<'a>>, Layer> {
        let caller = self.request.caller;
        let said = |wanted: Layer| {
            allows.iter().find(|(layer, _)| *layer == wanted).and_then(|(_, allow)| *allow)
        };
        let mut grounds = Vec::with_capacity(allows.len());
        for (layer, allow) in allows.iter().filter(|(layer, _)| self.is_guardrail(*layer)) {
            grounds.push(allow.ok_or(*layer)?);
        }

        let resource = said(Layer::Resource);
        if caller.is_external() {
            grounds.push(
                resource
                    .filter(|allow| allow.principal_match == PrincipalMatch::Direct)
                    .ok_or(Layer::Resource)?,
            );
            return Ok(grounds);
        }
        if self.crosses_accounts() {
            grounds.push(resource.ok_or(Layer::Resource)?);
            grounds.extend(self.identity(said(Layer::Identity))?);
        } else {
            match resource {
                // "Permissions granted directly to a session are not limited by an implicit deny
                // in an identity-based policy, a permissions boundary, or session policy", nor
                // are those granted to a user or to everyone.
                Some(allow) if allow.principal_match == PrincipalMatch::Direct => {
                    grounds.push(allow);
                    return Ok(grounds);
                }
                Some(allow) if allow.principal_match == PrincipalMatch::Identity => {
                    grounds.push(allow)
                }
                delegated => {
                    if self.needs_trust() {
                        grounds.push(delegated.ok_or(Layer::Resource)?);
                    }
                    grounds.extend(self.identity(said(Layer::Identity))?);
                }
            }
        }
        for (layer, allow) in
            allows.iter().filter(|(layer, _)| matches!(layer, Layer::Boundary(_) | Layer::Session))
        {
            grounds.push(allow.ok_or(*layer)?);
        }
        // "If there is no session policy, the code checks whether the principal is a role session.
        // […] Otherwise, the request is implicitly denied": session policies are the only source of
        // a federated user's permissions.
        if caller.is_federated_user() && self.policies.layer(Layer::Session).is_none() {
            return Err(Layer::Session);
        }
        Ok(grounds)
    }

    /// Returns true if the layer is a level of control policies that must allow. AWS attaches
    /// RCPFullAWSAccess to every level and it cannot be detached, so a level of RCPs with only
    /// denies counts as allowing everything else.
    fn is_guardrail(&self, layer: Layer) -> bool {
        let grants = |policy: &Arc<Policy>| {
            policy.statements().iter().any(|statement| statement.effect == Effect::Allow)
        };
        match layer {
            Layer::ServiceControl(_) => true,
            Layer::ResourceControl(_) => {
                self.policies.layer(layer).is_some_and(|policies| policies.iter().any(grants))
            }
            Layer::Resource | Layer::Identity | Layer::Boundary(_) | Layer::Session => false,
        }
    }

    /// Returns the Allow of the identity policies. The root user of an account has none and needs
    /// none.
    fn identity(&self, allow: Option<Allow<'a>>) -> Result<Option<Allow<'a>>, Layer> {
        let full = self.request.caller.is_root() && self.policies.layer(Layer::Identity).is_none();
        if full { Ok(None) } else { allow.map(Some).ok_or(Layer::Identity) }
    }

    /// Returns true if the resource policy must allow even within its account. "IAM role trust
    /// policies and KMS key policies are exceptions to this logic, because they must explicitly
    /// allow access for principals."
    fn needs_trust(&self) -> bool {
        let trusted = self.request.action.folded().starts_with("sts:")
            || self.request.action.folded().starts_with("kms:");
        trusted && self.policies.layer(Layer::Resource).is_some()
    }
}

#[cfg(test)]
mod tests;
