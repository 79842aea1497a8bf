//! Every way in which a login can fail, and the one table of what each looks like from outside.

use std::fmt;

/// What went wrong. The names are stable: scripts, records and tests match on them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Class {
    /// The token is not of the form of a token.
    Malformed,
    /// The token is signed for a service other than `rds-db`.
    WrongService,
    /// The token's action is not `connect`.
    WrongAction,
    /// The token is signed for another region.
    WrongRegion,
    /// The token is signed for another host.
    WrongHost,
    /// The token is signed for another port.
    WrongPort,
    /// The token is signed for another database user.
    WrongUser,
    /// Nobody owns the access key that signed.
    UnknownKey,
    /// The access key that signed has been switched off.
    InactiveKey,
    /// The key is a session's, and the token lacks the session token.
    SessionTokenMissing,
    /// The session token is not the key's.
    SessionTokenWrong,
    /// The signature is not what the key's secret makes of the token.
    SignatureMismatch,
    /// The token is dated ahead of the clock.
    NotYetValid,
    /// The token is older than its lifetime.
    Expired,
    /// The token asks for more than 900 seconds.
    LifetimeTooLong,
    /// The session behind the key has ended.
    SessionExpired,
    /// No policy allows the login.
    NotAllowed,
    /// A policy denies the login.
    ExplicitlyDenied,
    /// A policy of the principal can't be evaluated.
    PolicyUnusable,
    /// No such database instance is known.
    UnknownInstance,
    /// IAM authentication is switched off for the instance.
    IamDisabled,
    /// The connection has no TLS.
    NoTls,
    /// TLS with the server can't be begun, or its certificate is not believed.
    TlsFailed,
    /// Too many logins a second.
    Throttled,
    /// The database server refused the login, and says no more.
    Refused,
    /// The verifier, or the server, can't be reached.
    Unavailable,
    /// The verifier, or the server, did not answer in time.
    TimedOut,
    /// The other side does not keep to the protocol.
    Protocol,
    /// The process behind the socket is not the one that is trusted.
    UntrustedPeer,
    /// There are no AWS credentials.
    NoCredentials,
    /// There is no AWS region to sign for.
    NoRegion,
    /// The AWS credentials have ended.
    CredentialsExpired,
    /// A flag or an argument is wrong.
    Usage,
    /// A file, a setting or what is installed is not as it must be.
    Configuration,
    /// A defect, or a failing disk.
    Internal,
}

/// How a login's record classes its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    /// The login went through.
    Allowed,
    /// The login was refused for what the client brought.
    Denied,
    /// The login was refused for what went wrong on this side.
    Error,
}

/// The five messages of RDS's `iam-db-auth-error` log.
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

/// Exit statuses of the command line; 0 is success and 2 is clap's for usage.
pub mod exit {
    /// The answer is no: the token is not valid, the login was denied.
    pub const DENIED: u8 = 1;
    /// Flags or arguments are wrong.
    pub const USAGE: u8 = 2;
    /// There are no AWS credentials or no region, or the credentials have expired.
    pub const CREDENTIALS: u8 = 3;
    /// A server, a daemon or an endpoint can't be reached, or does not answer as it should.
    pub const UNREACHABLE: u8 = 4;
    /// A file, an installation or the environment is not as it must be.
    pub const CONFIGURATION: u8 = 5;
    /// A defect of Countersign.
    pub const INTERNAL: u8 = 70;
}

/// A row of the table: what one class looks like to each reader.
#[derive(Debug, Clone, Copy)]
struct Row {
    public: &'static str,
    sqlstate: &'static str,
    mysql: u16,
    exit: u8,
    outcome: AuditOutcome,
    rds: RdsMessage,
}

const fn row(
    public: &'static str,
    sqlstate: &'static str,
    mysql: u16,
    exit: u8,
    outcome: AuditOutcome,
    rds: RdsMessage,
) -> Row {
    Row { public, sqlstate, mysql, exit, outcome, rds }
}

impl Class {
    /// Every class, in the order of declaration.
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

    /// The one total table. SQLSTATEs are PostgreSQL's appendix A, numbers are MySQL's `ER_…`: where it is the way to a server that
    /// fails, `ER_CONNECT_TO_FOREIGN_DATA_SOURCE`. (Its clients' own `CR_…` they take from nobody else.)
    const fn row(self) -> Row {
        use AuditOutcome::{Denied, Error};
        use RdsMessage::{ExpiredToken, InternalError, InvalidToken, NotAuthorized, Throttling};
        match self {
            Self::Malformed => {
                row("the token is malformed", "28P01", 1045, exit::DENIED, Denied, InvalidToken)
            }
            Self::WrongService => row(
                "the token is signed for another service",
                "28P01",
                1045,
                exit::DENIED,
                Denied,
                InvalidToken,
            ),
            Self::WrongAction => row(
                "the token is signed for another action",
                "28P01",
                1045,
                exit::DENIED,
                Denied,
                InvalidToken,
            ),
            Self::WrongRegion => row(
                "the token is signed for another region",
                "28P01",
                1045,
                exit::DENIED,
                Denied,
                InvalidToken,
            ),
            Self::WrongHost => row(
                "the token is signed for another host",
                "28P01",
                1045,
                exit::DENIED,
                Denied,
                InvalidToken,
            ),
            Self::WrongPort => row(
                "the token is signed for another port",
                "28P01",
                1045,
                exit::DENIED,
                Denied,
                InvalidToken,
            ),
            Self::WrongUser => row(
                "the token is signed for another user",
                "28P01",
                1045,
                exit::DENIED,
                Denied,
                InvalidToken,
            ),
            Self::UnknownKey => {
                row("the access key is unknown", "28P01", 1045, exit::DENIED, Denied, InvalidToken)
            }
            Self::InactiveKey => {
                row("the access key is inactive", "28P01", 1045, exit::DENIED, Denied, InvalidToken)
            }
            Self::SessionTokenMissing => row(
                "the session token is missing",
                "28P01",
                1045,
                exit::DENIED,
                Denied,
                InvalidToken,
            ),
            Self::SessionTokenWrong => row(
                "the session token is not the key's",
                "28P01",
                1045,
                exit::DENIED,
                Denied,
                InvalidToken,
            ),
            Self::SignatureMismatch => row(
                "the signature does not match",
                "28P01",
                1045,
                exit::DENIED,
                Denied,
                InvalidToken,
            ),
            Self::NotYetValid => {
                row("the token is not yet valid", "28P01", 1045, exit::DENIED, Denied, InvalidToken)
            }
            Self::Expired => {
                row("the token has expired", "28P01", 1045, exit::DENIED, Denied, ExpiredToken)
            }
            Self::LifetimeTooLong => row(
                "the token's lifetime is over 900 seconds",
                "28P01",
                1045,
                exit::DENIED,
                Denied,
                InvalidToken,
            ),
            Self::SessionExpired => {
                row("the AWS session has ended", "28P01", 1045, exit::DENIED, Denied, InvalidToken)
            }
            Self::NotAllowed => row(
                "no policy allows the login",
                "28000",
                1045,
                exit::DENIED,
                Denied,
                NotAuthorized,
            ),
            Self::ExplicitlyDenied => {
                row("a policy denies the login", "28000", 1045, exit::DENIED, Denied, NotAuthorized)
            }
            Self::PolicyUnusable => row(
                "a policy can't be evaluated",
                "28000",
                1045,
                exit::DENIED,
                Error,
                InternalError,
            ),
            Self::UnknownInstance => row(
                "the database instance is unknown",
                "28000",
                1045,
                exit::DENIED,
                Error,
                InternalError,
            ),
            Self::IamDisabled => row(
                "IAM authentication is disabled",
                "28000",
                1045,
                exit::DENIED,
                Denied,
                InvalidToken,
            ),
            Self::NoTls => row(
                "IAM authentication needs TLS",
                "28000",
                3159,
                exit::DENIED,
                Denied,
                InvalidToken,
            ),
            Self::TlsFailed => row(
                "TLS with the server failed",
                "08006",
                1429,
                exit::UNREACHABLE,
                Error,
                InternalError,
            ),
            Self::Throttled => {
                row("too many logins", "53300", 1040, exit::DENIED, Denied, Throttling)
            }
            Self::Refused => row(
                "the server refused the login",
                "28000",
                1045,
                exit::DENIED,
                Denied,
                InvalidToken,
            ),
            Self::Unavailable => row(
                "the other side can't be reached",
                "08006",
                1429,
                exit::UNREACHABLE,
                Error,
                InternalError,
            ),
            Self::TimedOut => row(
                "there was no answer in time",
                "08006",
                1429,
                exit::UNREACHABLE,
                Error,
                InternalError,
            ),
            Self::Protocol => row(
                "the protocol was violated",
                "08P01",
                1835,
                exit::UNREACHABLE,
                Error,
                InternalError,
            ),
            Self::UntrustedPeer => row(
                "the verifier is not trusted",
                "08006",
                1045,
                exit::UNREACHABLE,
                Error,
                InternalError,
            ),
            Self::NoCredentials => row(
                "there are no AWS credentials",
                "28000",
                1045,
                exit::CREDENTIALS,
                Error,
                InternalError,
            ),
            Self::NoRegion => row(
                "there is no AWS region",
                "28000",
                1045,
                exit::CREDENTIALS,
                Error,
                InternalError,
            ),
            Self::CredentialsExpired => row(
                "the AWS credentials have expired",
                "28000",
                1045,
                exit::CREDENTIALS,
                Error,
                InternalError,
            ),
            Self::Usage => {
                row("the command line is wrong", "F0000", 1105, exit::USAGE, Error, InternalError)
            }
            Self::Configuration => row(
                "the configuration is wrong",
                "F0000",
                1105,
                exit::CONFIGURATION,
                Error,
                InternalError,
            ),
            Self::Internal => row(
                "an internal error occurred",
                "XX000",
                1105,
                exit::INTERNAL,
                Error,
                InternalError,
            ),
        }
    }

    /// A sentence that may be shown to whoever tries to log in: it holds nothing of the request.
    #[must_use]
    pub const fn public(self) -> &'static str {
        self.row().public
    }

    /// PostgreSQL's code.
    #[must_use]
    pub const fn sqlstate(self) -> &'static str {
        self.row().sqlstate
    }

    /// MySQL's and MariaDB's number.
    #[must_use]
    pub const fn mysql_number(self) -> u16 {
        self.row().mysql
    }

    /// The SQLSTATE that MySQL has beside that number.
    /// Source: MySQL's error reference, `ER_ACCESS_DENIED_ERROR`, `ER_CON_COUNT_ERROR`; all others have the general one.
    #[must_use]
    pub const fn mysql_sqlstate(self) -> &'static str {
        match self.mysql_number() {
            1045 => "28000",
            1040 => "08004",
            _ => "HY000",
        }
    }

    /// The exit status of a command that ends so.
    #[must_use]
    pub const fn exit_status(self) -> u8 {
        self.row().exit
    }

    /// How the record classes it.
    #[must_use]
    pub const fn outcome(self) -> AuditOutcome {
        self.row().outcome
    }

    /// Which of RDS's five messages it is logged as.
    #[must_use]
    pub const fn rds_message(self) -> RdsMessage {
        self.row().rds
    }
}

impl fmt::Display for Class {
    /// The stable name: `signature-mismatch`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        serde::Serialize::serialize(self, f)
    }
}

/// A class, and what an operator needs to know beyond it. Neither holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", class.public())]
pub struct Failure {
    /// What went wrong.
    pub class: Class,
    /// The names involved and what to do next: for logs and for the operator, not for whoever tries to log in.
    pub detail: String,
}

impl Failure {
    /// A failure of `class`, explained.
    #[must_use]
    pub fn new(class: Class, detail: impl Into<String>) -> Self {
        Self { class, detail: detail.into() }
    }
}

/// Somebody else's text as a detail may show it: in quotation marks, escaped, cut off where it is long.
#[must_use]
pub fn quoted(text: &str) -> String {
    const MOST: usize = 100;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests;
