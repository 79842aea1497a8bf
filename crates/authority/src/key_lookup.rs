//! Lookup of access keys: from the access key id of a token or request to the identity, its
//! policies and its condition keys.

use std::sync::Arc;
use std::time::SystemTime;

use countersign_core::credentials::Credentials;
use countersign_core::name::{AccessKeyId, AccountId, InvalidName};
use countersign_core::policy::{Caller, Context};
use countersign_core::principal::KeyOwner;
use countersign_core::region::Partition;
use countersign_core::timestamp::rfc3339;
use countersign_core::token::KeyStatus;

use crate::effective_policies::{EffectivePolicies, managed_policy_document};
use crate::model::{PrincipalRecord, Tags, instant, seconds};
use crate::seal::SealingKey;
use crate::session::{Session, Subject};
use crate::store::{State, account_key};
use crate::sts_verifier::ProvenIdentity;

/// Reason for which a key has no identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyLookupError {
    /// The key does not exist, or its user or role was deleted.
    Unknown,
    /// The key belongs to a session, and came without a session token.
    TokenMissing,
    /// The session token does not belong to the key, or the key is a long-term key, which has no
    /// session token.
    TokenWrong,
    /// A record does not form a valid ARN.
    Corrupt(InvalidName),
}

impl From<InvalidName> for KeyLookupError {
    fn from(invalid: InvalidName) -> Self {
        Self::Corrupt(invalid)
    }
}

/// Access key with its identity.
#[derive(Debug, Clone)]
pub struct ResolvedKey {
    /// The key; for a session also its token and expiry.
    pub credentials: Credentials,
    /// Active or inactive.
    pub status: KeyStatus,
    /// Identity that the key belongs to.
    pub identity: ResolvedIdentity,
}

/// Identity of a caller: a user or a session.
#[derive(Debug, Clone)]
pub struct ResolvedIdentity {
    /// ARN, account, unique id and tags.
    pub owner: KeyOwner,
    /// User, or role of the session.
    pub principal: PrincipalRecord,
    /// The session, if its session token was opened here.
    pub session: Option<Session>,
}

impl ResolvedKey {
    /// Looks up the key `id`, which came with the session token `token`.
    ///
    /// # Errors
    /// [`KeyLookupError`]
    pub fn find(
        state: &State,
        sealing: &SealingKey,
        id: &AccessKeyId,
        token: Option<&str>,
    ) -> Result<Self, KeyLookupError> {
        if !id.as_str().starts_with("ASIA") {
            return Self::find_long_term(state, id, token);
        }
        let (session, credentials) =
            Session::open(sealing, id, token.ok_or(KeyLookupError::TokenMissing)?)
                .ok_or(KeyLookupError::TokenWrong)?;
        Ok(Self {
            credentials,
            status: KeyStatus::Active,
            identity: ResolvedIdentity::from_session(state, session)?,
        })
    }

    fn find_long_term(
        state: &State,
        id: &AccessKeyId,
        token: Option<&str>,
    ) -> Result<Self, KeyLookupError> {
        let key = state.access_keys.get(id.as_str()).ok_or(KeyLookupError::Unknown)?;
        if token.is_some() {
            return Err(KeyLookupError::TokenWrong);
        }
        let user = state
            .users
            .get(&account_key(key.account.as_str(), &key.user))
            .ok_or(KeyLookupError::Unknown)?;
        let principal = PrincipalRecord::User(Arc::clone(user));
        let owner = KeyOwner {
            arn: principal.arn(partition(state, &user.account)?)?,
            account: user.account.clone(),
            unique_id: user.unique_id.clone(),
            role: None,
            tags: pairs(&user.tags),
        };
        let identity = ResolvedIdentity { owner, principal, session: None };
        Ok(Self {
            credentials: key.credentials().ok_or(KeyLookupError::Unknown)?,
            status: key.status,
            identity,
        })
    }
}

impl ResolvedIdentity {
    /// Resolves an identity that STS reported, by its unique id, because a later identity may have
    /// the same name. The session policies that AWS applies to the session are not known here.
    ///
    /// # Errors
    /// [`KeyLookupError::Unknown`] if the store has no such identity, [`KeyLookupError::Corrupt`].
    pub fn from_sts(state: &State, proven: &ProvenIdentity) -> Result<Self, KeyLookupError> {
        let account = proven.account.as_str();
        let (id, session) = proven.user_id.split_once(':').unwrap_or((&proven.user_id, ""));
        let (kind, names) = proven.arn.resource().split_once('/').ok_or(KeyLookupError::Unknown)?;
        let (principal, role) = match kind {
            "user" => {
                let user = names
                    .rsplit('/')
                    .next()
                    .and_then(|name| state.users.get(&account_key(account, name)));
                (
                    PrincipalRecord::User(Arc::clone(
                        user.filter(|user| user.unique_id == id && session.is_empty())
                            .ok_or(KeyLookupError::Unknown)?,
                    )),
                    None,
                )
            }
            "assumed-role" => {
                let role = names
                    .split('/')
                    .next()
                    .and_then(|name| state.roles.get(&account_key(account, name)));
                let principal = PrincipalRecord::Role(Arc::clone(
                    role.filter(|role| role.unique_id == id).ok_or(KeyLookupError::Unknown)?,
                ));
                let arn = principal.arn(partition(state, &proven.account)?)?;
                (principal, Some(arn))
            }
            _ => return Err(KeyLookupError::Unknown),
        };
        let (account, unique_id, tags) =
            (proven.account.clone(), proven.user_id.clone(), pairs(principal.tags()));
        Ok(Self {
            owner: KeyOwner { arn: proven.arn.clone(), account, unique_id, role, tags },
            principal,
            session: None,
        })
    }

    /// Resolves the identity of an opened session.
    ///
    /// # Errors
    /// [`KeyLookupError::Unknown`] if its user or role was deleted, [`KeyLookupError::Corrupt`].
    pub fn from_session(state: &State, session: Session) -> Result<Self, KeyLookupError> {
        let partition = partition(state, &session.account)?;
        let account = session.account.as_str();
        let user = |name: &str| {
            state
                .users
                .get(&account_key(account, name))
                .filter(|user| user.unique_id == session.unique_id)
        };
        let role = |name: &str| {
            state
                .roles
                .get(&account_key(account, name))
                .filter(|role| role.unique_id == session.unique_id)
        };
        let id = &session.unique_id;
        let (principal, arn, unique_id, role_arn) = match &session.subject {
            Subject::User { name } => {
                let principal =
                    PrincipalRecord::User(Arc::clone(user(name).ok_or(KeyLookupError::Unknown)?));
                let arn = principal.arn(partition)?;
                (principal, arn, id.clone(), None)
            }
            Subject::Role { name, session: session_name } => {
                let role = role(name).ok_or(KeyLookupError::Unknown)?;
                let arn = format!(
                    "arn:{partition}:sts::{account}:assumed-role/{}/{session_name}",
                    role.name
                )
                .parse()?;
                let principal = PrincipalRecord::Role(Arc::clone(role));
                let role_arn = principal.arn(partition)?;
                (principal, arn, format!("{id}:{session_name}"), Some(role_arn))
            }
            Subject::Federated { user: name, name: federated } => {
                let principal =
                    PrincipalRecord::User(Arc::clone(user(name).ok_or(KeyLookupError::Unknown)?));
                let arn =
                    format!("arn:{partition}:sts::{account}:federated-user/{federated}").parse()?;
                (principal, arn, format!("{account}:{federated}"), None)
            }
        };
        let own = principal.tags().iter().filter(|(key, _)| !session.tags.contains_key(*key));
        let tags = session
            .tags
            .iter()
            .chain(own)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let owner =
            KeyOwner { arn, account: session.account.clone(), unique_id, role: role_arn, tags };
        Ok(Self { owner, principal, session: Some(session) })
    }

    /// Returns the identity as the caller in a policy evaluation.
    ///
    /// # Errors
    /// [`InvalidName`] if its ARN is not the ARN of an identity.
    pub fn caller(&self) -> Result<Caller, InvalidName> {
        let caller = Caller::new(&self.owner.arn)?.with_unique_id(&self.owner.unique_id);
        Ok(match &self.owner.role {
            Some(role) => caller.with_role(role),
            None => caller,
        })
    }

    /// Returns the policies that apply to the identity's access to resources of `resource_account`.
    #[must_use]
    pub fn effective_policies(
        &self,
        state: &State,
        resource_account: &AccountId,
    ) -> EffectivePolicies {
        let mut policies =
            EffectivePolicies::for_principal(state, &self.principal, resource_account);
        if let Some(session) = &self.session {
            let inline = session
                .policies
                .iter()
                .map(|document| ("session policy".to_owned(), document.clone()));
            policies.session = inline
                .chain(session.policy_arns.iter().map(|arn| managed_policy_document(state, arn)))
                .collect();
        }
        policies
    }

    /// Returns the condition keys of the identity and the time. Source: IAM user guide, "AWS global
    /// condition context keys".
    #[must_use]
    pub fn context(&self, now: SystemTime) -> Context {
        let mut context = Context::new();
        context.insert("aws:CurrentTime", rfc3339(now));
        context.insert("aws:EpochTime", seconds(now).to_string());
        for (key, value) in &self.owner.tags {
            context.insert(&format!("aws:PrincipalTag/{key}"), value.as_str());
        }
        if let Some(session) = &self.session {
            context.insert("aws:TokenIssueTime", rfc3339(instant(session.issued)));
            context.insert("aws:MultiFactorAuthPresent", "false");
            session
                .source_identity
                .as_ref()
                .map(|source| context.insert("aws:SourceIdentity", source.as_str()));
            for (key, value) in &session.context_keys {
                context.insert(key, value.as_str());
            }
        }
        context
    }
}

/// Returns the partition of an account.
fn partition(state: &State, account: &AccountId) -> Result<Partition, KeyLookupError> {
    state
        .accounts
        .get(account.as_str())
        .map(|account| account.partition)
        .ok_or(KeyLookupError::Unknown)
}

fn pairs(tags: &Tags) -> Vec<(String, String)> {
    tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}
