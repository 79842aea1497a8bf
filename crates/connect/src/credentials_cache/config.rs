//! Configuration of a target's AWS credentials: a profile and a chain of roles.

use std::fmt;
use std::str::FromStr;

use countersign_core::arn::Arn;
use countersign_core::failure::{Class, Failure};
use countersign_core::name::InvalidName;
use countersign_core::region::{Partition, Region};

/// Maximum number of roles in a chain. AWS has no such limit; a longer chain is most likely a
/// mistake.
const MAX_ROLES: usize = 8;

/// Default role session name. It is shown in CloudTrail and in `sts get-caller-identity`.
pub(super) const SESSION_NAME: &str = "countersign";

/// Configuration of the AWS credentials of a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct CredentialsConfig {
    /// Profile of the shared configuration files; `None` is the AWS SDK's default chain.
    pub profile: Option<String>,
    /// Roles to assume in this order: the first with the credentials of the profile or chain, each
    /// other with the credentials of the role before it.
    pub roles: Vec<Role>,
    /// Region of the STS endpoint; `None` is the region of the profile or the environment.
    pub region: Option<Region>,
}

impl fmt::Display for CredentialsConfig {
    /// Formats the source as error messages name it: `the profile "dev", then the role
    /// arn:aws:iam::…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.profile {
            Some(profile) => write!(f, "the profile {profile:?}")?,
            None => f.write_str("the default chain")?,
        }
        self.roles.iter().try_for_each(|role| write!(f, ", then the role {}", role.arn))
    }
}

/// A role to assume.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Role {
    /// ARN of the role.
    pub arn: RoleArn,
    /// External id that the trust policy may require: 2 to 1224 of `[A-Za-z0-9_+=,.@:/-]`.
    pub external_id: Option<String>,
    /// Role session name: 2 to 64 of `[A-Za-z0-9_+=,.@-]`; `None` is `countersign`.
    pub session_name: Option<String>,
}

/// ARN of a role: `arn:PARTITION:iam::ACCOUNT:role/PATH/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoleArn(Arn);

impl RoleArn {
    /// Returns the ARN as text.
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
    /// Checks these settings against STS's rules, so that a mistake is reported when they are read
    /// instead of at the first login.
    ///
    /// # Errors
    /// [`Class::Configuration`], naming the first invalid setting.
    pub fn check(&self) -> Result<(), Failure> {
        if self.roles.len() > MAX_ROLES {
            return Err(invalid(format!(
                "the chain has {} roles; at most {MAX_ROLES} are supported",
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
        let only = |text: &str, more: &[u8]| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        if self
            .external_id
            .as_ref()
            .is_some_and(|id| !(2..=1224).contains(&id.len()) || !only(id, b"_+=,.@:/-"))
        {
            return Err(invalid(format!(
                "the external id for {arn} must be 2 to 1224 letters, digits or any of _+=,.@:/-"
            )));
        }
        if self
            .session_name
            .as_ref()
            .is_some_and(|name| !(2..=64).contains(&name.len()) || !only(name, b"_+=,.@-"))
        {
            return Err(invalid(format!(
                "the session name for {arn} must be 2 to 64 letters, digits or any of _+=,.@-"
            )));
        }
        Ok(())
    }
}

fn invalid(detail: String) -> Failure {
    Failure::new(Class::Configuration, detail)
}
