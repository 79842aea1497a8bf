//! Users and roles, and the keys that users sign with.

use std::time::SystemTime;

use countersign_core::arn::Arn;
use countersign_core::credentials::{Credentials, Secret};
use countersign_core::name::{AccessKeyId, AccountId, InvalidName};
use countersign_core::policy::PolicyKind;
use countersign_core::principal::KeyOwner;
use countersign_core::region::Partition;
use countersign_core::token::KeyStatus;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::policy::{check, insert_policy};
use super::{PolicySlot, Store, StoreError, constraint, instant, random, seconds};

/// What kind of identity it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityKind {
    /// Has keys of its own.
    User,
    /// Is assumed, in sessions.
    Role,
}

impl IdentityKind {
    /// `user` or `role`, as in ARNs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Role => "role",
        }
    }

    /// The prefix of its unique ids. Source: "IAM identifiers" in the IAM user guide.
    const fn id_prefix(self) -> &'static str {
        match self {
            Self::User => "AIDA",
            Self::Role => "AROA",
        }
    }
}

/// Names a user or role of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account.
    pub account: AccountId,
    /// User or role.
    pub kind: IdentityKind,
    /// Its name: 1 to 64 of `[A-Za-z0-9_+=,.@-]`.
    pub name: String,
}

impl Identity {
    /// A user or role of that name, which must be of IAM's form.
    ///
    /// # Errors
    /// Where the name is not 1 to 64 of `[A-Za-z0-9_+=,.@-]`.
    pub fn new(account: AccountId, kind: IdentityKind, name: &str) -> Result<Self, InvalidName> {
        // The ARN that the name becomes part of checks nothing of it.
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
        if (1..=64).contains(&name.len()) && name.bytes().all(word) {
            return Ok(Self { account, kind, name: name.to_owned() });
        }
        Err(InvalidName::new("the IAM name", format!("{name:?} is not 1 to 64 letters, digits or characters of _+=,.@-")))
    }

    fn described(&self) -> String {
        format!("{} {:?} in account {}", self.kind.as_str(), self.name, self.account)
    }
}

/// An access key without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its id.
    pub id: AccessKeyId,
    /// Whether it may be used.
    pub status: KeyStatus,
}

/// A key as the verifier needs it: what it signs with, and whose it is.
#[derive(Debug)]
pub struct StoredKey {
    /// The key, and for a session its token and end.
    pub credentials: Credentials,
    /// Whether it may be used.
    pub status: KeyStatus,
    /// Whose it is.
    pub owner: KeyOwner,
    /// The row of the owner's policies.
    pub(super) identity: i64,
    /// The session's own policy.
    pub(super) session_policy: Option<String>,
}

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

impl Store {
    /// Makes a user, with an access key, or a role, which has none. Its path is `/`.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::Missing`] for the account, [`StoreError::Policy`], [`StoreError::Database`].
    pub fn create_identity(&self, new: &NewIdentity<'_>, now: SystemTime) -> Result<Option<Credentials>, StoreError> {
        let NewIdentity { identity, trust, policy } = new;
        policy.map_or(Ok(()), |(name, document)| check(name, document, PolicyKind::Identity))?;
        let unique_id = random::id(identity.kind.id_prefix(), 17)?;
        let key = match identity.kind {
            IdentityKind::User => Some(new_credentials("AKIA")?),
            IdentityKind::Role => None,
        };
        let made = self.run(|db| {
            let row = db.query_row(
                "INSERT INTO identity (account, kind, path, name, unique_id, trust) VALUES (?1, ?2, '/', ?3, ?4, ?5) RETURNING id",
                params![identity.account.as_str(), identity.kind.as_str(), identity.name, unique_id, trust],
                |row| row.get::<_, i64>(0),
            )?;
            key.as_ref().map_or(Ok(()), |key| insert_key(db, row, key, now))?;
            policy.map_or(Ok(()), |(name, document)| insert_policy(db, row, PolicySlot::Inline, name, document))
        });
        made.map_err(|error| constraint(error, &format!("the {}", identity.described()), &format!("account {}", identity.account)))?;
        Ok(key)
    }

    /// Makes a further access key of a user.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Random`], [`StoreError::Database`].
    pub fn create_access_key(&self, user: &Identity, now: SystemTime) -> Result<Credentials, StoreError> {
        let (row, key) = (self.row_of(user)?, new_credentials("AKIA")?);
        self.run(|db| insert_key(db, row, &key, now))?;
        Ok(key)
    }

    /// The keys of a user, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Corrupt`], [`StoreError::Database`].
    pub fn access_keys(&self, user: &Identity) -> Result<Vec<KeyInfo>, StoreError> {
        let id = self.row_of(user)?;
        let rows = self.read(|db| {
            let mut query = db.prepare_cached("SELECT id, status FROM access_key WHERE identity = ?1 ORDER BY created, rowid")?;
            query.query_map([id], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        rows.into_iter().map(|(id, status)| Ok(KeyInfo { id: id.parse()?, status: key_status(&status) })).collect()
    }

    /// Switches a key on or off, for the next login.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Database`].
    pub fn set_key_status(&self, key: &AccessKeyId, status: KeyStatus) -> Result<(), StoreError> {
        let word = match status {
            KeyStatus::Active => "Active",
            KeyStatus::Inactive => "Inactive",
        };
        match self.run(|db| db.execute("UPDATE access_key SET status = ?2 WHERE id = ?1", params![key.as_str(), word]))? {
            0 => Err(StoreError::Missing(format!("access key {key}"))),
            _ => Ok(()),
        }
    }

    /// The key that a token or a request names: a user's, or a session's. `None` where nobody owns it.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Database`].
    pub fn key(&self, id: &AccessKeyId) -> Result<Option<StoredKey>, StoreError> {
        let found = self.read(|db| find_key(db, id))?;
        found.map(|found| found.resolve(id)).transpose()
    }

    /// The row of a user or role.
    pub(super) fn row_of(&self, identity: &Identity) -> Result<i64, StoreError> {
        let row = self.read(|db| {
            db.prepare_cached("SELECT id FROM identity WHERE account = ?1 AND kind = ?2 AND name = ?3")?
                .query_row(params![identity.account.as_str(), identity.kind.as_str(), identity.name], |row| row.get(0))
                .optional()
        })?;
        row.ok_or_else(|| StoreError::Missing(identity.described()))
    }
}

fn insert_key(db: &Connection, identity: i64, key: &Credentials, now: SystemTime) -> rusqlite::Result<()> {
    let sql = "INSERT INTO access_key (id, identity, secret, status, created) VALUES (?1, ?2, ?3, 'Active', ?4)";
    db.execute(sql, params![key.access_key_id.as_str(), identity, key.secret.expose(), seconds(now)]).map(drop)
}

/// A fresh key: 20 characters of id, 40 of secret.
pub(super) fn new_credentials(prefix: &str) -> Result<Credentials, StoreError> {
    let secret = Secret::new(random::secret(40)?.as_str()).ok_or_else(|| StoreError::Missing("secret".to_owned()))?;
    Ok(Credentials { access_key_id: random::id(prefix, 16)?.parse()?, secret, session_token: None, expires: None })
}

fn key_status(word: &str) -> KeyStatus {
    // Whatever is not plainly active must not log in.
    if word == "Active" { KeyStatus::Active } else { KeyStatus::Inactive }
}

/// A key's row and its owner's, as text.
struct FoundKey {
    identity: i64,
    account: String,
    partition: String,
    kind: String,
    path: String,
    name: String,
    unique_id: String,
    secret: Option<Secret>,
    status: KeyStatus,
    session: Option<FoundSession>,
    tags: Vec<(String, String)>,
}

struct FoundSession {
    name: Option<String>,
    token: Option<Secret>,
    expires: i64,
    policy: Option<String>,
}

fn find_key(db: &Connection, id: &AccessKeyId) -> rusqlite::Result<Option<FoundKey>> {
    const OF_USER: &str = "SELECT i.id, i.account, a.partition, i.kind, i.path, i.name, i.unique_id, k.secret, k.status
         FROM access_key k JOIN identity i ON i.id = k.identity JOIN account a ON a.id = i.account WHERE k.id = ?1";
    const OF_SESSION: &str = "SELECT i.id, i.account, a.partition, i.kind, i.path, i.name, i.unique_id, s.secret, 'Active',
         s.name, s.token, s.expires, s.policy
         FROM session s JOIN identity i ON i.id = s.identity JOIN account a ON a.id = i.account WHERE s.access_key = ?1";
    let found = db.prepare_cached(OF_USER)?.query_row([id.as_str()], |row| owner(row, None)).optional()?;
    let found = match found {
        Some(found) => Some(found),
        None => db.prepare_cached(OF_SESSION)?.query_row([id.as_str()], |row| owner(row, Some(session(row)?))).optional()?,
    };
    let Some(mut found) = found else { return Ok(None) };
    let mut tags = db.prepare_cached("SELECT key, value FROM tag WHERE identity = ?1 ORDER BY key")?;
    found.tags = tags.query_map([found.identity], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    Ok(Some(found))
}

fn owner(row: &Row<'_>, session: Option<FoundSession>) -> rusqlite::Result<FoundKey> {
    Ok(FoundKey {
        identity: row.get(0)?,
        account: row.get(1)?,
        partition: row.get(2)?,
        kind: row.get(3)?,
        path: row.get(4)?,
        name: row.get(5)?,
        unique_id: row.get(6)?,
        secret: Secret::new(row.get::<_, String>(7)?),
        status: key_status(&row.get::<_, String>(8)?),
        session,
        tags: Vec::new(),
    })
}

fn session(row: &Row<'_>) -> rusqlite::Result<FoundSession> {
    Ok(FoundSession { name: row.get(9)?, token: Secret::new(row.get::<_, String>(10)?), expires: row.get(11)?, policy: row.get(12)? })
}

impl FoundKey {
    fn resolve(self, id: &AccessKeyId) -> Result<StoredKey, StoreError> {
        let account: AccountId = self.account.parse()?;
        let partition: Partition = self.partition.parse()?;
        let arn: Arn = format!("arn:{partition}:iam::{account}:{}{}{}", self.kind, self.path, self.name).parse()?;
        let mut unique_id = self.unique_id;
        let (mut arn, mut role) = (arn, None);
        if let Some(session) = self.session.as_ref().and_then(|session| session.name.as_ref()) {
            let assumed = format!("arn:{partition}:sts::{account}:assumed-role/{}/{session}", self.name).parse()?;
            role = Some(std::mem::replace(&mut arn, assumed));
            unique_id = format!("{unique_id}:{session}");
        }
        let missing = || StoreError::Missing(format!("secret of access key {id}"));
        let (session_token, expires, session_policy) = match self.session {
            Some(session) => (Some(session.token.ok_or_else(missing)?), Some(instant(session.expires)), session.policy),
            None => (None, None, None),
        };
        Ok(StoredKey {
            credentials: Credentials { access_key_id: id.clone(), secret: self.secret.ok_or_else(missing)?, session_token, expires },
            status: self.status,
            owner: KeyOwner { arn, account, unique_id, role, tags: self.tags },
            identity: self.identity,
            session_policy,
        })
    }
}
