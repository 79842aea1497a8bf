//! The changes that a stack's own commands make: users and roles with a policy, keys, sessions, instances.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use countersign_core::credentials::Credentials;
use countersign_core::name::{AccessKeyId, AccountId, InstanceId, InvalidName, ResourceId};
use countersign_core::policy::{Policy, PolicyKind};
use countersign_core::region::Partition;
use countersign_core::token::KeyStatus;
use zeroize::Zeroizing;

use super::{Draft, Store, StoreError, account_key};
use crate::model::{AccessKey, Account, Identity, IdentityKind, Instance, Role, User, seconds};
use crate::random;
use crate::session::{Session, Subject};

/// The longest session of a role that nobody gave another, in seconds.
pub const DEFAULT_SESSION_SECONDS: u32 = 3600;

/// A user or role that is to be made, all of it or nothing.
#[derive(Debug, Clone, Copy)]
pub struct NewIdentity<'a> {
    /// Its name.
    pub identity: &'a Identity,
    /// Who may assume it, where it is a role that says so.
    pub trust: Option<&'a str>,
    /// A policy of its own, by name and document.
    pub policy: Option<(&'a str, &'a str)>,
}

/// What a session is to be.
#[derive(Debug, Clone, Copy)]
pub struct SessionRequest<'a> {
    /// The user whose session it is, or the role that is assumed.
    pub identity: &'a Identity,
    /// The name of a role's session: 2 to 64 of `[A-Za-z0-9_+=,.@-]`. A user's session has none.
    pub name: Option<&'a str>,
    /// How long it lasts.
    pub duration: Duration,
    /// What the session may do at the most, beside what the identity may.
    pub policy: Option<&'a str>,
}

/// Which of an organization's policies it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlKind {
    /// What the account's principals may do at the most.
    Service,
    /// What may be done to the account's resources at the most.
    Resource,
}

impl Store {
    /// Makes an account in a partition; it is no error if it exists.
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

    /// Makes a user, with an access key, or a role, which has none. Its path is `/`.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::Missing`] for the account, [`StoreError::Policy`], [`StoreError::Database`].
    pub fn create_identity(
        &self,
        new: &NewIdentity<'_>,
        now: SystemTime,
    ) -> Result<Option<Credentials>, StoreError> {
        let NewIdentity { identity, trust, policy } = new;
        policy.map_or(Ok(()), |(name, document)| check(name, document, PolicyKind::Identity))?;
        trust.map_or(Ok(()), |document| check("trust policy", document, PolicyKind::Resource))?;
        let Identity { account, kind, name } = identity;
        let inline = policy
            .iter()
            .map(|(name, document)| ((*name).to_owned(), (*document).to_owned()))
            .collect();
        let (path, created) = ("/".to_owned(), seconds(now));
        self.change(|draft| {
            if !draft.accounts.contains_key(account.as_str()) {
                return Err(StoreError::NotFound(format!("account {account}")));
            }
            let id = account_key(account.as_str(), name);
            let taken = match kind {
                IdentityKind::User => draft.users.contains_key(&id),
                IdentityKind::Role => draft.roles.contains_key(&id),
            };
            if taken {
                return Err(StoreError::AlreadyExists(format!("the {}", identity.described())));
            }
            match kind {
                IdentityKind::User => {
                    draft.put(User {
                        account: account.clone(),
                        path: path.clone(),
                        name: name.clone(),
                        unique_id: random::id("AIDA", 17)?,
                        created,
                        access_keys: Vec::new(),
                        groups: Default::default(),
                        inline: BTreeMap::clone(&inline),
                        attached: Default::default(),
                        boundary: None,
                        tags: Default::default(),
                    })?;
                    add_access_key(draft, identity, now).map(Some)
                }
                IdentityKind::Role => {
                    draft.put(Role {
                        account: account.clone(),
                        path: path.clone(),
                        name: name.clone(),
                        unique_id: random::id("AROA", 17)?,
                        description: String::new(),
                        created,
                        trust: trust.map(str::to_owned),
                        max_session: DEFAULT_SESSION_SECONDS,
                        inline: BTreeMap::clone(&inline),
                        attached: Default::default(),
                        boundary: None,
                        tags: Default::default(),
                    })?;
                    Ok(None)
                }
            }
        })
    }

    /// Makes a further access key of a user.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Random`], [`StoreError::Database`].
    pub fn create_access_key(
        &self,
        user: &Identity,
        now: SystemTime,
    ) -> Result<Credentials, StoreError> {
        self.change(|draft| add_access_key(draft, user, now))
    }

    /// The keys of a user, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Database`].
    pub fn access_keys(&self, user: &Identity) -> Result<Vec<Arc<AccessKey>>, StoreError> {
        let state = self.state()?;
        let found = state
            .users
            .get(&account_key(user.account.as_str(), &user.name))
            .ok_or_else(|| StoreError::NotFound(user.described()))?;
        Ok(found
            .access_keys
            .iter()
            .filter_map(|id| state.access_keys.get(id.as_str()).cloned())
            .collect())
    }

    /// Switches a key on or off, for the next login.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Database`].
    pub fn set_key_status(&self, key: &AccessKeyId, status: KeyStatus) -> Result<(), StoreError> {
        self.change(|draft| {
            let found = draft
                .access_keys
                .get(key.as_str())
                .ok_or_else(|| StoreError::NotFound(format!("access key {key}")))?;
            let changed = AccessKey { status, ..AccessKey::clone(found) };
            draft.put(changed).map(drop)
        })
    }

    /// Keeps an inline policy of a user or role; one of that name is replaced.
    ///
    /// # Errors
    /// [`StoreError::Policy`] with every mistake, [`StoreError::Missing`], [`StoreError::Database`].
    pub fn put_policy(
        &self,
        identity: &Identity,
        name: &str,
        document: &str,
    ) -> Result<(), StoreError> {
        check(name, document, PolicyKind::Identity)?;
        self.change(|draft| {
            let put = |inline: &mut BTreeMap<String, String>| {
                inline.insert(name.to_owned(), document.to_owned())
            };
            with_inline(draft, identity, put).map(drop)
        })
    }

    /// An inline policy of a user or role, as it was given; none where there is none of that name.
    ///
    /// # Errors
    /// [`StoreError::Missing`] for the identity, [`StoreError::Database`].
    pub fn policy(&self, identity: &Identity, name: &str) -> Result<Option<String>, StoreError> {
        let state = self.state()?;
        let id = account_key(identity.account.as_str(), &identity.name);
        let found = match identity.kind {
            IdentityKind::User => state.users.get(&id).map(|user| user.inline.get(name).cloned()),
            IdentityKind::Role => state.roles.get(&id).map(|role| role.inline.get(name).cloned()),
        };
        found.ok_or_else(|| StoreError::NotFound(identity.described()))
    }

    /// Takes an inline policy of a user or role away; `false` where there was none.
    ///
    /// # Errors
    /// [`StoreError::Missing`] for the identity, [`StoreError::Database`].
    pub fn delete_policy(&self, identity: &Identity, name: &str) -> Result<bool, StoreError> {
        self.change(|draft| with_inline(draft, identity, |inline| inline.remove(name).is_some()))
    }

    /// Keeps a policy of the organization at one level above the account, 0 being the root.
    ///
    /// # Errors
    /// [`StoreError::Policy`] with every mistake, [`StoreError::Missing`] for the account, [`StoreError::Database`].
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
        check(name, document, policy_kind)?;
        self.change(|draft| {
            let found = draft
                .accounts
                .get(account.as_str())
                .ok_or_else(|| StoreError::NotFound(format!("account {account}")))?;
            let mut changed = Account::clone(found);
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

    /// Credentials of a session: of a user's own, or of a role that is assumed without asking its trust policy.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Policy`], [`StoreError::Name`] for a name that does not fit,
    /// [`StoreError::Database`].
    pub fn create_session(
        &self,
        request: &SessionRequest<'_>,
        now: SystemTime,
    ) -> Result<Credentials, StoreError> {
        let SessionRequest { identity, name, duration, policy } = *request;
        policy
            .map_or(Ok(()), |document| check("session policy", document, PolicyKind::Identity))?;
        let state = self.state()?;
        let id = account_key(identity.account.as_str(), &identity.name);
        let missing = || StoreError::NotFound(identity.described());
        let (subject, unique_id) = match (identity.kind, name) {
            (IdentityKind::User, None) => {
                let user = state.users.get(&id).ok_or_else(missing)?;
                (Subject::User { name: user.name.clone() }, user.unique_id.clone())
            }
            (IdentityKind::Role, Some(session)) if session.len() >= 2 => {
                Identity::new(identity.account.clone(), IdentityKind::Role, session)?;
                let role = state.roles.get(&id).ok_or_else(missing)?;
                (
                    Subject::Role { name: role.name.clone(), session: session.to_owned() },
                    role.unique_id.clone(),
                )
            }
            (IdentityKind::Role, _) => {
                return Err(InvalidName::new(
                    "the session name",
                    "of a role needs at least two characters",
                )
                .into());
            }
            (IdentityKind::User, Some(_)) => {
                return Err(InvalidName::new(
                    "the session name",
                    "is for roles: a user's session has none",
                )
                .into());
            }
        };
        let session = Session {
            account: identity.account.clone(),
            subject,
            unique_id,
            issued: seconds(now),
            expires: seconds(now + duration),
            policies: policy.map(str::to_owned).into_iter().collect(),
            policy_arns: Vec::new(),
            tags: Default::default(),
            transitive_tag_keys: Vec::new(),
            source_identity: None,
            context_keys: Default::default(),
        };
        session.issue(self.sealing())
    }

    /// A resource id that no instance has: `db-` and 26 characters, as AWS's are.
    ///
    /// # Errors
    /// [`StoreError::Random`]
    pub fn new_resource_id() -> Result<ResourceId, StoreError> {
        Ok(random::id("db-", 26)?.parse()?)
    }

    /// Keeps an instance with exactly these addresses; one of that name is replaced.
    ///
    /// # Errors
    /// [`StoreError::Missing`] for the account, [`StoreError::Exists`] for a resource id of another instance,
    /// [`StoreError::Database`].
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

    /// Forgets an instance; `false` where there was none of that name.
    ///
    /// # Errors
    /// [`StoreError::Database`]
    pub fn delete_instance(&self, name: &InstanceId) -> Result<bool, StoreError> {
        self.change(|draft| Ok(draft.remove::<Instance>(name.as_str())))
    }

    /// The names of all instances.
    ///
    /// # Errors
    /// [`StoreError::Database`]
    pub fn instance_names(&self) -> Result<Vec<InstanceId>, StoreError> {
        Ok(self.state()?.instances.values().map(|instance| instance.name.clone()).collect())
    }

    /// The instance of that name.
    ///
    /// # Errors
    /// [`StoreError::Database`]
    pub fn instance(&self, name: &InstanceId) -> Result<Option<Arc<Instance>>, StoreError> {
        Ok(self.state()?.instances.get(name.as_str()).cloned())
    }
}

fn add_access_key(
    draft: &mut Draft,
    user: &Identity,
    now: SystemTime,
) -> Result<Credentials, StoreError> {
    let found = draft
        .users
        .get(&account_key(user.account.as_str(), &user.name))
        .ok_or_else(|| StoreError::NotFound(user.described()))?;
    let mut changed = User::clone(found);
    let credentials = random::credentials("AKIA")?;
    changed.access_keys.push(credentials.access_key_id.clone());
    draft.put(AccessKey {
        id: credentials.access_key_id.clone(),
        account: changed.account.clone(),
        user: changed.name.clone(),
        secret: Zeroizing::new(credentials.secret.expose().to_owned()),
        status: KeyStatus::Active,
        created: seconds(now),
    })?;
    draft.put(changed)?;
    Ok(credentials)
}

/// Changes the inline policies of a user or role.
fn with_inline<T>(
    draft: &mut Draft,
    of: &Identity,
    change: impl FnOnce(&mut BTreeMap<String, String>) -> T,
) -> Result<T, StoreError> {
    let (id, missing) =
        (account_key(of.account.as_str(), &of.name), || StoreError::NotFound(of.described()));
    match of.kind {
        IdentityKind::User => {
            let mut user = User::clone(draft.users.get(&id).ok_or_else(missing)?);
            let value = change(&mut user.inline);
            draft.put(user)?;
            Ok(value)
        }
        IdentityKind::Role => {
            let mut role = Role::clone(draft.roles.get(&id).ok_or_else(missing)?);
            let value = change(&mut role.inline);
            draft.put(role)?;
            Ok(value)
        }
    }
}

/// Refuses a document that can't be evaluated, with every mistake.
///
/// # Errors
/// [`StoreError::Policy`]
pub fn check(name: &str, document: &str, kind: PolicyKind) -> Result<(), StoreError> {
    Policy::parse(document, kind)
        .map(drop)
        .map_err(|errors| StoreError::Policy { name: name.to_owned(), errors: errors.to_string() })
}
