//! Users, groups and roles.

use std::collections::BTreeSet;

use countersign_core::name::AccountId;
use countersign_core::region::Partition;
use countersign_core::token::KeyStatus;
use zeroize::Zeroizing;

use super::{Applying, arn, owned, path, with};
use crate::import_export::entry::{self, Rights};
use crate::import_export::name::Named;
use crate::model::{AccessKey, Group, Role, User};
use crate::random;
use crate::store::{DEFAULT_SESSION_SECONDS, StoreError, account_key};
use countersign_config_file::Location;

/// The most access keys that a user has at once. Source: "IAM and AWS STS quotas".
const MAX_KEYS: usize = 2;

impl Applying<'_> {
    pub(super) fn group(&mut self, entry: &entry::Group) -> Result<(), StoreError> {
        let head = &entry.head;
        let Some(partition) = self.partition(&head.place, &head.account) else {
            return Ok(());
        };
        let before =
            owned(self.draft.get::<Group>(&account_key(head.account.as_str(), &head.name)));
        let mut group = Group {
            account: head.account.clone(),
            path: path(head, before.as_ref().map(|before| before.path.as_str())),
            name: head.name.clone(),
            unique_id: self.unique_id(
                head,
                Named::Group,
                before.as_ref().map(|before| before.unique_id.as_str()),
            )?,
            created: self.created(head.created, before.as_ref().map(|before| before.created)),
            inline: with(before.as_ref().map(|before| &before.inline), Some(&entry.rights.inline)),
            attached: BTreeSet::new(),
        };
        if let Some(before) = before {
            (group.name, group.attached) = (before.name, before.attached);
        }
        self.attach(partition, &head.account, &entry.rights, &mut group.attached, None);
        self.keep(group, |group| arn(partition, &group.account, "group", &group.path, &group.name))
    }

    pub(super) fn role(&mut self, entry: &entry::Role) -> Result<(), StoreError> {
        let head = &entry.head;
        let Some(partition) = self.partition(&head.place, &head.account) else {
            return Ok(());
        };
        let before = owned(self.draft.get::<Role>(&account_key(head.account.as_str(), &head.name)));
        let mut role = Role {
            account: head.account.clone(),
            path: path(head, before.as_ref().map(|before| before.path.as_str())),
            name: head.name.clone(),
            unique_id: self.unique_id(
                head,
                Named::Role,
                before.as_ref().map(|before| before.unique_id.as_str()),
            )?,
            description: String::new(),
            created: self.created(head.created, before.as_ref().map(|before| before.created)),
            trust: None,
            max_session: DEFAULT_SESSION_SECONDS,
            inline: with(before.as_ref().map(|before| &before.inline), Some(&entry.rights.inline)),
            attached: BTreeSet::new(),
            boundary: None,
            tags: with(before.as_ref().map(|before| &before.tags), head.tags.as_ref()),
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
            &head.account,
            &entry.rights,
            &mut role.attached,
            Some(&mut role.boundary),
        );
        self.keep(role, |role| arn(partition, &role.account, "role", &role.path, &role.name))
    }

    pub(super) fn user(&mut self, entry: &entry::User) -> Result<(), StoreError> {
        let head = &entry.head;
        let Some(partition) = self.partition(&head.place, &head.account) else {
            return Ok(());
        };
        let before = owned(self.draft.get::<User>(&account_key(head.account.as_str(), &head.name)));
        let mut user = User {
            account: head.account.clone(),
            path: path(head, before.as_ref().map(|before| before.path.as_str())),
            name: head.name.clone(),
            unique_id: self.unique_id(
                head,
                Named::User,
                before.as_ref().map(|before| before.unique_id.as_str()),
            )?,
            created: self.created(head.created, before.as_ref().map(|before| before.created)),
            access_keys: Vec::new(),
            groups: BTreeSet::new(),
            inline: with(before.as_ref().map(|before| &before.inline), Some(&entry.rights.inline)),
            attached: BTreeSet::new(),
            boundary: None,
            tags: with(before.as_ref().map(|before| &before.tags), head.tags.as_ref()),
        };
        if let Some(before) = before {
            (user.name, user.access_keys, user.groups) =
                (before.name, before.access_keys, before.groups);
            (user.attached, user.boundary) = (before.attached, before.boundary);
        }
        self.attach(
            partition,
            &head.account,
            &entry.rights,
            &mut user.attached,
            Some(&mut user.boundary),
        );
        for wanted in &entry.groups {
            match self.draft.get::<Group>(&account_key(head.account.as_str(), &wanted.value)) {
                Some(group) => user.groups.extend([group.name.clone()]),
                None => self.report.missing(
                    &wanted.location,
                    &wanted.value,
                    format!("there is no group {:?} in account {}", wanted.value, head.account),
                ),
            }
        }
        let keys = self.keys(entry, &mut user, partition)?;
        for key in keys {
            self.keep(key, |key| key.id.to_string())?;
        }
        self.keep(user, |user| arn(partition, &user.account, "user", &user.path, &user.name))
    }

    /// The keys that the file is about, each of which the user gets: those that it gives, or one that is made.
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
            self.made(arn(partition, &user.account, "user", &user.path, &user.name), &made);
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
            self.report.add(
                &entry.head.place,
                format!("the user {:?} would have more than {MAX_KEYS} access keys", user.name),
            );
        }
        Ok(keys)
    }

    /// A key as it is to be: one that the store has keeps its secret where the file gives none.
    fn key(&self, entry: &entry::Key, user: &User) -> Option<AccessKey> {
        let before = self.draft.get::<AccessKey>(entry.id.as_str());
        let place: &Location = &entry.place;
        if let Some(other) = before
            .filter(|key| key.account != user.account || !key.user.eq_ignore_ascii_case(&user.name))
        {
            let problem = format!(
                "the access key {} is that of the user {:?} in account {}",
                entry.id, other.user, other.account
            );
            self.report.add(place, problem);
            return None;
        }
        let Some(secret) = entry.secret.clone().or_else(|| before.map(|key| key.secret.clone()))
        else {
            let problem = format!(
                "the secret of {} is neither here nor in the store: give it, or leave the key out",
                entry.id
            );
            self.report.add(place, problem);
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

    /// Adds managed policies to those that are attached, and sets the boundary where one is given.
    fn attach(
        &self,
        partition: Partition,
        account: &AccountId,
        rights: &Rights,
        attached: &mut BTreeSet<String>,
        boundary: Option<&mut Option<String>>,
    ) {
        attached.extend(
            rights.attached.iter().filter_map(|wanted| self.managed(partition, account, wanted)),
        );
        if let (Some(kept), Some(wanted)) = (boundary, &rights.boundary) {
            *kept = self.managed(partition, account, wanted);
        }
    }
}
