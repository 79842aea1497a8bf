//! Policy documents, kept as they were given and checked before they are kept.

use countersign_core::name::AccountId;
use countersign_core::policy::{Policy, PolicyKind};
use rusqlite::{Connection, OptionalExtension, params};

use super::{Identity, Store, StoreError, StoredKey, constraint};

/// Which of an identity's policies it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicySlot {
    /// Allows and denies.
    Inline,
    /// The most that the others can allow.
    Boundary,
}

impl PolicySlot {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Boundary => "boundary",
        }
    }
}

/// Which of an organization's policies it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlKind {
    /// What the account's principals may do at the most.
    Service,
    /// What may be done to the account's resources at the most.
    Resource,
}

impl ControlKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "scp",
            Self::Resource => "rcp",
        }
    }

    const fn policy_kind(self) -> PolicyKind {
        match self {
            Self::Service => PolicyKind::ServiceControl,
            Self::Resource => PolicyKind::ResourceControl,
        }
    }
}

/// A policy's name and text.
pub type Named = (String, String);

/// Every policy that bears on what one key does to one account's resources. All as text.
#[derive(Debug, Default)]
pub struct Documents {
    /// The identity's own.
    pub inline: Vec<Named>,
    /// Its boundary.
    pub boundaries: Vec<Named>,
    /// The session's.
    pub session: Vec<Named>,
    /// Of the principal's account, one list for each level from the root.
    pub service_control: Vec<Vec<Named>>,
    /// Of the resource's account, likewise.
    pub resource_control: Vec<Vec<Named>>,
}

impl Store {
    /// Keeps a policy of a user or role; one of that name is replaced.
    ///
    /// # Errors
    /// [`StoreError::Policy`] with every mistake, [`StoreError::Missing`], [`StoreError::Database`].
    pub fn put_policy(&self, identity: &Identity, slot: PolicySlot, name: &str, document: &str) -> Result<(), StoreError> {
        check(name, document, PolicyKind::Identity)?;
        let row = self.row_of(identity)?;
        self.run(|db| insert_policy(db, row, slot, name, document))
    }

    /// A policy of a user or role, as it was given; none where there is none of that name.
    ///
    /// # Errors
    /// [`StoreError::Missing`] for the identity, [`StoreError::Database`].
    pub fn policy(&self, identity: &Identity, slot: PolicySlot, name: &str) -> Result<Option<String>, StoreError> {
        let row = self.row_of(identity)?;
        let sql = "SELECT document FROM identity_policy WHERE identity = ?1 AND kind = ?2 AND name = ?3";
        self.read(|db| db.prepare_cached(sql)?.query_row(params![row, slot.as_str(), name], |row| row.get(0)).optional())
    }

    /// Takes a policy of a user or role away; `false` where there was none.
    ///
    /// # Errors
    /// [`StoreError::Missing`] for the identity, [`StoreError::Database`].
    pub fn delete_policy(&self, identity: &Identity, slot: PolicySlot, name: &str) -> Result<bool, StoreError> {
        let row = self.row_of(identity)?;
        let sql = "DELETE FROM identity_policy WHERE identity = ?1 AND kind = ?2 AND name = ?3";
        self.run(|db| db.execute(sql, params![row, slot.as_str(), name])).map(|count| count > 0)
    }

    /// Keeps a policy of the organization at one level above the account, 0 being the root.
    ///
    /// # Errors
    /// [`StoreError::Policy`] with every mistake, [`StoreError::Missing`] for the account, [`StoreError::Database`].
    pub fn put_control_policy(
        &self,
        account: &AccountId,
        kind: ControlKind,
        level: u8,
        name: &str,
        document: &str,
    ) -> Result<(), StoreError> {
        check(name, document, kind.policy_kind())?;
        let sql = "INSERT INTO control_policy (account, kind, level, name, document) VALUES (?1, ?2, ?3, ?4, ?5)
                   ON CONFLICT DO UPDATE SET document = excluded.document";
        let put = self.run(|db| db.execute(sql, params![account.as_str(), kind.as_str(), level, name, document]));
        put.map(drop).map_err(|error| constraint(error, "", &format!("account {account}")))
    }

    /// The policies that bear on what `key` does in the account of a resource.
    ///
    /// # Errors
    /// [`StoreError::Database`]
    pub fn documents(&self, key: &StoredKey, resource_account: &AccountId) -> Result<Documents, StoreError> {
        self.read(|db| {
            Ok(Documents {
                inline: identity_policies(db, key.identity, PolicySlot::Inline)?,
                boundaries: identity_policies(db, key.identity, PolicySlot::Boundary)?,
                session: key.session_policy.iter().map(|document| ("session policy".to_owned(), document.clone())).collect(),
                service_control: control_policies(db, &key.owner.account, ControlKind::Service)?,
                resource_control: control_policies(db, resource_account, ControlKind::Resource)?,
            })
        })
    }
}

pub(super) fn insert_policy(db: &Connection, identity: i64, slot: PolicySlot, name: &str, document: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO identity_policy (identity, kind, name, document) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO UPDATE SET document = excluded.document";
    db.execute(sql, params![identity, slot.as_str(), name, document]).map(drop)
}

pub(super) fn check(name: &str, document: &str, kind: PolicyKind) -> Result<(), StoreError> {
    Policy::parse(document, kind).map(drop).map_err(|errors| StoreError::Policy { name: name.to_owned(), errors: errors.to_string() })
}

fn identity_policies(db: &Connection, identity: i64, slot: PolicySlot) -> rusqlite::Result<Vec<Named>> {
    let sql = "SELECT name, document FROM identity_policy WHERE identity = ?1 AND kind = ?2 ORDER BY name";
    db.prepare_cached(sql)?.query_map(params![identity, slot.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn control_policies(db: &Connection, account: &AccountId, kind: ControlKind) -> rusqlite::Result<Vec<Vec<Named>>> {
    let sql = "SELECT level, name, document FROM control_policy WHERE account = ?1 AND kind = ?2 ORDER BY level, name";
    let mut query = db.prepare_cached(sql)?;
    let mut rows = query.query(params![account.as_str(), kind.as_str()])?;
    let mut levels: Vec<(i64, Vec<Named>)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (level, policy) = (row.get(0)?, (row.get(1)?, row.get(2)?));
        match levels.last_mut() {
            Some((last, policies)) if *last == level => policies.push(policy),
            _ => levels.push((level, vec![policy])),
        }
    }
    Ok(levels.into_iter().map(|(_, policies)| policies).collect())
}
