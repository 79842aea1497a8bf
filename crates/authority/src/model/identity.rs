//! Accounts, users, groups, roles and instance profiles.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use countersign_core::arn::Arn;
use countersign_core::name::{AccessKeyId, AccountId, InvalidName};
use countersign_core::region::Partition;
use serde::{Deserialize, Serialize};

use super::Tags;

/// Documents of the control policies at one level of an organization, by policy name.
pub type Level = BTreeMap<String, String>;

/// AWS account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Account id, 12 digits.
    pub id: AccountId,
    /// Partition of all ARNs of the account.
    pub partition: Partition,
    /// Service control policies, which limit the account's principals: one entry for each of root,
    /// organizational units and account. Index 0 is the root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_control: Vec<Level>,
    /// Resource control policies, which limit the access to the account's resources; same order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_control: Vec<Level>,
}

/// Kind of an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityKind {
    /// User with access keys.
    User,
    /// Role, which is assumed in sessions.
    Role,
}

impl IdentityKind {
    /// Returns `user` or `role`, as in ARNs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Role => "role",
        }
    }
}

/// Reference to a user or role of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Account id, 12 digits.
    pub account: AccountId,
    /// User or role.
    pub kind: IdentityKind,
    /// Name: 1 to 64 of `[A-Za-z0-9_+=,.@-]`.
    pub name: String,
}

impl Identity {
    /// Makes a reference after checking the form of `name`.
    ///
    /// # Errors
    /// [`InvalidName`] if `name` is not 1 to 64 of `[A-Za-z0-9_+=,.@-]`.
    pub fn new(account: AccountId, kind: IdentityKind, name: &str) -> Result<Self, InvalidName> {
        // The ARN built from the name does not check it.
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
        if (1..=64).contains(&name.len()) && name.bytes().all(word) {
            return Ok(Self { account, kind, name: name.to_owned() });
        }
        Err(InvalidName::new(
            "the IAM name",
            format!("{name:?} is not 1 to 64 letters, digits or characters of _+=,.@-"),
        ))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} in account {}", self.kind.as_str(), self.name, self.account)
    }
}

/// User record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Owning account, 12 digits.
    pub account: AccountId,
    /// Path; begins and ends with a slash.
    pub path: String,
    /// User name.
    pub name: String,
    /// Unique id, `AIDA…`.
    pub unique_id: String,
    /// Time of creation, in seconds since 1970.
    pub created: u64,
    /// Access key ids, oldest first; at most two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access_keys: Vec<AccessKeyId>,
    /// Names of the user's groups.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// Documents of the inline policies, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inline: BTreeMap<String, String>,
    /// ARNs of the attached managed policies.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub attached: BTreeSet<String>,
    /// ARN of the managed policy that is the permissions boundary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<String>,
    /// Tags by key.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// Role record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Owning account, 12 digits.
    pub account: AccountId,
    /// Path; begins and ends with a slash.
    pub path: String,
    /// Role name.
    pub name: String,
    /// Unique id, `AROA…`.
    pub unique_id: String,
    /// Free text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Time of creation, in seconds since 1970.
    pub created: u64,
    /// Trust policy: a resource policy that states which principals may assume the role. `None`: no
    /// principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<String>,
    /// Maximum session duration, in seconds: 3,600 to 43,200.
    pub max_session: u32,
    /// Documents of the inline policies, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inline: BTreeMap<String, String>,
    /// ARNs of the attached managed policies.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub attached: BTreeSet<String>,
    /// ARN of the managed policy that is the permissions boundary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<String>,
    /// Tags by key.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// Group record. Its policies apply to all users in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Owning account, 12 digits.
    pub account: AccountId,
    /// Path; begins and ends with a slash.
    pub path: String,
    /// Group name.
    pub name: String,
    /// Unique id, `AGPA…`.
    pub unique_id: String,
    /// Time of creation, in seconds since 1970.
    pub created: u64,
    /// Documents of the inline policies, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inline: BTreeMap<String, String>,
    /// ARNs of the attached managed policies.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub attached: BTreeSet<String>,
}

/// Instance profile, which gives a machine the credentials of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceProfile {
    /// Owning account, 12 digits.
    pub account: AccountId,
    /// Path; begins and ends with a slash.
    pub path: String,
    /// Profile name.
    pub name: String,
    /// Unique id, `AIPA…`.
    pub unique_id: String,
    /// Time of creation, in seconds since 1970.
    pub created: u64,
    /// Name of the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Tags by key.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// Record of a user or role.
#[derive(Debug, Clone)]
pub enum PrincipalRecord {
    /// User.
    User(Arc<User>),
    /// Role.
    Role(Arc<Role>),
}

impl PrincipalRecord {
    /// Returns `arn:PARTITION:iam::ACCOUNT:user/PATH/NAME`, or `role/…`.
    ///
    /// # Errors
    /// [`InvalidName`] if path or name contain characters that an ARN cannot have.
    pub fn arn(&self, partition: Partition) -> Result<Arn, InvalidName> {
        let (account, kind, path, name) = match self {
            Self::User(user) => (&user.account, "user", &user.path, &user.name),
            Self::Role(role) => (&role.account, "role", &role.path, &role.name),
        };
        format!("arn:{partition}:iam::{account}:{kind}{path}{name}").parse()
    }

    /// Returns the tags of the user or role.
    #[must_use]
    pub fn tags(&self) -> &Tags {
        match self {
            Self::User(user) => &user.tags,
            Self::Role(role) => &role.tags,
        }
    }
}
