//! Partitions and regions, and the region of an RDS host name.

use std::fmt;
use std::str::FromStr;

use crate::name::{InvalidName, checked_name};

/// A group of regions with its own accounts, DNS suffix and ARNs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each variant is the partition whose name `as_str` gives")]
pub enum Partition {
    Aws,
    China,
    GovCloud,
    EuropeanSovereign,
    Iso,
    IsoB,
    IsoE,
    IsoF,
}

/// Every partition: its name in ARNs, the prefixes of its regions, and its DNS suffix.
/// Source: botocore's `partitions.json` (1.44).
const PARTITIONS: [(Partition, &str, &[&str], &str); 8] = [
    (Partition::China, "aws-cn", &["cn-"], "amazonaws.com.cn"),
    (Partition::GovCloud, "aws-us-gov", &["us-gov-"], "amazonaws.com"),
    (Partition::EuropeanSovereign, "aws-eusc", &["eusc-"], "amazonaws.eu"),
    (Partition::IsoB, "aws-iso-b", &["us-isob-"], "sc2s.sgov.gov"),
    (Partition::IsoE, "aws-iso-e", &["eu-isoe-"], "cloud.adc-e.uk"),
    (Partition::IsoF, "aws-iso-f", &["us-isof-", "eu-isof-"], "csp.hci.ic.gov"),
    (Partition::Iso, "aws-iso", &["us-iso-"], "c2s.ic.gov"),
    (Partition::Aws, "aws", &[], "amazonaws.com"),
];

impl Partition {
    /// Every partition.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        PARTITIONS.iter().map(|row| row.0)
    }

    /// The name in ARNs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        PARTITIONS.iter().find(|row| row.0 == self).map_or("aws", |row| row.1)
    }

    /// DNS suffix of the hosts of its services.
    #[must_use]
    pub fn dns_suffix(self) -> &'static str {
        PARTITIONS.iter().find(|row| row.0 == self).map_or("amazonaws.com", |row| row.3)
    }
}

impl FromStr for Partition {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let row = PARTITIONS.iter().find(|row| row.1 == text);
        row.map(|row| row.0).ok_or_else(|| {
            InvalidName::new("the partition", format!("{text:?} is not a partition of AWS"))
        })
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Partition {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Partition {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: std::borrow::Cow<'de, str> = serde::Deserialize::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

checked_name! {
    /// A region such as `us-east-1`: lower-case letters, digits and hyphens, ending in a digit.
    Region, |text| {
        let word = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        let ends = text.bytes().last().is_some_and(|byte| byte.is_ascii_digit());
        if word && ends && text.contains('-') && !text.starts_with('-') && text.len() <= 32 {
            Ok(())
        } else {
            Err(InvalidName::new("the region", format!("{text:?} is not of the form us-east-1")))
        }
    }
}

impl Region {
    /// The partition of the region.
    #[must_use]
    pub fn partition(&self) -> Partition {
        let prefixed =
            |prefixes: &&[&str]| prefixes.iter().any(|prefix| self.as_str().starts_with(prefix));
        PARTITIONS.iter().find(|row| prefixed(&row.2)).map_or(Partition::Aws, |row| row.0)
    }

    /// Extracts the region from an RDS host name of any partition, in any case:
    /// `NAME.ID.REGION.rds.SUFFIX`, or `NAME.ID.rds.REGION.SUFFIX` for some hosts in China.
    /// Returns `None` for other hosts, such as a CNAME or `localhost`.
    #[must_use]
    pub fn of_rds_host(host: &str) -> Option<Self> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let suffixes = || PARTITIONS.iter().map(|row| row.3);
        let name = suffixes().find_map(|suffix| host.strip_suffix(suffix)?.strip_suffix('.'))?;
        let (rest, last) = name.rsplit_once('.')?;
        let (_, before) = rest.rsplit_once('.')?;
        match (before, last) {
            (region, "rds") | ("rds", region) => region.parse().ok(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
