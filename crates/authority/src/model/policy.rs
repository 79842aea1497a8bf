//! Managed policies and their versions.

use std::collections::BTreeMap;

use countersign_core::arn::Arn;
use countersign_core::name::{AccountId, InvalidName};
use countersign_core::region::Partition;
use serde::{Deserialize, Serialize};

/// Tag values by tag key. Keys keep the case in which they were given.
pub type Tags = BTreeMap<String, String>;

/// Managed policy of an account, which can be attached to several identities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedPolicy {
    /// Owning account, 12 digits.
    pub account: AccountId,
    /// Partition of the policy's ARN.
    pub partition: Partition,
    /// Path; begins and ends with a slash.
    pub path: String,
    /// Policy name.
    pub name: String,
    /// Unique id, `ANPA…`.
    pub unique_id: String,
    /// Free text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Time of creation, in seconds since 1970.
    pub created: u64,
    /// Versions by number (`v1` is 1); at most five.
    pub versions: BTreeMap<u32, PolicyVersion>,
    /// Number of the version in effect.
    pub default_version: u32,
    /// Number of the next version. Numbers are never reused.
    pub next_version: u32,
    /// Tags by key.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// Managed policy of AWS with the text found in an imported account. It takes the place of the text
/// in [`crate::aws_managed`], or adds a policy that is not listed there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsPolicy {
    /// ARN, `arn:PARTITION:iam::aws:policy/NAME`.
    pub arn: String,
    /// Policy document, JSON.
    pub document: String,
}

/// One version of a managed policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVersion {
    /// Policy document, JSON, as it was given.
    pub document: String,
    /// Time of creation, in seconds since 1970.
    pub created: u64,
}

impl ManagedPolicy {
    /// Returns `arn:PARTITION:iam::ACCOUNT:policy/PATH/NAME`.
    ///
    /// # Errors
    /// [`InvalidName`] if path or name contain characters that an ARN cannot have.
    pub fn arn(&self) -> Result<Arn, InvalidName> {
        format!("arn:{}:iam::{}:policy{}{}", self.partition, self.account, self.path, self.name)
            .parse()
    }

    /// Returns the document in effect; `None` if the default version does not exist.
    #[must_use]
    pub fn document(&self) -> Option<&str> {
        self.versions.get(&self.default_version).map(|version| version.document.as_str())
    }
}
