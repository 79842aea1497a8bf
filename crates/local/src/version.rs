//! Version of a server: the part that its data format and protocol depend on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A release series: `15` of PostgreSQL, `10.11` of MariaDB, `9.7` of MySQL.
///
/// Without a minor number it stands for any series of that major number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    major: u16,
    minor: Option<u16>,
}

impl Version {
    /// Returns the major number.
    pub(crate) const fn major(self) -> u16 {
        self.major
    }

    /// Returns true if `found` satisfies this requested version.
    #[must_use]
    pub fn covers(self, found: Self) -> bool {
        self.major == found.major && (self.minor.is_none() || self.minor == found.minor)
    }
}

/// A text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the version {0:?} is not valid: write a number such as 15, or two such as 10.11")]
pub struct InvalidVersion(String);

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |digits: &str| digits.parse().map_err(|_| InvalidVersion(text.to_owned()));
        Ok(match text.split_once('.') {
            None => Self { major: number(text)?, minor: None },
            Some((major, minor)) => Self { major: number(major)?, minor: Some(number(minor)?) },
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.minor {
            None => write!(f, "{}", self.major),
            Some(minor) => write!(f, "{}.{minor}", self.major),
        }
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
