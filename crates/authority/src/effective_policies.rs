//! The policies that bear on an identity: gathered as text, and compiled for a decision.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_core::arn::Arn;
use countersign_core::name::AccountId;
use countersign_core::policy::{Layer, Policy, PolicySet};

use crate::aws_managed;
use crate::key_lookup::PrincipalRecord;
use crate::model::{Account, Group, Level, ManagedPolicy};
use crate::store::{State, account_key};

/// A policy's name and text.
pub type NamedDocument = (String, String);

/// Every policy that bears on what one identity does to one account's resources. All as text.
#[derive(Debug, Default)]
pub struct EffectivePolicies {
    /// The identity's own: inline, attached, and of a user's groups.
    pub identity: Vec<NamedDocument>,
    /// Its boundary.
    pub boundaries: Vec<NamedDocument>,
    /// The session's; none where the session has no limits of its own.
    pub session: Vec<NamedDocument>,
    /// Of the principal's account, one list for each level from the root.
    pub service_control: Vec<Vec<NamedDocument>>,
    /// Of the resource's account, likewise.
    pub resource_control: Vec<Vec<NamedDocument>>,
}

impl EffectivePolicies {
    /// The policies of a user or role itself, without a session.
    #[must_use]
    pub fn for_principal(
        state: &State,
        who: &PrincipalRecord,
        resource_account: &AccountId,
    ) -> Self {
        let mut documents = Self::default();
        let account = match who {
            PrincipalRecord::User(user) => {
                documents.add(state, "", &user.inline, &user.attached);
                for name in &user.groups {
                    // A group that is named and not there must not widen or narrow anything unseen.
                    match state.get::<Group>(&account_key(user.account.as_str(), name)) {
                        Some(group) => documents.add(
                            state,
                            &format!("group {}: ", group.name),
                            &group.inline,
                            &group.attached,
                        ),
                        None => documents.identity.push((format!("group {name}"), String::new())),
                    }
                }
                documents.boundaries =
                    user.boundary.iter().map(|arn| managed_policy_document(state, arn)).collect();
                &user.account
            }
            PrincipalRecord::Role(role) => {
                documents.add(state, "", &role.inline, &role.attached);
                documents.boundaries =
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
        documents.service_control = levels(account, |account| &account.service_control);
        documents.resource_control = levels(resource_account, |account| &account.resource_control);
        documents
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

    /// Every document as a policy. They were checked when they were stored; one that can't be evaluated now is the error, and
    /// nothing may be allowed without it.
    ///
    /// # Errors
    /// [`Unusable`], the first that is.
    pub fn compile(&self) -> Result<PolicySet, UnusablePolicy> {
        let mut policies = PolicySet::new();
        let mut add = |layer: Layer, (name, text): &NamedDocument| {
            let unusable = |reason: String| UnusablePolicy { name: name.clone(), reason };
            let policy = Policy::parse(text, layer.kind())
                .map_err(|mistakes| unusable(mistakes.to_string()))?;
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

/// A policy that can't be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policy {name:?} can't be evaluated: {reason}")]
pub struct UnusablePolicy {
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// The document of a managed policy that counts, AWS's own or the account's. One that is not there has no text, which can't be
/// evaluated, and so denies.
pub fn managed_policy_document(state: &State, arn: &str) -> NamedDocument {
    let imported = || state.aws_policies.get(arn).map(|policy| policy.document.as_str());
    let own = || managed_policy(state, arn).and_then(|policy| policy.document());
    let text = imported().or_else(|| aws_managed::document(arn)).or_else(own).map(str::to_owned);
    (arn.to_owned(), text.unwrap_or_default())
}

/// The managed policy of an account with this ARN.
#[must_use]
pub fn managed_policy<'a>(state: &'a State, arn: &str) -> Option<&'a Arc<ManagedPolicy>> {
    let parsed: Arn = arn.parse().ok()?;
    let name = parsed.resource().strip_prefix("policy/")?.rsplit('/').next()?;
    let found = state.policies.get(&account_key(parsed.account(), name))?;
    found.arn().is_ok_and(|own| own.as_str() == arn).then_some(found)
}
