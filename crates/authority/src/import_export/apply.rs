//! What a file says, made true in a draft of the state: nothing is taken away, and what is so already is left alone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use countersign_core::credentials::Credentials;
use countersign_core::name::{AccountId, ResourceId};
use countersign_core::region::Partition;

use super::entry::{self, Entries, Head};
use super::name::Named;
use super::outcome::{Change, ChangeKind, CreatedAccessKey, ImportSummary};
use crate::model::{
    Account, AwsPolicy, Instance, InstanceProfile, OidcProvider, ServiceAccount, seconds,
};
use crate::random;
use crate::store::{Draft, Record, StoreError, account_key};
use countersign_config_file::{DiagnosticSink, Location};

mod identity;
mod policy;

/// Applies all entries. What is wrong with one is reported; the others are looked at all the same.
pub(super) fn apply(
    entries: &Entries,
    draft: &mut Draft,
    report: &DiagnosticSink,
    now: SystemTime,
) -> Result<ImportSummary, StoreError> {
    let mut applying =
        Applying { draft, report, now, outcome: ImportSummary::default(), ids: BTreeSet::new() };
    // In an order in which everything that is referred to is there before what refers to it.
    entries.accounts.iter().try_for_each(|account| applying.account(account))?;
    entries.aws_policies.iter().try_for_each(|policy| applying.aws_policy(policy))?;
    entries.policies.iter().try_for_each(|policy| applying.policy(policy))?;
    entries.providers.iter().try_for_each(|provider| applying.provider(provider))?;
    entries.groups.iter().try_for_each(|group| applying.group(group))?;
    entries.roles.iter().try_for_each(|role| applying.role(role))?;
    entries.users.iter().try_for_each(|user| applying.user(user))?;
    entries.profiles.iter().try_for_each(|profile| applying.profile(profile))?;
    applying.instances(&entries.instances)?;
    entries.service_accounts.iter().try_for_each(|account| applying.service_account(account))?;
    Ok(applying.outcome)
}

struct Applying<'a> {
    draft: &'a mut Draft,
    report: &'a DiagnosticSink,
    now: SystemTime,
    outcome: ImportSummary,
    /// The unique ids that the file gives.
    ids: BTreeSet<String>,
}

impl Applying<'_> {
    /// Keeps a record that is new or another than before. `what` names it to people.
    fn keep<R: Record + PartialEq>(
        &mut self,
        record: R,
        what: impl FnOnce(&R) -> String,
    ) -> Result<(), StoreError> {
        let done = match self.draft.get::<R>(&record.id()) {
            Some(before) if **before == record => {
                self.outcome.unchanged += 1;
                return Ok(());
            }
            Some(_) => ChangeKind::Changed,
            None => ChangeKind::Created,
        };
        let what = what(&record);
        self.outcome.changes.push(Change { done, kind: R::KIND, what });
        self.draft.put(record).map(drop)
    }

    /// The partition of an account, which has to be there.
    fn partition(&self, place: &Location, account: &AccountId) -> Option<Partition> {
        let found = self.draft.accounts.get(account.as_str()).map(|account| account.partition);
        if found.is_none() {
            self.report.add(place, format!("there is no account {account}: name it in accounts"));
        }
        found
    }

    fn unique_id(
        &mut self,
        head: &Head,
        kind: Named,
        before: Option<&str>,
    ) -> Result<String, StoreError> {
        if let Some(id) = head.unique_id.as_ref().filter(|id| !self.ids.insert((*id).clone())) {
            self.report.add(&head.place, format!("the id {id} is that of another in this file"));
        }
        match head.unique_id.as_deref().or(before) {
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
            self.report.add(
                &entry.place,
                format!("account {} is in the partition {old} already, not in {new}", entry.id),
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
        self.keep(account, |account| account.id.to_string())
    }

    fn aws_policy(&mut self, entry: &entry::AwsPolicy) -> Result<(), StoreError> {
        let entry::AwsPolicy { arn, document } = entry;
        self.keep(AwsPolicy { arn: arn.clone(), document: document.clone() }, |policy| {
            policy.arn.clone()
        })
    }

    fn provider(&mut self, entry: &entry::Provider) -> Result<(), StoreError> {
        let before = self
            .draft
            .get::<OidcProvider>(&account_key(entry.account.as_str(), &entry.host))
            .cloned();
        let Some(partition) = self.partition(&entry.place, &entry.account) else {
            return Ok(());
        };
        let before = before.as_deref();
        let provider = OidcProvider {
            account: entry.account.clone(),
            partition,
            host: entry.host.clone(),
            url: entry.url.clone(),
            client_ids: merged(
                before.map(|before| before.client_ids.as_slice()),
                entry.client_ids.as_deref(),
            ),
            thumbprints: merged(
                before.map(|before| before.thumbprints.as_slice()),
                entry.thumbprints.as_deref(),
            ),
            created: self.created(entry.created, before.map(|before| before.created)),
            tags: with(before.map(|before| &before.tags), entry.tags.as_ref()),
        };
        self.keep(provider, OidcProvider::arn)
    }

    fn profile(&mut self, entry: &entry::Profile) -> Result<(), StoreError> {
        let head = &entry.head;
        let before = self
            .draft
            .get::<InstanceProfile>(&account_key(head.account.as_str(), &head.name))
            .cloned();
        let Some(partition) = self.partition(&head.place, &head.account) else {
            return Ok(());
        };
        let before = before.as_deref();
        let mut role = before.and_then(|before| before.role.clone());
        if let Some(wanted) = &entry.role {
            match self.draft.roles.get(&account_key(head.account.as_str(), &wanted.value)) {
                Some(found) => role = Some(found.name.clone()),
                None => self.report.missing(
                    &wanted.location,
                    &wanted.value,
                    format!("there is no role {:?} in account {}", wanted.value, head.account),
                ),
            }
        }
        let profile = InstanceProfile {
            account: head.account.clone(),
            path: path(head, before.map(|before| before.path.as_str())),
            name: before.map_or_else(|| head.name.clone(), |before| before.name.clone()),
            unique_id: self.unique_id(
                head,
                Named::Profile,
                before.map(|before| before.unique_id.as_str()),
            )?,
            created: self.created(head.created, before.map(|before| before.created)),
            role,
            tags: with(before.map(|before| &before.tags), head.tags.as_ref()),
        };
        self.keep(profile, |profile| {
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
            if self.partition(&entry.place, &entry.account).is_none() {
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
            // The members of a cluster share its id.
            if *owner != entry.name.as_str() && resource_id.as_str().starts_with("db-") {
                self.report.add(
                    &entry.place,
                    format!("the resource id {resource_id} is that of the instance {owner}"),
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
            self.keep(instance, |instance| instance.name.to_string())?;
        }
        Ok(())
    }

    fn service_account(&mut self, entry: &entry::ServiceAccount) -> Result<(), StoreError> {
        let before =
            self.draft.get::<ServiceAccount>(&account_key(&entry.namespace, &entry.name)).cloned();
        let mut role = before.and_then(|before| before.pod_identity_role.clone());
        if let Some(wanted) = &entry.role {
            if !self.role_exists(&wanted.value) {
                self.report.missing(
                    &wanted.location,
                    &wanted.value,
                    format!("there is no role {:?}; the ARN of one is expected", wanted.value),
                );
            }
            role = Some(wanted.value.clone());
        }
        let account = ServiceAccount {
            namespace: entry.namespace.clone(),
            name: entry.name.clone(),
            pod_identity_role: role,
        };
        self.keep(account, |account| format!("{}/{}", account.namespace, account.name))
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

    fn made(&mut self, user: String, credentials: &Credentials) {
        let secret = zeroize::Zeroizing::new(credentials.secret.expose().to_owned());
        self.outcome.keys.push(CreatedAccessKey {
            user,
            id: credentials.access_key_id.clone(),
            secret,
        });
    }
}

/// The path that is given, or was there, or the usual one.
fn path(head: &Head, before: Option<&str>) -> String {
    head.path.as_deref().or(before).unwrap_or("/").to_owned()
}

fn arn(partition: Partition, account: &AccountId, kind: &str, path: &str, name: &str) -> String {
    format!("arn:{partition}:iam::{account}:{kind}{path}{name}")
}

/// The members of both; the file's count where both have one.
fn with<K: Ord + Clone, V: Clone>(
    before: Option<&std::collections::BTreeMap<K, V>>,
    given: Option<&std::collections::BTreeMap<K, V>>,
) -> std::collections::BTreeMap<K, V> {
    let mut all = before.cloned().unwrap_or_default();
    all.extend(given.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())));
    all
}

/// What was there, then what is new of what is given.
fn merged(before: Option<&[String]>, given: Option<&[String]>) -> Vec<String> {
    let mut all = before.unwrap_or_default().to_vec();
    for value in given.unwrap_or_default() {
        if !all.contains(value) {
            all.push(value.clone());
        }
    }
    all
}

/// A record as it was.
fn owned<R: Clone>(record: Option<&Arc<R>>) -> Option<R> {
    record.map(|record| R::clone(record))
}
