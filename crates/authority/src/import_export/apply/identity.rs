//! Users, groups and roles.

use std::collections::BTreeSet;

use countersign_core::name::AccountId;
use countersign_core::region::Partition;
use countersign_core::token::KeyStatus;
use zeroize::Zeroizing;

use super::{Importer, arn, cloned, merged_map, path};
use crate::import_export::entry::{self, Permissions};
use crate::import_export::name::NameKind;
use crate::model::{AccessKey, Group, Role, User};
use crate::random;
use crate::store::{DEFAULT_SESSION_SECONDS, StoreError, account_key};
use countersign_config_file::Location;

/// Maximum number of access keys of a user. Source: "IAM and AWS STS quotas".
const MAX_KEYS: usize = 2;

impl Importer<'_> {
    pub(super) fn group(&mut self, entry: &entry::Group) -> Result<(), StoreError> {
        let header = &entry.header;
        let Some(partition) = self.partition(&header.location, &header.account) else {
            return Ok(());
        };
        let before =
            cloned(self.draft.get::<Group>(&account_key(header.account.as_str(), &header.name)));
        let mut group = Group {
            account: header.account.clone(),
            path: path(header, before.as_ref().map(|before| before.path.as_str())),
            name: header.name.clone(),
            unique_id: self.unique_id(
                header,
                NameKind::Group,
                before.as_ref().map(|before| before.unique_id.as_str()),
            )?,
            created: self.created(header.created, before.as_ref().map(|before| before.created)),
            inline: merged_map(
                before.as_ref().map(|before| &before.inline),
                Some(&entry.permissions.inline),
            ),
            attached: BTreeSet::new(),
        };
        if let Some(before) = before {
            (group.name, group.attached) = (before.name, before.attached);
        }
        self.attach(partition, &header.account, &entry.permissions, &mut group.attached, None);
        self.put_if_changed(group, |group| {
            arn(partition, &group.account, "group", &group.path, &group.name)
        })
    }

    pub(super) fn role(&mut self, entry: &entry::Role) -> Result<(), StoreError> {
        let header = &entry.header;
        let Some(partition) = self.partition(&header.location, &header.account) else {
            return Ok(());
        };
        let before =
            cloned(self.draft.get::<Role>(&account_key(header.account.as_str(), &header.name)));
        let mut role = Role {
            account: header.account.clone(),
            path: path(header, before.as_ref().map(|before| before.path.as_str())),
            name: header.name.clone(),
            unique_id: self.unique_id(
                header,
                NameKind::Role,
                before.as_ref().map(|before| before.unique_id.as_str()),
            )?,
            description: String::new(),
            created: self.created(header.created, before.as_ref().map(|before| before.created)),
            trust: None,
            max_session: DEFAULT_SESSION_SECONDS,
            inline: merged_map(
                before.as_ref().map(|before| &before.inline),
                Some(&entry.permissions.inline),
            ),
            attached: BTreeSet::new(),
            boundary: None,
            tags: merged_map(before.as_ref().map(|before| &before.tags), header.tags.as_ref()),
        };
        if let Some(before) = before {
            (role.name, role.description, role.trust) =
                (before.name, before.description, before.trust);
            (role.max_session, role.attached, role.boundary) =
                (before.max_session, before.attached, before.boundary);
        }
        entry.description.iter().for_each(|description| role.description.clone_from(description));
        role.trust = entry.trust.clone().or(role.trust);
        role.max_session = entry.max_session.unwrap_or(role.max_session);
        self.attach(
            partition,
            &header.account,
            &entry.permissions,
            &mut role.attached,
            Some(&mut role.boundary),
        );
        self.put_if_changed(role, |role| {
            arn(partition, &role.account, "role", &role.path, &role.name)
        })
    }

    pub(super) fn user(&mut self, entry: &entry::User) -> Result<(), StoreError> {
        let header = &entry.header;
        let Some(partition) = self.partition(&header.location, &header.account) else {
            return Ok(());
        };
        let before =
            cloned(self.draft.get::<User>(&account_key(header.account.as_str(), &header.name)));
        let mut user = User {
            account: header.account.clone(),
            path: path(header, before.as_ref().map(|before| before.path.as_str())),
            name: header.name.clone(),
            unique_id: self.unique_id(
                header,
                NameKind::User,
                before.as_ref().map(|before| before.unique_id.as_str()),
            )?,
            created: self.created(header.created, before.as_ref().map(|before| before.created)),
            access_keys: Vec::new(),
            groups: BTreeSet::new(),
            inline: merged_map(
                before.as_ref().map(|before| &before.inline),
                Some(&entry.permissions.inline),
            ),
            attached: BTreeSet::new(),
            boundary: None,
            tags: merged_map(before.as_ref().map(|before| &before.tags), header.tags.as_ref()),
        };
        if let Some(before) = before {
            (user.name, user.access_keys, user.groups) =
                (before.name, before.access_keys, before.groups);
            (user.attached, user.boundary) = (before.attached, before.boundary);
        }
        self.attach(
            partition,
            &header.account,
            &entry.permissions,
            &mut user.attached,
            Some(&mut user.boundary),
        );
        for wanted in &entry.groups {
            match self.draft.get::<Group>(&account_key(header.account.as_str(), &wanted.value)) {
                Some(group) => user.groups.extend([group.name.clone()]),
                None => self.diagnostics.add_missing(
                    &wanted.location,
                    &wanted.value,
                    format!("group {:?} not found in account {}", wanted.value, header.account),
                ),
            }
        }
        let keys = self.keys(entry, &mut user, partition)?;
        for key in keys {
            self.put_if_changed(key, |key| key.id.to_string())?;
        }
        self.put_if_changed(user, |user| {
            arn(partition, &user.account, "user", &user.path, &user.name)
        })
    }

    /// Returns the keys that the file gives, or one that is created, and adds them to the user.
    fn keys(
        &mut self,
        entry: &entry::User,
        user: &mut User,
        partition: Partition,
    ) -> Result<Vec<AccessKey>, StoreError> {
        let mut keys: Vec<AccessKey> =
            entry.keys.iter().filter_map(|key| self.key(key, user)).collect();
        for key in &keys {
            if !user.access_keys.contains(&key.id) {
                user.access_keys.push(key.id.clone());
            }
        }
        if entry.wants_key && user.access_keys.is_empty() {
            let made = random::credentials("AKIA")?;
            self.add_created_key(
                arn(partition, &user.account, "user", &user.path, &user.name),
                &made,
            );
            user.access_keys.push(made.access_key_id.clone());
            keys.push(AccessKey {
                id: made.access_key_id.clone(),
                account: user.account.clone(),
                user: user.name.clone(),
                secret: Zeroizing::new(made.secret.expose().to_owned()),
                status: KeyStatus::Active,
                created: self.created(None, None),
            });
        }
        if user.access_keys.len() > MAX_KEYS {
            self.diagnostics.add(
                &entry.header.location,
                format!("user {:?} would have more than {MAX_KEYS} access keys", user.name),
            );
        }
        Ok(keys)
    }

    /// Returns a key of the file. A key that exists keeps its secret if the file gives none.
    fn key(&self, entry: &entry::Key, user: &User) -> Option<AccessKey> {
        let before = self.draft.get::<AccessKey>(entry.id.as_str());
        let location: &Location = &entry.location;
        if let Some(other) = before
            .filter(|key| key.account != user.account || !key.user.eq_ignore_ascii_case(&user.name))
        {
            let problem = format!(
                "access key {} belongs to the user {:?} in account {}",
                entry.id, other.user, other.account
            );
            self.diagnostics.add(location, problem);
            return None;
        }
        let Some(secret) = entry.secret.clone().or_else(|| before.map(|key| key.secret.clone()))
        else {
            let problem = format!(
                "the secret of {} is neither in the file nor in the store; add it, or remove the \
                 key",
                entry.id
            );
            self.diagnostics.add(location, problem);
            return None;
        };
        Some(AccessKey {
            id: entry.id.clone(),
            account: user.account.clone(),
            user: user.name.clone(),
            secret,
            status: entry.status.or(before.map(|key| key.status)).unwrap_or(KeyStatus::Active),
            created: self.created(entry.created, before.map(|key| key.created)),
        })
    }

    /// Attaches managed policies, and sets the boundary if one is given.
    fn attach(
        &self,
        partition: Partition,
        account: &AccountId,
        permissions: &Permissions,
        attached: &mut BTreeSet<String>,
        boundary: Option<&mut Option<String>>,
    ) {
        attached.extend(
            permissions
                .attached
                .iter()
                .filter_map(|wanted| self.managed(partition, account, wanted)),
        );
        if let (Some(kept), Some(wanted)) = (boundary, &permissions.boundary) {
            *kept = self.managed(partition, account, wanted);
        }
    }
}
