//! Managed policies, and what refers to them.

use std::collections::BTreeMap;

use countersign_core::arn::Arn;
use countersign_core::name::AccountId;
use countersign_core::region::Partition;

use super::{Applying, arn, owned, path, with};
use crate::aws_managed;
use crate::effective_policies;
use crate::import_export::entry::{self, Content};
use crate::import_export::name::Named;
use crate::import_export::native_format::MAX_VERSIONS;
use crate::model::{ManagedPolicy, PolicyVersion};
use crate::store::{StoreError, account_key};
use countersign_config_file::Spanned;

impl Applying<'_> {
    pub(super) fn policy(&mut self, entry: &entry::Policy) -> Result<(), StoreError> {
        let head = &entry.head;
        let Some(partition) = self.partition(&head.place, &head.account) else {
            return Ok(());
        };
        let before =
            owned(self.draft.get::<ManagedPolicy>(&account_key(head.account.as_str(), &head.name)));
        let path = path(head, before.as_ref().map(|before| before.path.as_str()));
        if let Some(before) = before.as_ref().filter(|before| before.path != path) {
            // Whatever it is attached to names it by an ARN with its path.
            let problem = format!(
                "the policy {:?} has the path {:?}, which can't be changed",
                before.name, before.path
            );
            self.report.add(&head.place, problem);
        }
        let created = self.created(head.created, before.as_ref().map(|before| before.created));
        let unique_id = self.unique_id(
            head,
            Named::Policy,
            before.as_ref().map(|before| before.unique_id.as_str()),
        )?;
        let (description, tags) = match &before {
            Some(before) => {
                (before.description.clone(), with(Some(&before.tags), head.tags.as_ref()))
            }
            None => (String::new(), head.tags.clone().unwrap_or_default()),
        };
        let mut policy = ManagedPolicy {
            account: head.account.clone(),
            partition,
            path,
            name: before.as_ref().map_or_else(|| head.name.clone(), |before| before.name.clone()),
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
                set_document(&mut policy, document, head.created.unwrap_or(now))
            }
            Content::Versions { versions, default, next } => {
                set_versions(&mut policy, versions, *default, *next, now)
            }
        }
        self.keep(policy, |policy| {
            arn(policy.partition, &policy.account, "policy", &policy.path, &policy.name)
        })
    }

    /// The ARN of a managed policy that is there, by its ARN or its name: the account's own comes before AWS's.
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
                "there is no managed policy {text:?} in account {account}, nor of AWS's; one of AWS's can be given in aws_policies"
            );
            self.report.missing(&wanted.location, text, problem);
        }
        found
    }

    fn is_aws(&self, arn: &str) -> bool {
        self.draft.aws_policies.contains_key(arn) || aws_managed::document(arn).is_some()
    }
}

/// Makes `document` the version that counts, as CreatePolicyVersion does; the oldest other one goes where there are too many.
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
    // Numbers are not used twice.
    policy.next_version = policy.next_version.max(least).max(next.unwrap_or(0));
    (policy.versions, policy.default_version) = (versions, default);
}
