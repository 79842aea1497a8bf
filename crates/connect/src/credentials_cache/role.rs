//! Roles, as settings name them.

use std::fmt;
use std::str::FromStr;

use countersign_core::arn::Arn;
use countersign_core::failure::{Class, Failure};
use countersign_core::name::InvalidName;
use countersign_core::region::Partition;

use super::CredentialsConfig;

/// The most roles in a chain: a guard against a mistake, not a limit of AWS's.
const MOST_ROLES: usize = 8;

/// The name of our sessions where none is set: it shows in CloudTrail, and in `sts get-caller-identity`.
pub(super) const SESSION_NAME: &str = "countersign";

/// A role to assume.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Role {
    /// Its ARN.
    pub arn: RoleArn,
    /// What its trust policy may ask for: 2 to 1224 of `[A-Za-z0-9_+=,.@:/-]`.
    pub external_id: Option<String>,
    /// The name of the session: 2 to 64 of `[A-Za-z0-9_+=,.@-]`; none is `countersign`.
    pub session_name: Option<String>,
}

/// The ARN of a role: `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoleArn(Arn);

impl RoleArn {
    /// The whole ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub(super) fn partition(&self) -> Option<Partition> {
        self.0.partition().parse().ok()
    }
}

impl FromStr for RoleArn {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let arn: Arn = text.parse()?;
        let named = arn
            .resource()
            .strip_prefix("role/")
            .is_some_and(|name| !name.is_empty() && !name.ends_with('/'));
        if arn.service() == "iam" && arn.region().is_empty() && arn.account().len() == 12 && named {
            Ok(Self(arn))
        } else {
            Err(InvalidName::new(
                "the role",
                format!("{text:?} is not of the form arn:aws:iam::111122223333:role/NAME"),
            ))
        }
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl CredentialsConfig {
    /// Whether STS would take these settings at all: so that a mistake is said when they are read, not when somebody logs in.
    ///
    /// # Errors
    /// [`Class::Configuration`], with the first that is wrong.
    pub fn check(&self) -> Result<(), Failure> {
        if self.roles.len() > MOST_ROLES {
            return Err(wrong(format!(
                "a chain of {} roles is longer than {MOST_ROLES}",
                self.roles.len()
            )));
        }
        self.roles.iter().try_for_each(Role::check)
    }
}

impl Role {
    /// Source: `AssumeRole` in the API reference of AWS STS.
    fn check(&self) -> Result<(), Failure> {
        let arn = &self.arn;
        let word = |text: &str, more: &[u8]| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        if self
            .external_id
            .as_ref()
            .is_some_and(|id| !(2..=1224).contains(&id.len()) || !word(id, b"_+=,.@:/-"))
        {
            return Err(wrong(format!(
                "the external id for {arn} is not 2 to 1224 letters, digits or any of _+=,.@:/-"
            )));
        }
        if self
            .session_name
            .as_ref()
            .is_some_and(|name| !(2..=64).contains(&name.len()) || !word(name, b"_+=,.@-"))
        {
            return Err(wrong(format!(
                "the session name for {arn} is not 2 to 64 letters, digits or any of _+=,.@-"
            )));
        }
        Ok(())
    }
}

fn wrong(detail: String) -> Failure {
    Failure::new(Class::Configuration, detail)
}
