//! Policies that apply to an identity: collected as documents, and compiled for an evaluation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_core::arn::Arn;
use countersign_core::name::AccountId;
use countersign_core::policy::{Layer, Policy, PolicySet};

use crate::aws_managed;
use crate::model::{Account, Group, Level, ManagedPolicy, PrincipalRecord};
use crate::store::{State, account_key};

/// Name and document of a policy.
pub type NamedDocument = (String, String);

/// Documents of all policies that apply to one identity's access to one account's resources.
#[derive(Debug, Default)]
pub struct EffectivePolicies {
    /// Identity policies: inline, attached, and those of a user's groups.
    pub identity: Vec<NamedDocument>,
    /// Permissions boundary.
    pub boundaries: Vec<NamedDocument>,
    /// Session policies; empty if the session has none.
    pub session: Vec<NamedDocument>,
    /// Service control policies of the identity's account, one list for each level from the root.
    pub service_control: Vec<Vec<NamedDocument>>,
    /// Resource control policies of the resource's account, one list for each level from the root.
    pub resource_control: Vec<Vec<NamedDocument>>,
}

impl EffectivePolicies {
    /// Collects the policies of a user or role, without a session.
    #[must_use]
    pub fn for_principal(
        state: &State,
        principal: &PrincipalRecord,
        resource_account: &AccountId,
    ) -> Self {
        let mut policies = Self::default();
        let account = match principal {
            PrincipalRecord::User(user) => {
                policies.add(state, "", &user.inline, &user.attached);
                for name in &user.groups {
                    // A missing group gets an empty document, which cannot be evaluated: an
                    // incomplete set of policies must deny.
                    match state.get::<Group>(&account_key(user.account.as_str(), name)) {
                        Some(group) => policies.add(
                            state,
                            &format!("group {}: ", group.name),
                            &group.inline,
                            &group.attached,
                        ),
                        None => policies.identity.push((format!("group {name}"), String::new())),
                    }
                }
                policies.boundaries =
                    user.boundary.iter().map(|arn| managed_policy_document(state, arn)).collect();
                &user.account
            }
            PrincipalRecord::Role(role) => {
                policies.add(state, "", &role.inline, &role.attached);
                policies.boundaries =
                    role.boundary.iter().map(|arn| managed_policy_document(state, arn)).collect();
                &role.account
            }
        };
        let levels = |account: &AccountId, pick: fn(&Account) -> &[Level]| {
            let levels = state
                .accounts
                .get(account.as_str())
                .map(|account| pick(account))
                .unwrap_or_default();
            levels
                .iter()
                .map(|level| {
                    level.iter().map(|(name, text)| (name.clone(), text.clone())).collect()
                })
                .collect()
        };
        policies.service_control = levels(account, |account| &account.service_control);
        policies.resource_control = levels(resource_account, |account| &account.resource_control);
        policies
    }

    fn add(
        &mut self,
        state: &State,
        prefix: &str,
        inline: &BTreeMap<String, String>,
        attached: &BTreeSet<String>,
    ) {
        self.identity
            .extend(inline.iter().map(|(name, text)| (format!("{prefix}{name}"), text.clone())));
        self.identity.extend(attached.iter().map(|arn| {
            let (name, text) = managed_policy_document(state, arn);
            (format!("{prefix}{name}"), text)
        }));
    }

    /// Parses all policies. They were checked when they were stored. If one cannot be evaluated
    /// now, nothing may be allowed.
    ///
    /// # Errors
    /// [`UnusablePolicy`] for the first policy that cannot be evaluated.
    pub fn compile(&self) -> Result<PolicySet, UnusablePolicy> {
        let mut policies = PolicySet::new();
        let mut add = |layer: Layer, (name, text): &NamedDocument| {
            let unusable = |reason: String| UnusablePolicy { name: name.clone(), reason };
            let policy =
                Policy::parse(text, layer.kind()).map_err(|errors| unusable(errors.to_string()))?;
            policies.add(layer, policy.named(name)).map_err(|error| unusable(error.to_string()))
        };
        for (layer, list) in [(Layer::Identity, &self.identity), (Layer::Session, &self.session)] {
            list.iter().try_for_each(|policy| add(layer, policy))?;
        }
        self.boundaries
            .iter()
            .enumerate()
            .try_for_each(|(at, policy)| add(Layer::Boundary(at), policy))?;
        for (level, list) in self.service_control.iter().enumerate() {
            list.iter().try_for_each(|policy| add(Layer::ServiceControl(level), policy))?;
        }
        for (level, list) in self.resource_control.iter().enumerate() {
            list.iter().try_for_each(|policy| add(Layer::ResourceControl(level), policy))?;
        }
        Ok(policies)
    }
}

/// Policy that cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot evaluate the policy {name:?}: {reason}")]
pub struct UnusablePolicy {
    /// Name of the policy.
    pub name: String,
    /// Errors of the document.
    pub reason: String,
}

/// Returns the default version's document of a managed policy of AWS or of an account. A missing
/// policy gets an empty document, which cannot be evaluated, so that the evaluation denies.
pub fn managed_policy_document(state: &State, arn: &str) -> NamedDocument {
    let imported = || state.aws_policies.get(arn).map(|policy| policy.document.as_str());
    let own = || managed_policy(state, arn).and_then(|policy| policy.document());
    let text = imported().or_else(|| aws_managed::document(arn)).or_else(own).map(str::to_owned);
    (arn.to_owned(), text.unwrap_or_default())
}

/// Returns the managed policy of an account with this ARN.
#[must_use]
pub fn managed_policy<'a>(state: &'a State, arn: &str) -> Option<&'a Arc<ManagedPolicy>> {
    let parsed: Arn = arn.parse().ok()?;
    let name = parsed.resource().strip_prefix("policy/")?.rsplit('/').next()?;
    let found = state.policies.get(&account_key(parsed.account(), name))?;
    found.arn().is_ok_and(|own| own.as_str() == arn).then_some(found)
}
