//! Amazon Resource Names: `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`.

use std::fmt;
use std::str::FromStr;

use crate::name::{AccountId, DbUser, InvalidName, ResourceId};
use crate::region::{Partition, Region};

/// A complete ARN without wildcards. Region and account may be empty, as in `arn:aws:s3:::bucket`.
///
/// ```
/// use countersign_core::arn::Arn;
///
/// let arn: Arn = "arn:aws:iam::123456789012:user/jane".parse()?;
/// let parts = (arn.service(), arn.account(), arn.resource());
/// assert_eq!(parts, ("iam", "123456789012", "user/jane"));
/// # Ok::<(), countersign_core::name::InvalidName>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Arn {
    text: Box<str>,
    /// Offsets of the five colons; the parts are slices of `text`.
    colons: [usize; 5],
}

impl Arn {
    /// The complete ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `aws`, `aws-cn`, `aws-us-gov`, …
    #[must_use]
    pub fn partition(&self) -> &str {
        self.part(0)
    }

    /// `iam`, `sts`, `rds-db`, …
    #[must_use]
    pub fn service(&self) -> &str {
        self.part(1)
    }

    /// The region; empty for a global resource.
    #[must_use]
    pub fn region(&self) -> &str {
        self.part(2)
    }

    /// The account; empty for a resource without one.
    #[must_use]
    pub fn account(&self) -> &str {
        self.part(3)
    }

    /// Everything after the fifth colon, including further colons.
    #[must_use]
    pub fn resource(&self) -> &str {
        self.part(4)
    }

    fn part(&self, index: usize) -> &str {
        let start = self.colons.get(index).map_or(0, |colon| colon + 1);
        let end = self.colons.get(index + 1).copied().unwrap_or(self.text.len());
        self.text.get(start..end).unwrap_or_default()
    }

    /// Returns the resource of an `rds-db:connect` policy:
    /// `arn:PARTITION:rds-db:REGION:ACCOUNT:dbuser:RESOURCE-ID/USER`.
    #[must_use]
    pub fn db_user(
        partition: Partition,
        region: &Region,
        account: &AccountId,
        resource: &ResourceId,
        user: &DbUser,
    ) -> Self {
        let text = format!("arn:{partition}:rds-db:{region}:{account}:dbuser:{resource}/{user}");
        Self::split(text.into()).unwrap_or_else(|_| unreachable!("the format has its five colons"))
    }

    fn split(text: Box<str>) -> Result<Self, InvalidName> {
        let mut colons = [0; 5];
        let mut found = text.match_indices(':');
        for colon in &mut colons {
            *colon = found.next().map(|(at, _)| at).ok_or_else(|| {
                InvalidName::new("the ARN", format!("{text:?} has fewer than six parts"))
            })?;
        }
        Ok(Self { text, colons })
    }
}

impl FromStr for Arn {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |reason: &str| Err(InvalidName::new("the ARN", format!("{text:?} {reason}")));
        if text.len() > 2048 {
            return Err(InvalidName::new("the ARN", "is longer than 2048 bytes"));
        }
        let arn = Self::split(text.into())?;
        if !text.starts_with("arn:") {
            return refuse("does not begin with arn:");
        }
        if arn.partition().is_empty() || arn.service().is_empty() || arn.resource().is_empty() {
            return refuse("lacks its partition, service or resource");
        }
        if !arn.account().is_empty()
            && arn.account() != "aws"
            && arn.account().parse::<AccountId>().is_err()
        {
            return refuse("has an account that is not twelve digits");
        }
        Ok(arn)
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.text)
    }
}

impl serde::Serialize for Arn {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for Arn {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
