//! Managed policies and their versions.

use std::collections::BTreeMap;

use countersign_core::arn::Arn;
use countersign_core::name::{AccountId, InvalidName};
use countersign_core::region::Partition;
use serde::{Deserialize, Serialize};

/// Tags by key, in the case that they were given in.
pub type Tags = BTreeMap<String, String>;

/// A policy that can be attached to many identities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedPolicy {
    /// The account that it belongs to.
    pub account: AccountId,
    /// The partition of its ARN.
    pub partition: Partition,
    /// Begins and ends with a slash.
    pub path: String,
    /// Its name.
    pub name: String,
    /// `ANPA…`
    pub unique_id: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// Its versions by number, `v1` being 1. There are five at the most.
    pub versions: BTreeMap<u32, PolicyVersion>,
    /// The version that counts.
    pub default_version: u32,
    /// The number that the next version gets: numbers are not used twice.
    pub next_version: u32,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// One of AWS's own managed policies, in the text that somebody's account has it: for those that the authority does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsPolicy {
    /// `arn:PARTITION:iam::aws:policy/NAME`
    pub arn: String,
    /// The document.
    pub document: String,
}

/// One version of a managed policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// The document as it was given.
    pub document: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
}

impl ManagedPolicy {
    /// `arn:PARTITION:iam::ACCOUNT:policy/PATH/NAME`
    ///
    /// # Errors
    /// Where path or name are of no form that an ARN can have.
    pub fn arn(&self) -> Result<Arn, InvalidName> {
        format!("arn:{}:iam::{}:policy{}{}", self.partition, self.account, self.path, self.name)
            .parse()
    }

    /// The document that counts; none where the default version is not there.
    #[must_use]
    pub fn document(&self) -> Option<&str> {
        self.versions.get(&self.default_version).map(|version| version.document.as_str())
    }
}
