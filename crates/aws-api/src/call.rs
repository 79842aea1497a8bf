//! One request of the query protocol, as the actions see it.

use std::sync::Arc;
use std::time::SystemTime;

use countersign_core::name::AccountId;
use countersign_core::policy::{
    Caller, Cause, Context, ContextValue, Decision, Layer, Permit, Policy, PolicyKind, Request,
    decide,
};
use countersign_core::region::{Partition, Region};

use super::Api;
use super::error::ApiError;
use super::parameters::Parameters;
use countersign_authority::key_lookup::ResolvedIdentity;
use countersign_authority::store::State;

/// A request: who calls, what it says, and the state that it met.
pub(crate) struct RequestContext<'a> {
    pub(crate) api: &'a Api,
    /// The state when the request came. An action that writes reads it anew in its change.
    pub(crate) state: Arc<State>,
    /// Who signed; nobody for actions that need no signature.
    pub(crate) holder: Option<&'a ResolvedIdentity>,
    pub(crate) parameters: &'a Parameters,
    /// The region that the request was signed for.
    pub(crate) region: &'a Region,
    /// The address that it came from, and the program that says it sent it.
    pub(crate) source: Source<'a>,
    pub(crate) now: SystemTime,
}

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) address: &'a str,
    pub(crate) agent: &'a str,
}

/// What an action is to be allowed on, beside its name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Target<'a> {
    /// The ARN, or `*`.
    pub(crate) resource: &'a str,
    /// The policy of the resource, by name and text: a role's trust policy.
    pub(crate) policy: Option<(&'a str, &'a str)>,
    /// Condition keys of the action and the resource.
    pub(crate) facts: Vec<(String, ContextValue)>,
}

impl<'a> Target<'a> {
    /// A resource without more.
    pub(crate) fn of(resource: &'a str) -> Self {
        Self { resource, ..Self::default() }
    }

    /// With a condition key.
    pub(crate) fn with(mut self, key: &str, value: impl Into<ContextValue>) -> Self {
        self.facts.push((key.to_owned(), value.into()));
        self
    }
}

impl<'a> RequestContext<'a> {
    /// Who signed.
    ///
    /// # Errors
    /// For a request that nobody signed, which does not get to an action that asks.
    pub(crate) fn holder(&self) -> Result<&'a ResolvedIdentity, ApiError> {
        self.holder.ok_or_else(|| {
            ApiError::new(
                "MissingAuthenticationToken",
                403,
                "Request is missing Authentication Token",
            )
        })
    }

    /// The caller's account, which is the one that actions are about.
    pub(crate) fn account(&self) -> Result<&'a AccountId, ApiError> {
        Ok(&self.holder()?.owner.account)
    }

    /// The partition of the caller's account.
    pub(crate) fn partition(&self) -> Result<Partition, ApiError> {
        let account = self.account()?;
        let found = self.state.accounts.get(account.as_str()).map(|account| account.partition);
        found.ok_or_else(|| ApiError::internal(&format!("the account {account} has gone")))
    }

    /// Whether the caller may do `action` (`rds:DescribeDBInstances`) to the target.
    ///
    /// # Errors
    /// AWS's `AccessDenied`, which says who may not do what to what, and why.
    pub(crate) fn authorize(&self, action: &str, target: &Target<'_>) -> Result<Permit, ApiError> {
        let holder = self.holder()?;
        let caller = holder.caller()?;
        let resource_account =
            target.resource.split(':').nth(4).and_then(|account| account.parse().ok());
        let documents = holder.effective_policies(
            &self.state,
            resource_account.as_ref().unwrap_or(&holder.owner.account),
        );
        self.decide(&caller, holder.context(self.now), &documents, action, target)
    }

    /// The same for a caller that is no identity of the authority's: a service, or an identity provider. Only the resource's
    /// policy speaks for it.
    pub(crate) fn authorize_outside(
        &self,
        caller: &Caller,
        action: &str,
        target: &Target<'_>,
    ) -> Result<Permit, ApiError> {
        let mut context = Context::new();
        context.insert("aws:CurrentTime", countersign_core::timestamp::rfc3339(self.now));
        context
            .insert("aws:EpochTime", countersign_authority::model::seconds(self.now).to_string());
        self.decide(
            caller,
            context,
            &countersign_authority::effective_policies::EffectivePolicies::default(),
            action,
            target,
        )
    }

    fn decide(
        &self,
        caller: &Caller,
        mut context: Context,
        documents: &countersign_authority::effective_policies::EffectivePolicies,
        action: &str,
        target: &Target<'_>,
    ) -> Result<Permit, ApiError> {
        context.insert("aws:SourceIp", self.source.address);
        context.insert("aws:UserAgent", self.source.agent);
        context.insert("aws:RequestedRegion", self.region.as_str());
        context.insert("aws:SecureTransport", "false");
        for (key, value) in &target.facts {
            context.insert(key, value.clone());
        }
        let unusable = |why: &dyn std::fmt::Display| {
            ApiError::new(
                "AccessDenied",
                403,
                &format!(
                    "User: {caller} is not authorized to perform: {action} on resource: {}: {why}",
                    target.resource
                ),
            )
        };
        let mut policies = documents.compile().map_err(|why| unusable(&why))?;
        if let Some((name, text)) = target.policy {
            let policy = Policy::parse(text, PolicyKind::Resource).map_err(|why| unusable(&why))?;
            policies.add(Layer::Resource, policy.named(name)).map_err(|why| unusable(&why))?;
        }
        let request = Request {
            caller,
            action: &action.parse()?,
            resource: target.resource,
            resource_account: None,
            context: &context,
        };
        match decide(&request, &policies) {
            Decision::Allow(permit) => Ok(permit),
            Decision::Deny(reason) => {
                tracing::info!(%caller, action, resource = target.resource, %reason, "a request of the AWS API was denied");
                Err(ApiError::new(
                    "AccessDenied",
                    403,
                    &denied(caller, action, target.resource, &reason.cause),
                ))
            }
        }
    }
}

/// AWS's sentence. Source: "Troubleshoot access denied error messages" in the IAM user guide.
fn denied(caller: &Caller, action: &str, resource: &str, cause: &Cause) -> String {
    let (layer, why) = match cause {
        Cause::Explicit { statement } => (statement.layer, None),
        Cause::Implicit { layer, .. } => (*layer, Some(())),
    };
    let noun = match layer {
        Layer::Identity => "identity-based policy",
        Layer::Resource => "resource-based policy",
        Layer::Boundary(_) => "permissions boundary",
        Layer::Session => "session policy",
        Layer::ServiceControl(_) => "service control policy",
        Layer::ResourceControl(_) => "resource control policy",
    };
    let reason = match why {
        None => format!(
            "with an explicit deny in a{} {noun}",
            if noun.starts_with('i') { "n" } else { "" }
        ),
        Some(()) => format!("because no {noun} allows the {action} action"),
    };
    format!(
        "User: {caller} is not authorized to perform: {action} on resource: {resource} {reason}"
    )
}
