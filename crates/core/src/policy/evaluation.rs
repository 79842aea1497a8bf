//! The decision: every explicit deny first, then the layers that have to allow.
//!
//! Sources: IAM user guide, "How AWS enforcement code logic evaluates requests to allow or deny access", "Policy
//! evaluation for requests within a single account", "Cross-account policy evaluation logic".

use std::sync::Arc;

use super::caller::PrincipalMatch;
use super::context::Request;
use super::decision::{Cause, Decision, DenyReason, Permit, Place, StatementName};
use super::document::Policy;
use super::element::Effect;
use super::inquiry::Evaluation;
use super::near_miss::nearest;
use super::set::{Layer, PolicySet};

/// Decides whether `policies` allow `request`.
///
/// An explicit Deny in any layer wins. Then every level of RCPs and of SCPs must allow. Within one account, an Allow of
/// the resource's policy or of an identity policy is enough, and boundaries and session policies must allow too, except
/// where the resource's policy names the caller itself (the user or the session, not the role) or everyone. Across
/// accounts both sides must allow. Without any Allow the answer is no.
///
/// Time is linear in the number of statements. An Allow costs a few small allocations, for the permit; what is needed
/// to explain a Deny is computed only for a Deny.
pub fn decide(request: &Request<'_>, policies: &PolicySet) -> Decision {
    let inquiry = Evaluation::new(request, policies);
    let reason = |cause| DenyReason {
        action: request.action.as_str().into(),
        resource: request.resource.into(),
        cause,
    };
    let allows = match inquiry.survey() {
        Ok(allows) => allows,
        Err(denial) => {
            return Decision::Deny(reason(Cause::Explicit { statement: denial.name() }));
        }
    };
    match inquiry.combine(&allows) {
        Ok(grounds) => Decision::Allow(Permit {
            principal: request.caller.as_str().into(),
            action: request.action.as_str().into(),
            resource: request.resource.into(),
            statements: grounds.iter().map(|allow| allow.place.name()).collect(),
        }),
        Err(layer) => {
            let crossing =
                inquiry.crosses_accounts() && matches!(layer, Layer::Resource | Layer::Identity);
            Decision::Deny(reason(Cause::Implicit {
                layer,
                policies: policies.layer(layer).map_or(0, <[_]>::len),
                owner: request.owner().filter(|_| crossing).map(str::to_owned),
                nearest: nearest(&inquiry, layer).map(Box::new),
            }))
        }
    }
}

/// Every statement that applies to the request, allowing or denying, in the order of the layers.
#[must_use]
pub fn applying(request: &Request<'_>, policies: &PolicySet) -> Vec<StatementName> {
    let inquiry = Evaluation::new(request, policies);
    let statements =
        inquiry.layers().flat_map(|(layer, policies)| inquiry.statements(layer, policies));
    statements.filter(|(_, applies)| applies.is_ok()).map(|(place, _)| place.name()).collect()
}

/// An Allow that applies.
#[derive(Debug, Clone, Copy)]
struct Allow<'a> {
    reach: PrincipalMatch,
    place: Place<'a>,
}

/// What the layers say, in their order: the Allow that speaks most closely of the caller, if there is one.
type Allows<'a> = Vec<(Layer, Option<Allow<'a>>)>;

impl<'a> Evaluation<'a> {
    /// Looks through every layer. The error is an explicit Deny.
    fn survey(&self) -> Result<Allows<'a>, Place<'a>> {
        let mut allows = Vec::new();
        for (layer, policies) in self.layers() {
            let mut best: Option<Allow<'a>> = None;
            for (place, reach) in self.statements(layer, policies) {
                let Ok(reach) = reach else { continue };
                if place.statement.1.effect == Effect::Deny {
                    return Err(place);
                }
                if best.is_none_or(|best| best.reach < reach) {
                    best = Some(Allow { reach, place });
                }
            }
            allows.push((layer, best));
        }
        Ok(allows)
    }

    /// Whether the caller is in one account and the resource in another.
    fn crosses_accounts(&self) -> bool {
        self.request.caller.account().is_some_and(|account| self.request.owner() != Some(account))
    }

    /// Puts together what the layers say. The error is the first layer that had to allow and does not.
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
                    .filter(|allow| allow.reach == PrincipalMatch::Direct)
                    .ok_or(Layer::Resource)?,
            );
            return Ok(grounds);
        }
        if self.crosses_accounts() {
            grounds.push(resource.ok_or(Layer::Resource)?);
            grounds.extend(self.identity(said(Layer::Identity))?);
        } else {
            match resource {
                // "Permissions granted directly to a session are not limited by an implicit deny in an identity-based
                // policy, a permissions boundary, or session policy", nor are those granted to a user or to everyone.
                Some(allow) if allow.reach == PrincipalMatch::Direct => {
                    grounds.push(allow);
                    return Ok(grounds);
                }
                Some(allow) if allow.reach == PrincipalMatch::Identity => grounds.push(allow),
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
        // "If there is no session policy, the code checks whether the principal is a role session. […] Otherwise, the
        // request is implicitly denied": a federated user has what its session policies allow and no more.
        if caller.is_federated_user() && self.policies.layer(Layer::Session).is_none() {
            return Err(Layer::Session);
        }
        Ok(grounds)
    }

    /// Whether the layer is a level of control policies that has to allow. AWS attaches RCPFullAWSAccess to every level
    /// and lets nobody detach it, so a level of RCPs that only denies stands for one that allows all else.
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

    /// What identity policies say. The root user of an account has none, and full access without them.
    fn identity(&self, allow: Option<Allow<'a>>) -> Result<Option<Allow<'a>>, Layer> {
        let full = self.request.caller.is_root() && self.policies.layer(Layer::Identity).is_none();
        if full { Ok(None) } else { allow.map(Some).ok_or(Layer::Identity) }
    }

    /// Whether the resource's policy has to allow even within its account. "IAM role trust policies and KMS key
    /// policies are exceptions to this logic, because they must explicitly allow access for principals."
    fn needs_trust(&self) -> bool {
        let trusted = self.request.action.folded().starts_with("sts:")
            || self.request.action.folded().starts_with("kms:");
        trusted && self.policies.layer(Layer::Resource).is_some()
    }
}

#[cfg(test)]
mod tests;
