//! Applies entries of a file to a draft of the state: adds and changes records, deletes none.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use countersign_core::credentials::Credentials;
use countersign_core::name::{AccountId, ResourceId};
use countersign_core::region::Partition;

use super::entry::{self, Entries, EntryHeader};
use super::name::NameKind;
use super::summary::{Change, ChangeKind, CreatedAccessKey, ImportSummary};
use crate::model::{
    Account, AwsPolicy, Instance, InstanceProfile, OidcProvider, ServiceAccount, seconds,
};
use crate::random;
use crate::store::{Draft, Record, StoreError, account_key};
use countersign_config_file::{DiagnosticSink, Location};

mod identity;
mod policy;

/// Applies all entries. Continues after an invalid entry, so that all errors are reported.
pub(super) fn apply(
    entries: &Entries,
    draft: &mut Draft,
    diagnostics: &DiagnosticSink,
    now: SystemTime,
) -> Result<ImportSummary, StoreError> {
    let mut importer = Importer {
        draft,
        diagnostics,
        now,
        summary: ImportSummary::default(),
        ids: BTreeSet::new(),
    };
    // Each list comes after those that it refers to.
    entries.accounts.iter().try_for_each(|account| importer.account(account))?;
    entries.aws_policies.iter().try_for_each(|policy| importer.aws_policy(policy))?;
    entries.policies.iter().try_for_each(|policy| importer.policy(policy))?;
    entries.providers.iter().try_for_each(|provider| importer.provider(provider))?;
    entries.groups.iter().try_for_each(|group| importer.group(group))?;
    entries.roles.iter().try_for_each(|role| importer.role(role))?;
    entries.users.iter().try_for_each(|user| importer.user(user))?;
    entries.profiles.iter().try_for_each(|profile| importer.profile(profile))?;
    importer.instances(&entries.instances)?;
    entries.service_accounts.iter().try_for_each(|account| importer.service_account(account))?;
    Ok(importer.summary)
}

struct Importer<'a> {
    draft: &'a mut Draft,
    diagnostics: &'a DiagnosticSink,
    now: SystemTime,
    summary: ImportSummary,
    /// Unique ids given in the file.
    ids: BTreeSet<String>,
}

impl Importer<'_> {
    /// Inserts or replaces a record, unless it is unchanged. `name` returns its name for the
    /// summary.
    fn put_if_changed<R: Record + PartialEq>(
        &mut self,
        record: R,
        name: impl FnOnce(&R) -> String,
    ) -> Result<(), StoreError> {
        let done = match self.draft.get::<R>(&record.id()) {
            Some(before) if **before == record => {
                self.summary.unchanged += 1;
                return Ok(());
            }
            Some(_) => ChangeKind::Changed,
            None => ChangeKind::Created,
        };
        let name = name(&record);
        self.summary.changes.push(Change { action: done, kind: R::KIND, name });
        self.draft.put(record).map(drop)
    }

    /// Returns the partition of an account; reports a missing account.
    fn partition(&self, location: &Location, account: &AccountId) -> Option<Partition> {
        let found = self.draft.accounts.get(account.as_str()).map(|account| account.partition);
        if found.is_none() {
            self.diagnostics
                .add(location, format!("account {account} not found; add it to accounts"));
        }
        found
    }

    fn unique_id(
        &mut self,
        header: &EntryHeader,
        kind: NameKind,
        before: Option<&str>,
    ) -> Result<String, StoreError> {
        if let Some(id) = header.unique_id.as_ref().filter(|id| !self.ids.insert((*id).clone())) {
            self.diagnostics.add(&header.location, format!("id {id} is already used in this file"));
        }
        match header.unique_id.as_deref().or(before) {
            Some(id) => Ok(id.to_owned()),
            None => Ok(random::id(kind.prefix(), 17)?),
        }
    }

    fn created(&self, given: Option<u64>, before: Option<u64>) -> u64 {
        given.or(before).unwrap_or_else(|| seconds(self.now))
    }

    fn account(&mut self, entry: &entry::Account) -> Result<(), StoreError> {
        let before = self.draft.accounts.get(entry.id.as_str());
        let old = before.map(|before| before.partition);
        if let (Some(old), Some(new)) = (old, entry.partition)
            && old != new
        {
            self.diagnostics.add(
                &entry.location,
                format!("account {} is already in the partition {old}, not in {new}", entry.id),
            );
        }
        let before = before.map(|before| Account::clone(before));
        let (service, resource) = before
            .map(|before| (before.service_control, before.resource_control))
            .unwrap_or_default();
        let account = Account {
            id: entry.id.clone(),
            partition: old.or(entry.partition).unwrap_or(Partition::Aws),
            service_control: entry.service_control.clone().unwrap_or(service),
            resource_control: entry.resource_control.clone().unwrap_or(resource),
        };
        self.put_if_changed(account, |account| account.id.to_string())
    }

    fn aws_policy(&mut self, entry: &entry::AwsPolicy) -> Result<(), StoreError> {
        let entry::AwsPolicy { arn, document } = entry;
        self.put_if_changed(AwsPolicy { arn: arn.clone(), document: document.clone() }, |policy| {
            policy.arn.clone()
        })
    }

    fn provider(&mut self, entry: &entry::Provider) -> Result<(), StoreError> {
        let before = self
            .draft
            .get::<OidcProvider>(&account_key(entry.account.as_str(), &entry.host))
            .cloned();
        let Some(partition) = self.partition(&entry.location, &entry.account) else {
            return Ok(());
        };
        let before = before.as_deref();
        let provider = OidcProvider {
            account: entry.account.clone(),
            partition,
            host: entry.host.clone(),
            url: entry.url.clone(),
            client_ids: merged_list(
                before.map(|before| before.client_ids.as_slice()),
                entry.client_ids.as_deref(),
            ),
            thumbprints: merged_list(
                before.map(|before| before.thumbprints.as_slice()),
                entry.thumbprints.as_deref(),
            ),
            created: self.created(entry.created, before.map(|before| before.created)),
            tags: merged_map(before.map(|before| &before.tags), entry.tags.as_ref()),
        };
        self.put_if_changed(provider, OidcProvider::arn)
    }

    fn profile(&mut self, entry: &entry::Profile) -> Result<(), StoreError> {
        let header = &entry.header;
        let before = self
            .draft
            .get::<InstanceProfile>(&account_key(header.account.as_str(), &header.name))
            .cloned();
        let Some(partition) = self.partition(&header.location, &header.account) else {
            return Ok(());
        };
        let before = before.as_deref();
        let mut role = before.and_then(|before| before.role.clone());
        if let Some(wanted) = &entry.role {
            match self.draft.roles.get(&account_key(header.account.as_str(), &wanted.value)) {
                Some(found) => role = Some(found.name.clone()),
                None => self.diagnostics.add_missing(
                    &wanted.location,
                    &wanted.value,
                    format!("role {:?} not found in account {}", wanted.value, header.account),
                ),
            }
        }
        let profile = InstanceProfile {
            account: header.account.clone(),
            path: path(header, before.map(|before| before.path.as_str())),
            name: before.map_or_else(|| header.name.clone(), |before| before.name.clone()),
            unique_id: self.unique_id(
                header,
                NameKind::Profile,
                before.map(|before| before.unique_id.as_str()),
            )?,
            created: self.created(header.created, before.map(|before| before.created)),
            role,
            tags: merged_map(before.map(|before| &before.tags), header.tags.as_ref()),
        };
        self.put_if_changed(profile, |profile| {
            arn(partition, &profile.account, "instance-profile", &profile.path, &profile.name)
        })
    }

    fn instances(&mut self, entries: &[entry::Instance]) -> Result<(), StoreError> {
        let mut owners: std::collections::HashMap<ResourceId, String> = self
            .draft
            .instances
            .values()
            .map(|instance| (instance.resource_id.clone(), instance.name.to_string()))
            .collect();
        for entry in entries {
            if self.partition(&entry.location, &entry.account).is_none() {
                continue;
            }
            let before = self.draft.get::<Instance>(entry.name.as_str()).cloned();
            let before = before.as_deref();
            let resource_id = match entry
                .resource_id
                .clone()
                .or_else(|| before.map(|before| before.resource_id.clone()))
            {
                Some(id) => id,
                None => crate::store::Store::new_resource_id()?,
            };
            let owner = owners.entry(resource_id.clone()).or_insert_with(|| entry.name.to_string());
            // Members of a cluster share its resource id.
            if *owner != entry.name.as_str() && resource_id.as_str().starts_with("db-") {
                self.diagnostics.add(
                    &entry.location,
                    format!("resource id {resource_id} belongs to the instance {owner}"),
                );
            }
            let addresses = match (entry.addresses.is_empty(), before) {
                (true, Some(before)) => before.addresses.clone(),
                _ => entry.addresses.clone(),
            };
            let instance = Instance {
                name: entry.name.clone(),
                account: entry.account.clone(),
                resource_id,
                engine: entry.engine,
                region: entry.region.clone(),
                iam_enabled: entry.iam.or(before.map(|before| before.iam_enabled)).unwrap_or(true),
                addresses,
            };
            self.put_if_changed(instance, |instance| instance.name.to_string())?;
        }
        Ok(())
    }

    fn service_account(&mut self, entry: &entry::ServiceAccount) -> Result<(), StoreError> {
        let before =
            self.draft.get::<ServiceAccount>(&account_key(&entry.namespace, &entry.name)).cloned();
        let mut role = before.and_then(|before| before.pod_identity_role.clone());
        if let Some(wanted) = &entry.role {
            if !self.role_exists(&wanted.value) {
                self.diagnostics.add_missing(
                    &wanted.location,
                    &wanted.value,
                    format!("role {:?} not found; write the ARN of a role", wanted.value),
                );
            }
            role = Some(wanted.value.clone());
        }
        let account = ServiceAccount {
            namespace: entry.namespace.clone(),
            name: entry.name.clone(),
            pod_identity_role: role,
        };
        self.put_if_changed(account, |account| format!("{}/{}", account.namespace, account.name))
    }

    fn role_exists(&self, wanted: &str) -> bool {
        let mut parts = wanted.splitn(6, ':');
        let (account, resource) =
            (parts.nth(4).unwrap_or_default(), parts.next().unwrap_or_default());
        let name = resource.rsplit('/').next().unwrap_or_default();
        let found = self.draft.roles.get(&account_key(account, name));
        let partition = self.draft.accounts.get(account).map(|account| account.partition);
        found.zip(partition).is_some_and(|(role, partition)| {
            arn(partition, &role.account, "role", &role.path, &role.name) == wanted
        })
    }

    fn add_created_key(&mut self, user: String, credentials: &Credentials) {
        let secret = zeroize::Zeroizing::new(credentials.secret.expose().to_owned());
        self.summary.keys.push(CreatedAccessKey {
            user,
            id: credentials.access_key_id.clone(),
            secret,
        });
    }
}

/// Returns the given path, the previous path, or the default.
fn path(header: &EntryHeader, before: Option<&str>) -> String {
    header.path.as_deref().or(before).unwrap_or("/").to_owned()
}

fn arn(partition: Partition, account: &AccountId, kind: &str, path: &str, name: &str) -> String {
    format!("arn:{partition}:iam::{account}:{kind}{path}{name}")
}

/// Returns the union of both maps; `given` takes precedence.
fn merged_map<K: Ord + Clone, V: Clone>(
    before: Option<&std::collections::BTreeMap<K, V>>,
    given: Option<&std::collections::BTreeMap<K, V>>,
) -> std::collections::BTreeMap<K, V> {
    let mut all = before.cloned().unwrap_or_default();
    all.extend(given.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
    all
}

/// Returns `before` followed by the new elements of `given`.
fn merged_list(before: Option<&[String]>, given: Option<&[String]>) -> Vec<String> {
    let mut all = before.unwrap_or_default().to_vec();
    for value in given.unwrap_or_default() {
        if !all.contains(value) {
            all.push(value.clone());
        }
    }
    all
}

/// Clones a record of the state.
fn cloned<R: Clone>(record: Option<&Arc<R>>) -> Option<R> {
    record.map(|record| R::clone(record))
}
