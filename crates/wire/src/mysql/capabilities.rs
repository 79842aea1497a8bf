//! Capability flags: MySQL's `CLIENT_…` in the low 32 bits, MariaDB's `MARIADB_CLIENT_…` in the
//! high 32 bits.

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
    /// `CLIENT_LONG_PASSWORD`, set by MySQL's servers and clients. MariaDB's omit it if they use
    /// the high 32 bits.
    MYSQL = 0;
    /// `CLIENT_FOUND_ROWS`: affected rows are those found by an update.
    FOUND_ROWS = 1;
    /// `CLIENT_LONG_FLAG`.
    LONG_FLAG = 2;
    /// `CLIENT_CONNECT_WITH_DB`: the login contains a database.
    CONNECT_WITH_DB = 3;
    /// `CLIENT_NO_SCHEMA`.
    NO_SCHEMA = 4;
    /// `CLIENT_COMPRESS`: zlib compression after the login.
    COMPRESS = 5;
    /// `CLIENT_ODBC`.
    ODBC = 6;
    /// `CLIENT_LOCAL_FILES`: `LOAD DATA LOCAL`.
    LOCAL_FILES = 7;
    /// `CLIENT_IGNORE_SPACE`.
    IGNORE_SPACE = 8;
    /// `CLIENT_PROTOCOL_41`: protocol of MySQL 4.1 and later. Older ones are not supported.
    PROTOCOL_41 = 9;
    /// `CLIENT_INTERACTIVE`: `interactive_timeout` instead of `wait_timeout`.
    INTERACTIVE = 10;
    /// `CLIENT_SSL`.
    SSL = 11;
    /// `CLIENT_IGNORE_SIGPIPE`.
    IGNORE_SIGPIPE = 12;
    /// `CLIENT_TRANSACTIONS`: responses contain status flags.
    TRANSACTIONS = 13;
    /// `CLIENT_RESERVED2`, formerly `CLIENT_SECURE_CONNECTION`: a proof has a length prefix of one
    /// byte.
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
    /// `CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA`: the login's proof may be longer than 255 bytes.
    PLUGIN_AUTH_LENENC = 21;
    /// `CLIENT_CAN_HANDLE_EXPIRED_PASSWORDS`.
    EXPIRED_PASSWORDS = 22;
    /// `CLIENT_SESSION_TRACK`: OK packets report changes of the session state.
    SESSION_TRACK = 23;
    /// `CLIENT_DEPRECATE_EOF`: rows end with an OK packet.
    DEPRECATE_EOF = 24;
    /// `CLIENT_OPTIONAL_RESULTSET_METADATA`.
    OPTIONAL_METADATA = 25;
    /// `CLIENT_ZSTD_COMPRESSION_ALGORITHM`.
    ZSTD = 26;
    /// `CLIENT_QUERY_ATTRIBUTES`: a statement is preceded by its attributes.
    QUERY_ATTRIBUTES = 27;
    /// `MULTI_FACTOR_AUTHENTICATION`.
    MULTI_FACTOR = 28;
    /// `MARIADB_CLIENT_PROGRESS`: an ERR packet with number 65535 reports progress.
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
    /// Capabilities that affect the session after the login. A proxy forwards them between client
    /// and server.
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

    /// Capabilities of the login, which each of the two connections negotiates on its own.
    pub const LOGIN: Self = Self::PROTOCOL_41
        .with(Self::SECURE_CONNECTION)
        .with(Self::PLUGIN_AUTH)
        .with(Self::PLUGIN_AUTH_LENENC)
        .with(Self::CONNECT_WITH_DB);

    /// Forwarded capabilities that change the meaning of bytes. A client that was offered one
    /// cannot use a server that lacks it.
    pub const FRAMING: Self = Self::COMPRESS
        .with(Self::TRANSACTIONS)
        .with(Self::SESSION_TRACK)
        .with(Self::DEPRECATE_EOF)
        .with(Self::OPTIONAL_METADATA)
        .with(Self::ZSTD)
        .with(Self::QUERY_ATTRIBUTES)
        .with(Self::EXTENDED_METADATA)
        .with(Self::CACHE_METADATA);

    /// The empty set.
    pub const NONE: Self = Self(0);

    /// Combines both halves.
    #[must_use]
    pub const fn new(mysql: u32, mariadb: u32) -> Self {
        Self(mysql as u64 | (mariadb as u64) << 32)
    }

    /// Returns MySQL's half.
    #[must_use]
    pub const fn mysql(self) -> u32 {
        self.0 as u32
    }

    /// Returns MariaDB's half.
    #[must_use]
    pub const fn mariadb(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Returns true if it contains all of `others`.
    #[must_use]
    pub const fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Returns true if it contains any of `others`.
    #[must_use]
    pub const fn has_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Adds `others`.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Removes `others`.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Adds or removes `others`.
    #[must_use]
    pub const fn set(self, others: Self, present: bool) -> Self {
        if present { self.with(others) } else { self.without(others) }
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

/// Lists the names of known capabilities.
impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names =
            NAMES.iter().filter(|(capability, _)| self.has(*capability)).map(|(_, name)| *name);
        f.write_str(&names.collect::<Vec<_>>().join(" "))
    }
}
