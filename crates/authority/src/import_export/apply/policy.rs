//! Managed policies and references to them.

use std::collections::BTreeMap;

use countersign_core::arn::Arn;
use countersign_core::name::AccountId;
use countersign_core::region::Partition;

use super::{Importer, arn, cloned, merged_map, path};
use crate::aws_managed;
use crate::effective_policies;
use crate::import_export::entry::{self, Content, MAX_VERSIONS};
use crate::import_export::name::NameKind;
use crate::model::{ManagedPolicy, PolicyVersion};
use crate::store::{StoreError, account_key};
use countersign_config_file::Spanned;

impl Importer<'_> {
    pub(super) fn policy(&mut self, entry: &entry::Policy) -> Result<(), StoreError> {
        let header = &entry.header;
        let Some(partition) = self.partition(&header.location, &header.account) else {
            return Ok(());
        };
        let before = cloned(
            self.draft.get::<ManagedPolicy>(&account_key(header.account.as_str(), &header.name)),
        );
        let path = path(header, before.as_ref().map(|before| before.path.as_str()));
        if let Some(before) = before.as_ref().filter(|before| before.path != path) {
            // Attachments contain the ARN, which contains the path.
            let problem = format!(
                "policy {:?} has the path {:?}, which cannot be changed",
                before.name, before.path
            );
            self.diagnostics.add(&header.location, problem);
        }
        let created = self.created(header.created, before.as_ref().map(|before| before.created));
        let unique_id = self.unique_id(
            header,
            NameKind::Policy,
            before.as_ref().map(|before| before.unique_id.as_str()),
        )?;
        let (description, tags) = match &before {
            Some(before) => {
                (before.description.clone(), merged_map(Some(&before.tags), header.tags.as_ref()))
            }
            None => (String::new(), header.tags.clone().unwrap_or_default()),
        };
        let mut policy = ManagedPolicy {
            account: header.account.clone(),
            partition,
            path,
            name: before.as_ref().map_or_else(|| header.name.clone(), |before| before.name.clone()),
            unique_id,
            description: entry.description.clone().unwrap_or(description),
            created,
            versions: before.as_ref().map(|before| before.versions.clone()).unwrap_or_default(),
            default_version: before.as_ref().map_or(0, |before| before.default_version),
            next_version: before.as_ref().map_or(1, |before| before.next_version),
            tags,
        };
        let now = self.created(None, None);
        match &entry.content {
            Content::Document(document) => {
                set_document(&mut policy, document, header.created.unwrap_or(now))
            }
            Content::Versions { versions, default, next } => {
                set_versions(&mut policy, versions, *default, *next, now)
            }
        }
        self.put_if_changed(policy, |policy| {
            arn(policy.partition, &policy.account, "policy", &policy.path, &policy.name)
        })
    }

    /// Returns the ARN of an existing managed policy, given by ARN or name. Policies of the account
    /// take precedence over those of AWS.
    pub(super) fn managed(
        &self,
        partition: Partition,
        account: &AccountId,
        wanted: &Spanned<String>,
    ) -> Option<String> {
        let text = wanted.value.as_str();
        let found = if text.starts_with("arn:") {
            let parsed: Option<Arn> = text.parse().ok();
            let own = || {
                effective_policies::managed_policy(self.draft, text)
                    .is_some_and(|policy| policy.account == *account)
            };
            let fits = parsed.is_some_and(|parsed| parsed.partition() == partition.as_str());
            (fits && (self.is_aws(text) || own())).then(|| text.to_owned())
        } else {
            let own = self
                .draft
                .get::<ManagedPolicy>(&account_key(account.as_str(), text))
                .and_then(|policy| policy.arn().ok());
            let aws = || {
                Some(format!("arn:{partition}:iam::aws:policy/{text}"))
                    .filter(|arn| self.is_aws(arn))
            };
            own.map(|arn| arn.to_string()).or_else(aws)
        };
        if found.is_none() {
            let problem = format!(
                "managed policy {text:?} found neither in account {account} nor among those of \
                 AWS; add an AWS managed policy to aws_policies"
            );
            self.diagnostics.add_missing(&wanted.location, text, problem);
        }
        found
    }

    fn is_aws(&self, arn: &str) -> bool {
        self.draft.aws_policies.contains_key(arn) || aws_managed::document(arn).is_some()
    }
}

/// Makes `document` the default version, like CreatePolicyVersion. Deletes the oldest other version
/// if there are too many.
fn set_document(policy: &mut ManagedPolicy, document: &str, created: u64) {
    if policy.document() == Some(document) {
        return;
    }
    while policy.versions.len() >= MAX_VERSIONS {
        policy.versions.pop_first();
    }
    let number = policy.next_version;
    policy.versions.insert(number, PolicyVersion { document: document.to_owned(), created });
    (policy.default_version, policy.next_version) = (number, number.saturating_add(1));
}

fn set_versions(
    policy: &mut ManagedPolicy,
    given: &BTreeMap<u32, (String, Option<u64>)>,
    default: u32,
    next: Option<u32>,
    now: u64,
) {
    let version = |(number, (document, created)): (&u32, &(String, Option<u64>))| {
        let before = policy.versions.get(number).map(|version| version.created);
        let created = created.or(before).unwrap_or(now);
        (*number, PolicyVersion { document: document.clone(), created })
    };
    let versions: BTreeMap<_, _> = given.iter().map(version).collect();
    let least = versions.keys().next_back().map_or(1, |last| last.saturating_add(1));
    // Version numbers are never reused.
    policy.next_version = policy.next_version.max(least).max(next.unwrap_or(0));
    (policy.versions, policy.default_version) = (versions, default);
}
