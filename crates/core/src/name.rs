//! Names that are constructed only by parsing, so that each value is well formed.

use std::fmt;
use std::str::FromStr;

/// A malformed name: its kind, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {reason}")]
pub struct InvalidName {
    what: &'static str,
    reason: String,
}

impl InvalidName {
    /// Returns the error for a kind of name and a reason.
    #[must_use]
    pub fn new(what: &'static str, reason: impl Into<String>) -> Self {
        Self { what, reason: reason.into() }
    }
}

/// Declares a checked string. `Debug` and `Display` show it; serde writes it as a string and checks
/// it on reading. Clones share the text, because each login makes several.
macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::name::InvalidName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let check: fn(&str) -> Result<(), $crate::name::InvalidName> = $check;
                check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use checked_name;

/// Maximum length of a database user name in bytes. PostgreSQL's limit is 63 bytes and MySQL's 32
/// characters.
pub const MAX_DB_USER: usize = 255;

checked_name! {
    /// A database user in the database's case: 1 to 255 bytes of UTF-8 without NUL.
    DbUser, |text| {
        if text.is_empty() {
            return Err(InvalidName::new("the database user", "is empty"));
        }
        if text.len() > MAX_DB_USER {
            let problem = format!("is longer than {MAX_DB_USER} bytes");
            return Err(InvalidName::new("the database user", problem));
        }
        if text.contains('\0') {
            return Err(InvalidName::new("the database user", "contains a NUL character"));
        }
        Ok(())
    }
}

checked_name! {
    /// An AWS account: twelve digits.
    AccountId, |text| {
        if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(())
        } else {
            Err(InvalidName::new("the account id", format!("{text:?} is not twelve digits")))
        }
    }
}

checked_name! {
    /// An access key ID: 1 to 128 of `[A-Za-z0-9_]`, `AKIA…` for a user's and `ASIA…` for a
    /// session's key. (IDs of AWS have at least 16 characters; its documentation and test suite use
    /// the shorter `AKIDEXAMPLE`.)
    AccessKeyId, |text| {
        let word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if (1..=128).contains(&text.len()) && word {
            Ok(())
        } else {
            let problem = "is not 1 to 128 letters, digits or underscores";
            Err(InvalidName::new("the access key id", problem))
        }
    }
}

checked_name! {
    /// The immutable ID by which policies name a database: `db-…`, `cluster-…` or `prx-…`.
    ResourceId, |text| {
        let tail = ["db-", "cluster-", "prx-"].iter().find_map(|prefix| text.strip_prefix(prefix));
        let valid = tail.is_some_and(|tail| {
            (1..=64).contains(&tail.len()) && tail.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        if valid {
            Ok(())
        } else {
            let problem =
                format!("{text:?} is not db-…, cluster-… or prx-… with letters and digits");
            Err(InvalidName::new("the resource id", problem))
        }
    }
}

checked_name! {
    /// The identifier of a database instance in the form of RDS: a letter, then up to 62 letters,
    /// digits and single hyphens.
    InstanceId, |text| {
        let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        let word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if starts && word && text.len() <= 63 && !text.ends_with('-') && !text.contains("--") {
            Ok(())
        } else {
            let problem = format!(
                "{text:?} is not a letter followed by up to 62 letters, digits and single hyphens"
            );
            Err(InvalidName::new("the instance name", problem))
        }
    }
}

/// Database engine.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// PostgreSQL, Aurora PostgreSQL.
    Postgres,
    /// MariaDB.
    Mariadb,
    /// MySQL, Aurora MySQL.
    Mysql,
}

impl Engine {
    /// The name in RDS, flags and files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
            Self::Mysql => "mysql",
        }
    }

    /// The name of the product.
    #[must_use]
    pub const fn product(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::Mariadb => "MariaDB",
            Self::Mysql => "MySQL",
        }
    }

    /// The default port of the engine's clients.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Postgres => 5432,
            Self::Mariadb | Self::Mysql => 3306,
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Engine {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "postgres" | "postgresql" | "aurora-postgresql" => Ok(Self::Postgres),
            "mariadb" => Ok(Self::Mariadb),
            "mysql" | "aurora-mysql" => Ok(Self::Mysql),
            _ => Err(InvalidName::new(
                "the engine",
                format!("{text:?} is not postgres, mariadb or mysql"),
            )),
        }
    }
}

#[cfg(test)]
mod tests;
