//! What a file says of each record. A field that is not there says nothing: the store keeps what it has, or takes the usual.

use std::collections::BTreeMap;

use countersign_core::name::{AccessKeyId, AccountId, Engine, InstanceId, ResourceId};
use countersign_core::region::{Partition, Region};
use countersign_core::token::KeyStatus;
use zeroize::Zeroizing;

use crate::model::{Address, Level, Tags};
use countersign_config_file::{Location, Spanned};

/// All that a file says.
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
    pub(super) place: Location,
    pub(super) id: AccountId,
    pub(super) partition: Option<Partition>,
    pub(super) service_control: Option<Vec<Level>>,
    pub(super) resource_control: Option<Vec<Level>>,
}

/// What everything of IAM's has.
pub(super) struct Head {
    pub(super) place: Location,
    pub(super) account: AccountId,
    pub(super) name: String,
    pub(super) path: Option<String>,
    pub(super) unique_id: Option<String>,
    pub(super) created: Option<u64>,
    pub(super) tags: Option<Tags>,
}

/// What users, groups and roles have.
#[derive(Default)]
pub(super) struct Rights {
    pub(super) inline: BTreeMap<String, String>,
    /// Managed policies, by ARN or by name.
    pub(super) attached: Vec<Spanned<String>>,
    pub(super) boundary: Option<Spanned<String>>,
}

pub(super) struct AwsPolicy {
    pub(super) arn: String,
    pub(super) document: String,
}

pub(super) struct Policy {
    pub(super) head: Head,
    pub(super) description: Option<String>,
    pub(super) content: Content,
}

/// What a managed policy says.
pub(super) enum Content {
    /// One document: it becomes the version that counts.
    Document(String),
    /// Every version, by number, with its instant; the one that counts, and the number of the next.
    Versions { versions: BTreeMap<u32, (String, Option<u64>)>, default: u32, next: Option<u32> },
}

pub(super) struct Provider {
    pub(super) place: Location,
    pub(super) account: AccountId,
    pub(super) url: String,
    pub(super) host: String,
    pub(super) client_ids: Option<Vec<String>>,
    pub(super) thumbprints: Option<Vec<String>>,
    pub(super) created: Option<u64>,
    pub(super) tags: Option<Tags>,
}

pub(super) struct Group {
    pub(super) head: Head,
    pub(super) rights: Rights,
}

pub(super) struct Role {
    pub(super) head: Head,
    pub(super) rights: Rights,
    pub(super) description: Option<String>,
    pub(super) trust: Option<String>,
    pub(super) max_session: Option<u32>,
}

pub(super) struct User {
    pub(super) head: Head,
    pub(super) rights: Rights,
    pub(super) groups: Vec<Spanned<String>>,
    pub(super) keys: Vec<Key>,
    /// A key is to be made where there is none.
    pub(super) wants_key: bool,
}

pub(super) struct Key {
    pub(super) place: Location,
    pub(super) id: AccessKeyId,
    pub(super) secret: Option<Zeroizing<String>>,
    pub(super) status: Option<KeyStatus>,
    pub(super) created: Option<u64>,
}

pub(super) struct Profile {
    pub(super) head: Head,
    pub(super) role: Option<Spanned<String>>,
}

pub(super) struct Instance {
    pub(super) place: Location,
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
    /// A role's ARN.
    pub(super) role: Option<Spanned<String>>,
}
