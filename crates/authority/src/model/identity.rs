//! Users, groups, roles, and the instance profiles that hand roles to machines.

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::name::{AccessKeyId, AccountId, InvalidName};
use serde::{Deserialize, Serialize};

use super::Tags;

/// What kind of identity it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityKind {
    /// Has keys of its own.
    User,
    /// Is assumed, in sessions.
    Role,
}

impl IdentityKind {
    /// `user` or `role`, as in ARNs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Role => "role",
        }
    }
}

/// Names a user or role of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The account.
    pub account: AccountId,
    /// User or role.
    pub kind: IdentityKind,
    /// Its name: 1 to 64 of `[A-Za-z0-9_+=,.@-]`.
    pub name: String,
}

impl Identity {
    /// A user or role of that name, which must be of IAM's form.
    ///
    /// # Errors
    /// Where the name is not 1 to 64 of `[A-Za-z0-9_+=,.@-]`.
    pub fn new(account: AccountId, kind: IdentityKind, name: &str) -> Result<Self, InvalidName> {
        // The ARN that the name becomes part of checks nothing of it.
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
        if (1..=64).contains(&name.len()) && name.bytes().all(word) {
            return Ok(Self { account, kind, name: name.to_owned() });
        }
        Err(InvalidName::new(
            "the IAM name",
            format!("{name:?} is not 1 to 64 letters, digits or characters of _+=,.@-"),
        ))
    }

    /// In words, for errors.
    #[must_use]
    pub fn described(&self) -> String {
        format!("{} {:?} in account {}", self.kind.as_str(), self.name, self.account)
    }
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The account that it belongs to.
    pub account: AccountId,
    /// Begins and ends with a slash.
    pub path: String,
    /// Its name.
    pub name: String,
    /// `AIDA…`
    pub unique_id: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// Its access keys, oldest first: two at the most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access_keys: Vec<AccessKeyId>,
    /// The names of the groups that it is in.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// Policies of its own, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inline: BTreeMap<String, String>,
    /// The ARNs of the managed policies that it has.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub attached: BTreeSet<String>,
    /// The ARN of the managed policy that says what the others can allow at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<String>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// The account that it belongs to.
    pub account: AccountId,
    /// Begins and ends with a slash.
    pub path: String,
    /// Its name.
    pub name: String,
    /// `AROA…`
    pub unique_id: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// Who may assume it: a policy of this resource. Without one, nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<String>,
    /// The longest session, in seconds: 3,600 to 43,200.
    pub max_session: u32,
    /// Policies of its own, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inline: BTreeMap<String, String>,
    /// The ARNs of the managed policies that it has.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub attached: BTreeSet<String>,
    /// As a user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<String>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// A group of users, who have its policies beside their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The account that it belongs to.
    pub account: AccountId,
    /// Begins and ends with a slash.
    pub path: String,
    /// Its name.
    pub name: String,
    /// `AGPA…`
    pub unique_id: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// Policies of its own, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inline: BTreeMap<String, String>,
    /// The ARNs of the managed policies that it has.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub attached: BTreeSet<String>,
}

/// What gives a machine a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceProfile {
    /// The account that it belongs to.
    pub account: AccountId,
    /// Begins and ends with a slash.
    pub path: String,
    /// Its name.
    pub name: String,
    /// `AIPA…`
    pub unique_id: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The name of its role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}
