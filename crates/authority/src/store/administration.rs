//! Accounts, control policies, sessions and database instances.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use countersign_core::credentials::Credentials;
use countersign_core::name::{AccountId, InstanceId, InvalidName, ResourceId};
use countersign_core::policy::PolicyKind;
use countersign_core::region::Partition;

use super::error::StoreError;
use super::handle::Store;
use super::identities::check_policy;
use super::state::{State, account_key};
use crate::model::{Account, Identity, IdentityKind, Instance, seconds};
use crate::random;
use crate::session::{Session, Subject};

/// Parameters of a new session.
#[derive(Debug, Clone, Copy)]
pub struct SessionRequest<'a> {
    /// User that the session belongs to, or role that it assumes.
    pub identity: &'a Identity,
    /// Role session name: 2 to 64 of `[A-Za-z0-9_+=,.@-]`. A user's session has none.
    pub name: Option<&'a str>,
    /// Time until the session expires.
    pub duration: Duration,
    /// Session policy: a JSON document that limits the permissions of the identity.
    pub policy: Option<&'a str>,
}

/// Kind of a control policy of an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlKind {
    /// Service control policy: limits the permissions of the account's principals.
    Service,
    /// Resource control policy: limits the access to the account's resources.
    Resource,
}

impl Store {
    /// Creates an account in a partition, unless it exists.
    ///
    /// # Errors
    /// [`StoreError::Database`]
    pub fn ensure_account(
        &self,
        account: &AccountId,
        partition: Partition,
    ) -> Result<(), StoreError> {
        self.change(|draft| {
            if !draft.accounts.contains_key(account.as_str()) {
                let account = Account {
                    id: account.clone(),
                    partition,
                    service_control: Vec::new(),
                    resource_control: Vec::new(),
                };
                draft.put(account)?;
            }
            Ok(())
        })
    }

    /// Creates or replaces a control policy at one level above the account; level 0 is the root.
    ///
    /// # Errors
    /// [`StoreError::Policy`] with all errors of the document, [`StoreError::NotFound`] for the
    /// account, [`StoreError::Database`].
    pub fn put_control_policy(
        &self,
        account: &AccountId,
        kind: ControlKind,
        level: usize,
        name: &str,
        document: &str,
    ) -> Result<(), StoreError> {
        let policy_kind = match kind {
            ControlKind::Service => PolicyKind::ServiceControl,
            ControlKind::Resource => PolicyKind::ResourceControl,
        };
        check_policy(name, document, policy_kind)?;
        self.change(|draft| {
            let record = draft
                .accounts
                .get(account.as_str())
                .ok_or_else(|| StoreError::NotFound(format!("account {account}")))?;
            let mut changed = Account::clone(record);
            let levels = match kind {
                ControlKind::Service => &mut changed.service_control,
                ControlKind::Resource => &mut changed.resource_control,
            };
            if levels.len() <= level {
                levels.resize_with(level + 1, BTreeMap::new);
            }
            levels.get_mut(level).map(|level| level.insert(name.to_owned(), document.to_owned()));
            draft.put(changed).map(drop)
        })
    }

    /// Issues credentials of a session of a user or role, without evaluating the role's trust
    /// policy.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Policy`], [`StoreError::InvalidName`] for the
    /// session name, [`StoreError::Seal`], [`StoreError::Database`].
    pub fn create_session(
        &self,
        request: &SessionRequest<'_>,
        now: SystemTime,
    ) -> Result<Credentials, StoreError> {
        if let Some(document) = request.policy {
            check_policy("session policy", document, PolicyKind::Identity)?;
        }
        let (subject, unique_id) = session_subject(&*self.state()?, request)?;
        let session = Session {
            account: request.identity.account.clone(),
            subject,
            unique_id,
            issued: seconds(now),
            expires: seconds(now + request.duration),
            policies: request.policy.map(str::to_owned).into_iter().collect(),
            policy_arns: Vec::new(),
            tags: Default::default(),
            transitive_tag_keys: Vec::new(),
            source_identity: None,
            context_keys: Default::default(),
        };
        Ok(session.issue(self.sealing())?)
    }

    /// Returns a random resource id: `db-` and 26 characters, as on RDS.
    ///
    /// # Errors
    /// [`StoreError::Random`]
    pub fn new_resource_id() -> Result<ResourceId, StoreError> {
        Ok(random::id("db-", 26)?.parse()?)
    }

    /// Creates or replaces an instance, with exactly the given addresses.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the account, [`StoreError::AlreadyExists`] if another instance
    /// has the resource id, [`StoreError::Database`].
    pub fn put_instance(&self, instance: &Instance) -> Result<(), StoreError> {
        self.change(|draft| {
            if !draft.accounts.contains_key(instance.account.as_str()) {
                return Err(StoreError::NotFound(format!("account {}", instance.account)));
            }
            let id = &instance.resource_id;
            if draft
                .instances
                .values()
                .any(|other| other.resource_id == *id && other.name != instance.name)
            {
                return Err(StoreError::AlreadyExists(format!(
                    "an instance with the resource id {id}"
                )));
            }
            draft.put(instance.clone()).map(drop)
        })
    }

    /// Deletes an instance. Returns false if it did not exist.
    ///
    /// # Errors
    /// [`StoreError::Database`]
    pub fn delete_instance(&self, name: &InstanceId) -> Result<bool, StoreError> {
        self.change(|draft| Ok(draft.remove::<Instance>(name.as_str())))
    }

    /// Returns the names of all instances.
    ///
    /// # Errors
    /// [`StoreError::Database`]
    pub fn instance_names(&self) -> Result<Vec<InstanceId>, StoreError> {
        Ok(self.state()?.instances.values().map(|instance| instance.name.clone()).collect())
    }

    /// Returns the instance named `name`.
    ///
    /// # Errors
    /// [`StoreError::Database`]
    pub fn instance(&self, name: &InstanceId) -> Result<Option<Arc<Instance>>, StoreError> {
        Ok(self.state()?.instances.get(name.as_str()).cloned())
    }
}

/// Returns the subject of a new session and the unique id of its user or role.
fn session_subject(
    state: &State,
    request: &SessionRequest<'_>,
) -> Result<(Subject, String), StoreError> {
    let SessionRequest { identity, name, .. } = *request;
    let id = account_key(identity.account.as_str(), &identity.name);
    let not_found = || StoreError::NotFound(identity.to_string());
    let invalid = |why: &str| InvalidName::new("the session name", why);
    match (identity.kind, name) {
        (IdentityKind::User, None) => {
            let user = state.users.get(&id).ok_or_else(not_found)?;
            Ok((Subject::User { name: user.name.clone() }, user.unique_id.clone()))
        }
        (IdentityKind::Role, Some(session)) if session.len() >= 2 => {
            Identity::new(identity.account.clone(), IdentityKind::Role, session)?;
            let role = state.roles.get(&id).ok_or_else(not_found)?;
            let subject = Subject::Role { name: role.name.clone(), session: session.to_owned() };
            Ok((subject, role.unique_id.clone()))
        }
        (IdentityKind::Role, _) => Err(invalid("of a role needs at least two characters").into()),
        (IdentityKind::User, Some(_)) => {
            Err(invalid("is for roles: a user's session has none").into())
        }
    }
}
