//! Users and roles: creation, access keys and inline policies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use countersign_core::credentials::Credentials;
use countersign_core::name::AccessKeyId;
use countersign_core::policy::{Policy, PolicyKind};
use countersign_core::token::KeyStatus;
use zeroize::Zeroizing;

use super::draft::Draft;
use super::error::StoreError;
use super::handle::Store;
use super::state::account_key;
use crate::model::{AccessKey, Identity, IdentityKind, Role, User, seconds};
use crate::random;

/// Default maximum session duration of a role, in seconds.
pub const DEFAULT_SESSION_SECONDS: u32 = 3600;

/// Description of a user or role to be created.
#[derive(Debug, Clone, Copy)]
pub struct NewIdentity<'a> {
    /// Account, kind and name.
    pub identity: &'a Identity,
    /// Trust policy of a role: a JSON document that states which principals may assume it.
    pub trust: Option<&'a str>,
    /// Name and JSON document of an inline policy.
    pub policy: Option<(&'a str, &'a str)>,
}

impl NewIdentity<'_> {
    fn inline(&self) -> BTreeMap<String, String> {
        self.policy
            .iter()
            .map(|(name, document)| ((*name).to_owned(), (*document).to_owned()))
            .collect()
    }

    fn user(&self, now: SystemTime) -> Result<User, StoreError> {
        Ok(User {
            account: self.identity.account.clone(),
            path: "/".to_owned(),
            name: self.identity.name.clone(),
            unique_id: random::id("AIDA", 17)?,
            created: seconds(now),
            access_keys: Vec::new(),
            groups: Default::default(),
            inline: self.inline(),
            attached: Default::default(),
            boundary: None,
            tags: Default::default(),
        })
    }

    fn role(&self, now: SystemTime) -> Result<Role, StoreError> {
        Ok(Role {
            account: self.identity.account.clone(),
            path: "/".to_owned(),
            name: self.identity.name.clone(),
            unique_id: random::id("AROA", 17)?,
            description: String::new(),
            created: seconds(now),
            trust: self.trust.map(str::to_owned),
            max_session: DEFAULT_SESSION_SECONDS,
            inline: self.inline(),
            attached: Default::default(),
            boundary: None,
            tags: Default::default(),
        })
    }
}

impl Store {
    /// Creates a user with an access key, or a role, which has none. The path is `/`.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], [`StoreError::NotFound`] for the account,
    /// [`StoreError::Policy`], [`StoreError::Database`].
    pub fn create_identity(
        &self,
        new: &NewIdentity<'_>,
        now: SystemTime,
    ) -> Result<Option<Credentials>, StoreError> {
        let NewIdentity { identity, trust, policy } = new;
        if let Some((name, document)) = policy {
            check_policy(name, document, PolicyKind::Identity)?;
        }
        if let Some(document) = trust {
            check_policy("trust policy", document, PolicyKind::Resource)?;
        }
        self.change(|draft| {
            if !draft.accounts.contains_key(identity.account.as_str()) {
                return Err(StoreError::NotFound(format!("account {}", identity.account)));
            }
            let id = account_key(identity.account.as_str(), &identity.name);
            let exists = match identity.kind {
                IdentityKind::User => draft.users.contains_key(&id),
                IdentityKind::Role => draft.roles.contains_key(&id),
            };
            if exists {
                return Err(StoreError::AlreadyExists(identity.to_string()));
            }
            match identity.kind {
                IdentityKind::User => {
                    draft.put(new.user(now)?)?;
                    add_access_key(draft, identity, now).map(Some)
                }
                IdentityKind::Role => {
                    draft.put(new.role(now)?)?;
                    Ok(None)
                }
            }
        })
    }

    /// Creates a further access key of a user.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Random`], [`StoreError::Database`].
    pub fn create_access_key(
        &self,
        user: &Identity,
        now: SystemTime,
    ) -> Result<Credentials, StoreError> {
        self.change(|draft| add_access_key(draft, user, now))
    }

    /// Returns the access keys of a user, oldest first.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Database`].
    pub fn access_keys(&self, user: &Identity) -> Result<Vec<Arc<AccessKey>>, StoreError> {
        let state = self.state()?;
        let record = state
            .users
            .get(&account_key(user.account.as_str(), &user.name))
            .ok_or_else(|| StoreError::NotFound(user.to_string()))?;
        Ok(record
            .access_keys
            .iter()
            .filter_map(|id| state.access_keys.get(id.as_str()).cloned())
            .collect())
    }

    /// Activates or deactivates an access key, with effect from the next login.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Database`].
    pub fn set_key_status(&self, key: &AccessKeyId, status: KeyStatus) -> Result<(), StoreError> {
        self.change(|draft| {
            let record = draft
                .access_keys
                .get(key.as_str())
                .ok_or_else(|| StoreError::NotFound(format!("access key {key}")))?;
            let changed = AccessKey { status, ..AccessKey::clone(record) };
            draft.put(changed).map(drop)
        })
    }

    /// Creates or replaces an inline policy of a user or role.
    ///
    /// # Errors
    /// [`StoreError::Policy`] with all errors of the document, [`StoreError::NotFound`],
    /// [`StoreError::Database`].
    pub fn put_policy(
        &self,
        identity: &Identity,
        name: &str,
        document: &str,
    ) -> Result<(), StoreError> {
        check_policy(name, document, PolicyKind::Identity)?;
        self.change(|draft| {
            let put = |inline: &mut BTreeMap<String, String>| {
                inline.insert(name.to_owned(), document.to_owned())
            };
            with_inline(draft, identity, put).map(drop)
        })
    }

    /// Returns the document of an inline policy of a user or role as it was given; `None` if the
    /// identity has no policy of that name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the identity, [`StoreError::Database`].
    pub fn policy(&self, identity: &Identity, name: &str) -> Result<Option<String>, StoreError> {
        let state = self.state()?;
        let id = account_key(identity.account.as_str(), &identity.name);
        let document = match identity.kind {
            IdentityKind::User => state.users.get(&id).map(|user| user.inline.get(name).cloned()),
            IdentityKind::Role => state.roles.get(&id).map(|role| role.inline.get(name).cloned()),
        };
        document.ok_or_else(|| StoreError::NotFound(identity.to_string()))
    }

    /// Deletes an inline policy of a user or role. Returns false if it did not exist.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for the identity, [`StoreError::Database`].
    pub fn delete_policy(&self, identity: &Identity, name: &str) -> Result<bool, StoreError> {
        self.change(|draft| with_inline(draft, identity, |inline| inline.remove(name).is_some()))
    }
}

fn add_access_key(
    draft: &mut Draft,
    user: &Identity,
    now: SystemTime,
) -> Result<Credentials, StoreError> {
    let record = draft
        .users
        .get(&account_key(user.account.as_str(), &user.name))
        .ok_or_else(|| StoreError::NotFound(user.to_string()))?;
    let mut changed = User::clone(record);
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

/// Applies `change` to the inline policies of a user or role.
fn with_inline<T>(
    draft: &mut Draft,
    identity: &Identity,
    change: impl FnOnce(&mut BTreeMap<String, String>) -> T,
) -> Result<T, StoreError> {
    let id = account_key(identity.account.as_str(), &identity.name);
    let not_found = || StoreError::NotFound(identity.to_string());
    match identity.kind {
        IdentityKind::User => {
            let mut user = User::clone(draft.users.get(&id).ok_or_else(not_found)?);
            let value = change(&mut user.inline);
            draft.put(user)?;
            Ok(value)
        }
        IdentityKind::Role => {
            let mut role = Role::clone(draft.roles.get(&id).ok_or_else(not_found)?);
            let value = change(&mut role.inline);
            draft.put(role)?;
            Ok(value)
        }
    }
}

/// Checks that a policy document can be evaluated.
///
/// # Errors
/// [`StoreError::Policy`] with all errors of the document.
pub fn check_policy(name: &str, document: &str, kind: PolicyKind) -> Result<(), StoreError> {
    Policy::parse(document, kind)
        .map(drop)
        .map_err(|errors| StoreError::Policy { name: name.to_owned(), errors: errors.to_string() })
}
