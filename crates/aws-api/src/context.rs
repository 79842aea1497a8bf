//! One request, and its authorization by the policies of the caller.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use countersign_authority::effective_policies::EffectivePolicies;
use countersign_authority::key_lookup::ResolvedIdentity;
use countersign_authority::store::State;
use countersign_core::name::AccountId;
use countersign_core::policy::{
    Caller, Cause, Context, ContextValue, Decision, Layer, Permit, Policy, PolicyKind, Request,
    decide,
};
use countersign_core::region::{Partition, Region};
use hyper::http::request::Parts;

use crate::api::Api;
use crate::error::ApiError;
use crate::parameters::Parameters;

/// An HTTP request that has been received completely.
pub(crate) struct ReceivedRequest {
    pub(crate) head: Parts,
    pub(crate) body: Vec<u8>,
    pub(crate) peer: SocketAddr,
}

/// A request of the query protocol: its caller, its parameters, and the state it is checked
/// against.
pub(crate) struct RequestContext<'a> {
    pub(crate) api: &'a Api,
    /// State at the time of the request. An action that writes reads it again in its change.
    pub(crate) state: Arc<State>,
    /// Identity that signed the request; `None` for actions without a signature.
    pub(crate) identity: Option<&'a ResolvedIdentity>,
    pub(crate) parameters: &'a Parameters,
    /// Region that the request is signed for.
    pub(crate) region: &'a Region,
    pub(crate) source: Source<'a>,
    pub(crate) now: SystemTime,
}

/// IP address and user agent of the client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) address: &'a str,
    pub(crate) agent: &'a str,
}

/// Resource of an action, and the condition keys that come with it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Target<'a> {
    /// ARN, or `*`.
    pub(crate) resource: &'a str,
    /// Name and text of the resource's policy: a role's trust policy.
    pub(crate) policy: Option<(&'a str, &'a str)>,
    /// Condition keys of the action and the resource.
    pub(crate) condition_keys: Vec<(String, ContextValue)>,
}

impl<'a> Target<'a> {
    /// Creates a target without condition keys.
    pub(crate) fn of(resource: &'a str) -> Self {
        Self { resource, ..Self::default() }
    }

    /// Adds a condition key.
    pub(crate) fn with(mut self, key: &str, value: impl Into<ContextValue>) -> Self {
        self.condition_keys.push((key.to_owned(), value.into()));
        self
    }
}

impl<'a> RequestContext<'a> {
    /// Returns the identity that signed the request.
    ///
    /// # Errors
    /// `MissingAuthenticationToken` for a request without a signature.
    pub(crate) fn identity(&self) -> Result<&'a ResolvedIdentity, ApiError> {
        self.identity.ok_or_else(ApiError::unsigned)
    }

    /// Returns the caller's account; actions work on its records.
    pub(crate) fn account(&self) -> Result<&'a AccountId, ApiError> {
        Ok(&self.identity()?.owner.account)
    }

    /// Returns the partition of the caller's account.
    pub(crate) fn partition(&self) -> Result<Partition, ApiError> {
        let account = self.account()?;
        let record = self.state.accounts.get(account.as_str());
        record
            .map(|account| account.partition)
            .ok_or_else(|| ApiError::internal(&format!("account {account} no longer exists")))
    }

    /// Returns a permit if the caller may perform `action` (`rds:DescribeDBInstances`) on the
    /// target.
    ///
    /// # Errors
    /// `AccessDenied` with AWS's sentence: principal, action, resource and reason.
    pub(crate) fn authorize(&self, action: &str, target: &Target<'_>) -> Result<Permit, ApiError> {
        let identity = self.identity()?;
        let caller = identity.caller()?;
        let resource_account =
            target.resource.split(':').nth(4).and_then(|account| account.parse().ok());
        let policies = identity.effective_policies(
            &self.state,
            resource_account.as_ref().unwrap_or(&identity.owner.account),
        );
        self.decide(&caller, identity.context(self.now), &policies, action, target)
    }

    /// Like [`Self::authorize`] for a caller that is not an identity of this authority: a service
    /// or an identity provider. Only the resource's policy can allow it.
    pub(crate) fn authorize_external(
        &self,
        caller: &Caller,
        action: &str,
        target: &Target<'_>,
    ) -> Result<Permit, ApiError> {
        let mut context = Context::new();
        context.insert("aws:CurrentTime", countersign_core::timestamp::rfc3339(self.now));
        context
            .insert("aws:EpochTime", countersign_authority::model::seconds(self.now).to_string());
        self.decide(caller, context, &EffectivePolicies::default(), action, target)
    }

    fn decide(
        &self,
        caller: &Caller,
        mut context: Context,
        policies: &EffectivePolicies,
        action: &str,
        target: &Target<'_>,
    ) -> Result<Permit, ApiError> {
        let resource = target.resource;
        self.insert_request_keys(&mut context, target);
        let unusable = |why: &dyn std::fmt::Display| {
            access_denied(&format!(
                "User: {caller} is not authorized to perform: {action} on resource: {resource}: \
                 {why}"
            ))
        };
        let mut compiled = policies.compile().map_err(|why| unusable(&why))?;
        if let Some((name, text)) = target.policy {
            let policy = Policy::parse(text, PolicyKind::Resource).map_err(|why| unusable(&why))?;
            compiled.add(Layer::Resource, policy.named(name)).map_err(|why| unusable(&why))?;
        }
        let request = Request {
            caller,
            action: &action.parse()?,
            resource,
            resource_account: None,
            context: &context,
        };
        match decide(&request, &compiled) {
            Decision::Allow(permit) => Ok(permit),
            Decision::Deny(reason) => {
                tracing::info!(%caller, action, resource, %reason, "API request denied");
                Err(access_denied(&denial(caller, action, resource, &reason.cause)))
            }
        }
    }

    fn insert_request_keys(&self, context: &mut Context, target: &Target<'_>) {
        context.insert("aws:SourceIp", self.source.address);
        context.insert("aws:UserAgent", self.source.agent);
        context.insert("aws:RequestedRegion", self.region.as_str());
        context.insert("aws:SecureTransport", "false");
        for (key, value) in &target.condition_keys {
            context.insert(key, value.clone());
        }
    }
}

fn access_denied(message: &str) -> ApiError {
    ApiError::new("AccessDenied", 403, message)
}

/// Returns AWS's sentence.
/// Source: "Troubleshoot access denied error messages" in the IAM user guide.
fn denial(caller: &Caller, action: &str, resource: &str, cause: &Cause) -> String {
    let layer = match cause {
        Cause::Explicit { statement } => statement.layer,
        Cause::Implicit { layer, .. } => *layer,
    };
    let noun = match layer {
        Layer::Identity => "identity-based policy",
        Layer::Resource => "resource-based policy",
        Layer::Boundary(_) => "permissions boundary",
        Layer::Session => "session policy",
        Layer::ServiceControl(_) => "service control policy",
        Layer::ResourceControl(_) => "resource control policy",
    };
    let reason = match cause {
        Cause::Explicit { .. } => {
            let article = if noun.starts_with('i') { "an" } else { "a" };
            format!("with an explicit deny in {article} {noun}")
        }
        Cause::Implicit { .. } => format!("because no {noun} allows the {action} action"),
    };
    format!(
        "User: {caller} is not authorized to perform: {action} on resource: {resource} {reason}"
    )
}
