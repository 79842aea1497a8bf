//! Entries of a file. A missing field keeps the value in the store, or gets the default.

use std::collections::BTreeMap;

use countersign_core::name::{AccessKeyId, AccountId, Engine, InstanceId, ResourceId};
use countersign_core::region::{Partition, Region};
use countersign_core::token::KeyStatus;
use zeroize::Zeroizing;

use crate::model::{Address, Level, Tags};
use countersign_config_file::{Location, Spanned};

/// Maximum number of versions of a managed policy. Source: "IAM and AWS STS quotas".
pub(super) const MAX_VERSIONS: usize = 5;

/// All entries of a file.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) accounts: Vec<Account>,
    pub(super) aws_policies: Vec<AwsPolicy>,
    pub(super) policies: Vec<Policy>,
    pub(super) providers: Vec<Provider>,
    pub(super) groups: Vec<Group>,
    pub(super) roles: Vec<Role>,
    pub(super) users: Vec<User>,
    pub(super) profiles: Vec<Profile>,
    pub(super) instances: Vec<Instance>,
    pub(super) service_accounts: Vec<ServiceAccount>,
}

pub(super) struct Account {
    pub(super) location: Location,
    pub(super) id: AccountId,
    pub(super) partition: Option<Partition>,
    pub(super) service_control: Option<Vec<Level>>,
    pub(super) resource_control: Option<Vec<Level>>,
}

/// Fields common to IAM's entities.
pub(super) struct EntryHeader {
    pub(super) location: Location,
    pub(super) account: AccountId,
    pub(super) name: String,
    pub(super) path: Option<String>,
    pub(super) unique_id: Option<String>,
    pub(super) created: Option<u64>,
    pub(super) tags: Option<Tags>,
}

/// Policies of a user, group or role.
#[derive(Default)]
pub(super) struct Permissions {
    pub(super) inline: BTreeMap<String, String>,
    /// Managed policies, by ARN or name.
    pub(super) attached: Vec<Spanned<String>>,
    pub(super) boundary: Option<Spanned<String>>,
}

pub(super) struct AwsPolicy {
    pub(super) arn: String,
    pub(super) document: String,
}

pub(super) struct Policy {
    pub(super) header: EntryHeader,
    pub(super) description: Option<String>,
    pub(super) content: Content,
}

/// Documents of a managed policy.
pub(super) enum Content {
    /// One document, which becomes the default version.
    Document(String),
    /// All versions by number with their times of creation; the default version, and the number of
    /// the next version.
    Versions { versions: BTreeMap<u32, (String, Option<u64>)>, default: u32, next: Option<u32> },
}

pub(super) struct Provider {
    pub(super) location: Location,
    pub(super) account: AccountId,
    pub(super) url: String,
    pub(super) host: String,
    pub(super) client_ids: Option<Vec<String>>,
    pub(super) thumbprints: Option<Vec<String>>,
    pub(super) created: Option<u64>,
    pub(super) tags: Option<Tags>,
}

pub(super) struct Group {
    pub(super) header: EntryHeader,
    pub(super) permissions: Permissions,
}

pub(super) struct Role {
    pub(super) header: EntryHeader,
    pub(super) permissions: Permissions,
    pub(super) description: Option<String>,
    pub(super) trust: Option<String>,
    pub(super) max_session: Option<u32>,
}

pub(super) struct User {
    pub(super) header: EntryHeader,
    pub(super) permissions: Permissions,
    pub(super) groups: Vec<Spanned<String>>,
    pub(super) keys: Vec<Key>,
    /// Create a key if the user has none.
    pub(super) wants_key: bool,
}

pub(super) struct Key {
    pub(super) location: Location,
    pub(super) id: AccessKeyId,
    pub(super) secret: Option<Zeroizing<String>>,
    pub(super) status: Option<KeyStatus>,
    pub(super) created: Option<u64>,
}

pub(super) struct Profile {
    pub(super) header: EntryHeader,
    pub(super) role: Option<Spanned<String>>,
}

pub(super) struct Instance {
    pub(super) location: Location,
    pub(super) account: AccountId,
    pub(super) name: InstanceId,
    pub(super) engine: Engine,
    pub(super) region: Region,
    pub(super) resource_id: Option<ResourceId>,
    pub(super) iam: Option<bool>,
    pub(super) addresses: Vec<Address>,
}

pub(super) struct ServiceAccount {
    pub(super) namespace: String,
    pub(super) name: String,
    /// ARN of a role.
    pub(super) role: Option<Spanned<String>>,
}
