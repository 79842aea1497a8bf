//! Whose a key is: from the key that a token or a request names to the identity that holds it, its policies and its facts.

use std::sync::Arc;
use std::time::SystemTime;

use countersign_core::arn::Arn;
use countersign_core::credentials::Credentials;
use countersign_core::name::{AccessKeyId, AccountId, InvalidName};
use countersign_core::policy::{Caller, Context};
use countersign_core::principal::KeyOwner;
use countersign_core::region::Partition;
use countersign_core::timestamp::rfc3339;
use countersign_core::token::KeyStatus;

use crate::effective_policies::{EffectivePolicies, managed_policy_document};
use crate::model::{Role, Tags, User, instant, seconds};
use crate::seal::SealingKey;
use crate::session::{Session, Subject};
use crate::store::{State, account_key};
use crate::sts_verifier::ProvenIdentity;

/// Why a key has no holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyLookupError {
    /// There is no such key, or its user or role has gone.
    Unknown,
    /// It is a session's, and came without its token.
    TokenMissing,
    /// The token is not that key's, or the key is a long-term one, which has none.
    TokenWrong,
    /// What is stored is of no form that an identity can have.
    Corrupt(InvalidName),
}

impl From<InvalidName> for KeyLookupError {
    fn from(invalid: InvalidName) -> Self {
        Self::Corrupt(invalid)
    }
}

/// A user or role.
#[derive(Debug, Clone)]
pub enum PrincipalRecord {
    /// A user.
    User(Arc<User>),
    /// A role.
    Role(Arc<Role>),
}

impl PrincipalRecord {
    /// `arn:PARTITION:iam::ACCOUNT:user/PATH/NAME`, or `role/…`.
    ///
    /// # Errors
    /// Where it is of no form that an ARN can have.
    pub fn arn(&self, partition: Partition) -> Result<Arn, InvalidName> {
        match self {
            Self::User(user) => {
                format!("arn:{partition}:iam::{}:user{}{}", user.account, user.path, user.name)
                    .parse()
            }
            Self::Role(role) => {
                format!("arn:{partition}:iam::{}:role{}{}", role.account, role.path, role.name)
                    .parse()
            }
        }
    }

    fn tags(&self) -> &Tags {
        match self {
            Self::User(user) => &user.tags,
            Self::Role(role) => &role.tags,
        }
    }
}

/// A key that somebody holds.
#[derive(Debug, Clone)]
pub struct ResolvedKey {
    /// The key, and for a session its token and end.
    pub credentials: Credentials,
    /// Whether it may be used.
    pub status: KeyStatus,
    /// Whose it is.
    pub identity: ResolvedIdentity,
}

/// An identity as it acts: a user, or a session.
#[derive(Debug, Clone)]
pub struct ResolvedIdentity {
    /// Who it is.
    pub owner: KeyOwner,
    /// The user, or the role behind a session.
    pub who: PrincipalRecord,
    /// The session, where it acts in one that is known here.
    pub session: Option<Session>,
}

impl ResolvedKey {
    /// The key `id`, which came with the session token `token`.
    ///
    /// # Errors
    /// [`Unheld`]
    pub fn find(
        state: &State,
        sealing: &SealingKey,
        id: &AccessKeyId,
        token: Option<&str>,
    ) -> Result<Self, KeyLookupError> {
        if !id.as_str().starts_with("ASIA") {
            return Self::of_key(state, id, token);
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

    fn of_key(
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
        let who = PrincipalRecord::User(Arc::clone(user));
        let owner = KeyOwner {
            arn: who.arn(partition(state, &user.account)?)?,
            account: user.account.clone(),
            unique_id: user.unique_id.clone(),
            role: None,
            tags: pairs(&user.tags),
        };
        let holder = ResolvedIdentity { owner, who, session: None };
        Ok(Self {
            credentials: key.credentials().ok_or(KeyLookupError::Unknown)?,
            status: key.status,
            identity: holder,
        })
    }
}

impl ResolvedIdentity {
    /// Whom STS vouches for, if it is an identity of the store's: by its unique id, for a name may be given to somebody else.
    /// What policies AWS limits its session by is not known here.
    ///
    /// # Errors
    /// [`Unheld::Unknown`] where it is none, [`Unheld::Corrupt`].
    pub fn from_sts(state: &State, proven: &ProvenIdentity) -> Result<Self, KeyLookupError> {
        let account = proven.account.as_str();
        let (id, session) = proven.user_id.split_once(':').unwrap_or((&proven.user_id, ""));
        let (kind, names) = proven.arn.resource().split_once('/').ok_or(KeyLookupError::Unknown)?;
        let (who, role) = match kind {
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
                let who = PrincipalRecord::Role(Arc::clone(
                    role.filter(|role| role.unique_id == id).ok_or(KeyLookupError::Unknown)?,
                ));
                let arn = who.arn(partition(state, &proven.account)?)?;
                (who, Some(arn))
            }
            _ => return Err(KeyLookupError::Unknown),
        };
        let (account, unique_id, tags) =
            (proven.account.clone(), proven.user_id.clone(), pairs(who.tags()));
        Ok(Self {
            owner: KeyOwner { arn: proven.arn.clone(), account, unique_id, role, tags },
            who,
            session: None,
        })
    }

    /// The holder of a session that was opened.
    ///
    /// # Errors
    /// [`Unheld::Unknown`] where its user or role has gone, [`Unheld::Corrupt`].
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
        let (who, arn, unique_id, behind) = match &session.subject {
            Subject::User { name } => {
                let who =
                    PrincipalRecord::User(Arc::clone(user(name).ok_or(KeyLookupError::Unknown)?));
                let arn = who.arn(partition)?;
                (who, arn, id.clone(), None)
            }
            Subject::Role { name, session: at } => {
                let role = role(name).ok_or(KeyLookupError::Unknown)?;
                let arn = format!("arn:{partition}:sts::{account}:assumed-role/{}/{at}", role.name)
                    .parse()?;
                let who = PrincipalRecord::Role(Arc::clone(role));
                let behind = who.arn(partition)?;
                (who, arn, format!("{id}:{at}"), Some(behind))
            }
            Subject::Federated { user: name, name: lent } => {
                let who =
                    PrincipalRecord::User(Arc::clone(user(name).ok_or(KeyLookupError::Unknown)?));
                let arn =
                    format!("arn:{partition}:sts::{account}:federated-user/{lent}").parse()?;
                (who, arn, format!("{account}:{lent}"), None)
            }
        };
        let own = who.tags().iter().filter(|(key, _)| !session.tags.contains_key(*key));
        let tags = session
            .tags
            .iter()
            .chain(own)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let owner =
            KeyOwner { arn, account: session.account.clone(), unique_id, role: behind, tags };
        Ok(Self { owner, who, session: Some(session) })
    }

    /// The identity as policies see it.
    ///
    /// # Errors
    /// Where its ARN is not that of an identity.
    pub fn caller(&self) -> Result<Caller, InvalidName> {
        let caller = Caller::new(&self.owner.arn)?.with_unique_id(&self.owner.unique_id);
        Ok(match &self.owner.role {
            Some(role) => caller.with_role(role),
            None => caller,
        })
    }

    /// The policies that bear on what the identity does to resources of `resource_account`.
    #[must_use]
    pub fn effective_policies(
        &self,
        state: &State,
        resource_account: &AccountId,
    ) -> EffectivePolicies {
        let mut documents = EffectivePolicies::for_principal(state, &self.who, resource_account);
        if let Some(session) = &self.session {
            let inline = session
                .policies
                .iter()
                .map(|document| ("session policy".to_owned(), document.clone()));
            documents.session = inline
                .chain(session.policy_arns.iter().map(|arn| managed_policy_document(state, arn)))
                .collect();
        }
        documents
    }

    /// What is known of the identity, and of the time, by condition key.
    /// Source: IAM user guide, "AWS global condition context keys".
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

/// The partition of an account.
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
