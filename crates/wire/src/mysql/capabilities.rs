//! What client and server agree on: MySQL's `CLIENT_…` in the low 32 bits, MariaDB's `MARIADB_CLIENT_…` in the high ones.

use std::fmt;
use std::ops::{BitAnd, BitOr};

/// A set of capabilities.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Capabilities(u64);

macro_rules! capabilities {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)*) => {
        impl Capabilities {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
        }

        const NAMES: &[(Capabilities, &str)] = &[$((Capabilities::$name, stringify!($name))),*];
    };
}

capabilities! {
    /// Of a server or a client that is MySQL's. MariaDB's own set it not, which says that the high 32 bits are there.
    MYSQL = 0;
    /// `CLIENT_FOUND_ROWS`: an update says how many rows it found.
    FOUND_ROWS = 1;
    /// `CLIENT_LONG_FLAG`.
    LONG_FLAG = 2;
    /// `CLIENT_CONNECT_WITH_DB`: the login names a database.
    CONNECT_WITH_DB = 3;
    /// `CLIENT_NO_SCHEMA`.
    NO_SCHEMA = 4;
    /// `CLIENT_COMPRESS`: zlib, behind the login.
    COMPRESS = 5;
    /// `CLIENT_ODBC`.
    ODBC = 6;
    /// `CLIENT_LOCAL_FILES`: `LOAD DATA LOCAL`.
    LOCAL_FILES = 7;
    /// `CLIENT_IGNORE_SPACE`.
    IGNORE_SPACE = 8;
    /// `CLIENT_PROTOCOL_41`: nothing older is spoken here.
    PROTOCOL_41 = 9;
    /// `CLIENT_INTERACTIVE`: `interactive_timeout` in place of `wait_timeout`.
    INTERACTIVE = 10;
    /// `CLIENT_SSL`.
    SSL = 11;
    /// `CLIENT_IGNORE_SIGPIPE`.
    IGNORE_SIGPIPE = 12;
    /// `CLIENT_TRANSACTIONS`: answers carry status flags.
    TRANSACTIONS = 13;
    /// `CLIENT_RESERVED2`, once `CLIENT_SECURE_CONNECTION`: a proof has a length of one byte in front.
    SECURE_CONNECTION = 15;
    /// `CLIENT_MULTI_STATEMENTS`.
    MULTI_STATEMENTS = 16;
    /// `CLIENT_MULTI_RESULTS`.
    MULTI_RESULTS = 17;
    /// `CLIENT_PS_MULTI_RESULTS`.
    PS_MULTI_RESULTS = 18;
    /// `CLIENT_PLUGIN_AUTH`.
    PLUGIN_AUTH = 19;
    /// `CLIENT_CONNECT_ATTRS`.
    CONNECT_ATTRS = 20;
    /// `CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA`: a proof in the login may be longer than 255 bytes.
    PLUGIN_AUTH_LENENC = 21;
    /// `CLIENT_CAN_HANDLE_EXPIRED_PASSWORDS`.
    EXPIRED_PASSWORDS = 22;
    /// `CLIENT_SESSION_TRACK`: an OK says what changed in the session.
    SESSION_TRACK = 23;
    /// `CLIENT_DEPRECATE_EOF`: rows end with an OK.
    DEPRECATE_EOF = 24;
    /// `CLIENT_OPTIONAL_RESULTSET_METADATA`.
    OPTIONAL_METADATA = 25;
    /// `CLIENT_ZSTD_COMPRESSION_ALGORITHM`.
    ZSTD = 26;
    /// `CLIENT_QUERY_ATTRIBUTES`: a statement is preceded by its parameters.
    QUERY_ATTRIBUTES = 27;
    /// `MULTI_FACTOR_AUTHENTICATION`.
    MULTI_FACTOR = 28;
    /// `MARIADB_CLIENT_PROGRESS`: an ERR numbered 65535 says how far a statement is.
    PROGRESS = 32;
    /// `MARIADB_CLIENT_STMT_BULK_OPERATIONS`: `COM_STMT_BULK_EXECUTE`.
    BULK_OPERATIONS = 34;
    /// `MARIADB_CLIENT_EXTENDED_METADATA`.
    EXTENDED_METADATA = 35;
    /// `MARIADB_CLIENT_CACHE_METADATA`.
    CACHE_METADATA = 36;
    /// `MARIADB_CLIENT_BULK_UNIT_RESULTS`.
    BULK_UNIT_RESULTS = 37;
}

impl Capabilities {
    /// What changes the session behind the login, and so is agreed upon by client and server; who stands in between carries it.
    pub const FORWARDED: Self = Self::FOUND_ROWS
        .with(Self::LONG_FLAG)
        .with(Self::NO_SCHEMA)
        .with(Self::COMPRESS)
        .with(Self::ODBC)
        .with(Self::LOCAL_FILES)
        .with(Self::IGNORE_SPACE)
        .with(Self::INTERACTIVE)
        .with(Self::IGNORE_SIGPIPE)
        .with(Self::TRANSACTIONS)
        .with(Self::MULTI_STATEMENTS)
        .with(Self::MULTI_RESULTS)
        .with(Self::PS_MULTI_RESULTS)
        .with(Self::CONNECT_ATTRS)
        .with(Self::EXPIRED_PASSWORDS)
        .with(Self::SESSION_TRACK)
        .with(Self::DEPRECATE_EOF)
        .with(Self::OPTIONAL_METADATA)
        .with(Self::ZSTD)
        .with(Self::QUERY_ATTRIBUTES)
        .with(Self::PROGRESS)
        .with(Self::BULK_OPERATIONS)
        .with(Self::EXTENDED_METADATA)
        .with(Self::CACHE_METADATA)
        .with(Self::BULK_UNIT_RESULTS);

    /// What each of the two connections has for itself: how one logs in.
    pub const LOGIN: Self = Self::PROTOCOL_41
        .with(Self::SECURE_CONNECTION)
        .with(Self::PLUGIN_AUTH)
        .with(Self::PLUGIN_AUTH_LENENC)
        .with(Self::CONNECT_WITH_DB);

    /// Those of `CARRIED` without which the same bytes mean something else: a client that was promised one can't be served by a
    /// server that lacks it.
    pub const FRAMING: Self = Self::COMPRESS
        .with(Self::TRANSACTIONS)
        .with(Self::SESSION_TRACK)
        .with(Self::DEPRECATE_EOF)
        .with(Self::OPTIONAL_METADATA)
        .with(Self::ZSTD)
        .with(Self::QUERY_ATTRIBUTES)
        .with(Self::EXTENDED_METADATA)
        .with(Self::CACHE_METADATA);

    /// None.
    pub const NONE: Self = Self(0);

    /// From the two halves.
    #[must_use]
    pub const fn new(mysql: u32, mariadb: u32) -> Self {
        Self(mysql as u64 | (mariadb as u64) << 32)
    }

    /// MySQL's half.
    #[must_use]
    pub const fn mysql(self) -> u32 {
        self.0 as u32
    }

    /// MariaDB's half.
    #[must_use]
    pub const fn mariadb(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Whether all of the others are in it.
    #[must_use]
    pub const fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Whether one of the others is in it.
    #[must_use]
    pub const fn has_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// With the others.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Without the others.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// With the others or without them.
    #[must_use]
    pub const fn set(self, others: Self, whether: bool) -> Self {
        if whether { self.with(others) } else { self.without(others) }
    }
}

impl BitAnd for Capabilities {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Capabilities {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.with(other)
    }
}

/// The names of those that have one.
impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            NAMES.iter().filter(|(capability, _)| self.has(*capability)).map(|(_, name)| *name);
        f.write_str(&names.collect::<Vec<_>>().join(" "))
    }
}
