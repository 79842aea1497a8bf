//! Failure classes of a login, and one table of their representations: texts, SQLSTATEs, MySQL
//! error numbers, exit statuses, audit outcomes and RDS log messages.

use std::fmt;

/// Class of a failure. Names are stable: scripts, records and tests match on them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Class {
    /// The token is malformed.
    Malformed,
    /// The token is signed for a service other than `rds-db`.
    WrongService,
    /// The action of the token is not `connect`.
    WrongAction,
    /// The token is signed for another region.
    WrongRegion,
    /// The token is signed for another host.
    WrongHost,
    /// The token is signed for another port.
    WrongPort,
    /// The token is signed for another database user.
    WrongUser,
    /// The access key of the signature is unknown.
    UnknownKey,
    /// The access key of the signature is inactive.
    InactiveKey,
    /// The access key is temporary, and the token lacks the session token.
    SessionTokenMissing,
    /// The session token does not belong to the access key.
    SessionTokenWrong,
    /// The signature was not made with the secret key over this token.
    SignatureMismatch,
    /// The date of the token is ahead of the clock.
    NotYetValid,
    /// The token is older than its lifetime.
    Expired,
    /// The token requests a lifetime of more than 900 seconds.
    LifetimeTooLong,
    /// The session of the access key has expired.
    SessionExpired,
    /// No policy allows the login.
    NotAllowed,
    /// A policy denies the login.
    ExplicitlyDenied,
    /// A policy of the principal cannot be evaluated.
    PolicyUnusable,
    /// The database instance is unknown.
    UnknownInstance,
    /// IAM authentication is disabled for the instance.
    IamDisabled,
    /// The connection does not use TLS.
    NoTls,
    /// TLS with the server cannot be established, or its certificate is not trusted.
    TlsFailed,
    /// There are too many logins per second.
    Throttled,
    /// The database server rejected the login without a more specific error.
    Refused,
    /// The verifier or the server is unreachable.
    Unavailable,
    /// The verifier or the server did not respond in time.
    TimedOut,
    /// The peer violated the protocol.
    Protocol,
    /// The process that listens on the socket is not a trusted one.
    UntrustedPeer,
    /// AWS credentials were not found.
    NoCredentials,
    /// An AWS region to sign for was not found.
    NoRegion,
    /// The AWS credentials have expired.
    CredentialsExpired,
    /// A flag or an argument is invalid.
    Usage,
    /// A file, a setting or an installation is invalid.
    Configuration,
    /// A defect of Countersign, or a disk failure.
    Internal,
}

/// Outcome of a login in its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    /// The login was allowed.
    Allowed,
    /// The login was denied because of the client.
    Denied,
    /// The login was denied because of a failure on the side of the server.
    Error,
}

/// Messages of RDS's `iam-db-auth-error` log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RdsMessage {
    /// 400 `InvalidToken`
    InvalidToken,
    /// 400 `ExpiredToken`
    ExpiredToken,
    /// 403 `NotAuthorized`
    NotAuthorized,
    /// 429 `ThrottlingException`
    Throttling,
    /// 500 `InternalError`
    InternalError,
}

/// Exit statuses of the command line. 0 is success; 2 is clap's status for usage errors.
pub mod exit {
    /// The token is not valid, or the login was denied.
    pub const DENIED: u8 = 1;
    /// Flags or arguments are invalid.
    pub const USAGE: u8 = 2;
    /// AWS credentials or a region were not found, or the credentials have expired.
    pub const CREDENTIALS: u8 = 3;
    /// A server, a daemon or an endpoint is unreachable or does not respond as expected.
    pub const UNREACHABLE: u8 = 4;
    /// A file, an installation or the environment is invalid.
    pub const CONFIGURATION: u8 = 5;
    /// A defect of Countersign.
    pub const INTERNAL: u8 = 70;
}

/// A row of the table: the representations of one class.
#[derive(Debug, Clone, Copy)]
struct Row {
    public: &'static str,
    sqlstate: &'static str,
    mysql: u16,
    exit: u8,
    outcome: AuditOutcome,
    rds: RdsMessage,
}

/// A login denied because of the client's token.
const fn invalid_token(public: &'static str) -> Row {
    denied(public, "28P01", RdsMessage::InvalidToken)
}

/// A login denied to the client.
const fn denied(public: &'static str, sqlstate: &'static str, rds: RdsMessage) -> Row {
    Row { public, sqlstate, mysql: 1045, exit: exit::DENIED, outcome: AuditOutcome::Denied, rds }
}

/// A failure on the side of the server.
const fn error(public: &'static str, sqlstate: &'static str, mysql: u16, exit: u8) -> Row {
    let (outcome, rds) = (AuditOutcome::Error, RdsMessage::InternalError);
    Row { public, sqlstate, mysql, exit, outcome, rds }
}

impl Class {
    /// All classes, in the order of declaration.
    pub const ALL: [Self; 35] = [
        Self::Malformed,
        Self::WrongService,
        Self::WrongAction,
        Self::WrongRegion,
        Self::WrongHost,
        Self::WrongPort,
        Self::WrongUser,
        Self::UnknownKey,
        Self::InactiveKey,
        Self::SessionTokenMissing,
        Self::SessionTokenWrong,
        Self::SignatureMismatch,
        Self::NotYetValid,
        Self::Expired,
        Self::LifetimeTooLong,
        Self::SessionExpired,
        Self::NotAllowed,
        Self::ExplicitlyDenied,
        Self::PolicyUnusable,
        Self::UnknownInstance,
        Self::IamDisabled,
        Self::NoTls,
        Self::TlsFailed,
        Self::Throttled,
        Self::Refused,
        Self::Unavailable,
        Self::TimedOut,
        Self::Protocol,
        Self::UntrustedPeer,
        Self::NoCredentials,
        Self::NoRegion,
        Self::CredentialsExpired,
        Self::Usage,
        Self::Configuration,
        Self::Internal,
    ];

    /// The table. SQLSTATEs are from PostgreSQL's appendix A, numbers are MySQL's `ER_…`. A failed
    /// connection to the server is `ER_CONNECT_TO_FOREIGN_DATA_SOURCE`, because MySQL clients
    /// accept `CR_…` numbers only from their own library.
    const fn row(self) -> Row {
        use RdsMessage::{ExpiredToken, InvalidToken, NotAuthorized, Throttling};
        match self {
            Self::Malformed => invalid_token("token is malformed"),
            Self::WrongService => invalid_token("token is signed for another service"),
            Self::WrongAction => invalid_token("token is signed for another action"),
            Self::WrongRegion => invalid_token("token is signed for another region"),
            Self::WrongHost => invalid_token("token is signed for another host"),
            Self::WrongPort => invalid_token("token is signed for another port"),
            Self::WrongUser => invalid_token("token is signed for another user"),
            Self::UnknownKey => invalid_token("access key is unknown"),
            Self::InactiveKey => invalid_token("access key is inactive"),
            Self::SessionTokenMissing => invalid_token("session token is missing"),
            Self::SessionTokenWrong => invalid_token("session token does not match the access key"),
            Self::SignatureMismatch => invalid_token("signature does not match"),
            Self::NotYetValid => invalid_token("token is not yet valid"),
            Self::Expired => denied("token has expired", "28P01", ExpiredToken),
            Self::LifetimeTooLong => invalid_token("token lifetime exceeds 900 seconds"),
            Self::SessionExpired => invalid_token("AWS session has expired"),
            Self::NotAllowed => denied("no policy allows the login", "28000", NotAuthorized),
            Self::ExplicitlyDenied => denied("a policy denies the login", "28000", NotAuthorized),
            Self::PolicyUnusable => error("cannot evaluate a policy", "28000", 1045, exit::DENIED),
            Self::UnknownInstance => {
                error("database instance is unknown", "28000", 1045, exit::DENIED)
            }
            Self::IamDisabled => denied("IAM authentication is disabled", "28000", InvalidToken),
            Self::NoTls => Row {
                mysql: 3159,
                ..denied("IAM authentication requires TLS", "28000", InvalidToken)
            },
            Self::TlsFailed => {
                error("cannot establish TLS with the server", "08006", 1429, exit::UNREACHABLE)
            }
            Self::Throttled => {
                Row { mysql: 1040, ..denied("too many logins per second", "53300", Throttling) }
            }
            Self::Refused => denied("server rejected the login", "28000", InvalidToken),
            Self::Unavailable => error("cannot connect", "08006", 1429, exit::UNREACHABLE),
            Self::TimedOut => {
                error("timed out waiting for a response", "08006", 1429, exit::UNREACHABLE)
            }
            Self::Protocol => error("protocol violation", "08P01", 1835, exit::UNREACHABLE),
            Self::UntrustedPeer => {
                error("verifier is not trusted", "08006", 1045, exit::UNREACHABLE)
            }
            Self::NoCredentials => {
                error("AWS credentials not found", "28000", 1045, exit::CREDENTIALS)
            }
            Self::NoRegion => error("AWS region not found", "28000", 1045, exit::CREDENTIALS),
            Self::CredentialsExpired => {
                error("AWS credentials have expired", "28000", 1045, exit::CREDENTIALS)
            }
            Self::Usage => error("invalid command line", "F0000", 1105, exit::USAGE),
            Self::Configuration => {
                error("invalid configuration", "F0000", 1105, exit::CONFIGURATION)
            }
            Self::Internal => error("internal error", "XX000", 1105, exit::INTERNAL),
        }
    }

    /// The text that may be sent to the client. It contains nothing of the request.
    #[must_use]
    pub const fn public(self) -> &'static str {
        self.row().public
    }

    /// The SQLSTATE for PostgreSQL.
    #[must_use]
    pub const fn sqlstate(self) -> &'static str {
        self.row().sqlstate
    }

    /// The error number for MySQL and MariaDB.
    #[must_use]
    pub const fn mysql_number(self) -> u16 {
        self.row().mysql
    }

    /// The SQLSTATE that MySQL sends with that number. Source: MySQL's error reference,
    /// `ER_ACCESS_DENIED_ERROR`, `ER_CON_COUNT_ERROR`; all others have the general one.
    #[must_use]
    pub const fn mysql_sqlstate(self) -> &'static str {
        match self.mysql_number() {
            1045 => "28000",
            1040 => "08004",
            _ => "HY000",
        }
    }

    /// The exit status of a command that fails with this class.
    #[must_use]
    pub const fn exit_status(self) -> u8 {
        self.row().exit
    }

    /// The outcome in the audit record.
    #[must_use]
    pub const fn outcome(self) -> AuditOutcome {
        self.row().outcome
    }

    /// The message of RDS's log.
    #[must_use]
    pub const fn rds_message(self) -> RdsMessage {
        self.row().rds
    }
}

impl fmt::Display for Class {
    /// Writes the stable name, such as `signature-mismatch`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        serde::Serialize::serialize(self, f)
    }
}

/// A class with details for the operator. Neither contains a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", class.public())]
pub struct Failure {
    /// Class of the failure.
    pub class: Class,
    /// Names involved and the remedy. For logs and the operator, not for the client.
    pub detail: String,
}

impl Failure {
    /// Returns a failure of `class` with details.
    #[must_use]
    pub fn new(class: Class, detail: impl Into<String>) -> Self {
        Self { class, detail: detail.into() }
    }
}

/// Quotes, escapes and truncates untrusted text for a detail.
#[must_use]
pub fn quoted(text: &str) -> String {
    const MAX_CHARS: usize = 100;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{AuditOutcome, Class, quoted};

    #[test]
    fn every_class_has_a_row_and_a_unique_name() {
        let names: BTreeSet<String> = Class::ALL.iter().map(Class::to_string).collect();
        assert_eq!(names.len(), Class::ALL.len());
        for class in Class::ALL {
            assert_eq!(class.sqlstate().len(), 5);
            assert_ne!(class.exit_status(), 0, "{class} must not exit with success");
            assert_ne!(class.outcome(), AuditOutcome::Allowed, "{class}");
            assert_eq!(serde_json::from_str::<Class>(&format!("\"{class}\"")).unwrap(), class);
        }
    }

    #[test]
    fn untrusted_text_is_escaped_and_truncated() {
        assert_eq!(quoted("a\n\"b\""), r#""a\n\"b\"""#);
        assert_eq!(quoted(&"é".repeat(60_000)).chars().count(), 103);
    }
}
