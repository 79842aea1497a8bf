//! The error of a failed connection or login.

use countersign_core::failure::{Class, Failure};
use countersign_wire::ProtocolError;
use countersign_wire::exchange::ServerError;

use super::config::DialerConfig;
use super::explanation::{self, Explanation};
use crate::drive::DriveError;

/// Codes of a rejected login: PostgreSQL's `invalid_authorization_specification` and
/// `invalid_password`, MySQL's and MariaDB's `ER_ACCESS_DENIED_ERROR`. If a user lacks the right to
/// a database, authentication succeeded: PostgreSQL reports 42501, MySQL 1044.
const AUTH_ERROR_CODES: [&str; 3] = ["28000", "28P01", "1045 (28000)"];

/// The error of a failed connection or login.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{failure}")]
pub struct ConnectError {
    /// The failure, with server, user and remedy.
    pub failure: Failure,
    /// The server's error, if the server rejected the login.
    pub server: Option<ServerError>,
    /// Likely causes, if the server rejected the credential.
    pub explanation: Option<Explanation>,
}

impl From<Failure> for ConnectError {
    fn from(failure: Failure) -> Self {
        Self { failure, server: None, explanation: None }
    }
}

/// Codes of errors in other parts of the login request after a successful authentication: a
/// database that does not exist or that the user has no right to, an invalid parameter. Source:
/// "PostgreSQL Error Codes" and MySQL's "Server Error Message Reference".
const REQUEST_ERROR_CODES: [&str; 6] =
    ["3D000", "42501", "42704", "22023", "1044 (42000)", "1049 (42000)"];

impl ConnectError {
    pub(super) fn from_drive_error(error: DriveError, config: &DialerConfig) -> Self {
        let unavailable = |detail: String| Failure::new(Class::Unavailable, detail);
        let failure = match &error {
            DriveError::Protocol(error) => return Self::from_protocol_error(error, config),
            DriveError::Closed => unavailable(
                "the server closed the connection during the login; see its log".to_owned(),
            ),
            DriveError::Io(error) => {
                unavailable(format!("the connection failed during the login: {error}"))
            }
            DriveError::Tls(error) => {
                Failure::new(Class::TlsFailed, explanation::tls(&config.host, error))
            }
        };
        config.about(failure).into()
    }

    fn from_protocol_error(error: &ProtocolError, config: &DialerConfig) -> Self {
        let (class, server) = match error {
            ProtocolError::Protocol { .. } => (Class::Protocol, None),
            ProtocolError::Unsupported { .. } => (Class::Configuration, None),
            // The client caused it: it does not mean that the target is unavailable.
            ProtocolError::Denied { .. } => (Class::Refused, None),
            ProtocolError::Refused(error)
                if AUTH_ERROR_CODES
                    .iter()
                    .chain(&REQUEST_ERROR_CODES)
                    .any(|code| *code == error.code) =>
            {
                (Class::Refused, Some(error.clone()))
            }
            ProtocolError::Refused(error) => (Class::Unavailable, Some(error.clone())),
        };
        Self {
            failure: config.about(Failure::new(class, error.to_string())),
            server,
            explanation: None,
        }
    }

    /// Returns true if the server rejected the credential.
    #[must_use]
    pub fn is_auth_failure(&self) -> bool {
        self.server.as_ref().is_some_and(|error| AUTH_ERROR_CODES.contains(&error.code.as_str()))
    }

    pub(super) fn explained(self, explain: impl FnOnce() -> Explanation) -> Self {
        if !self.is_auth_failure() {
            return self;
        }
        let explanation = explain();
        let failure = Failure::new(
            self.failure.class,
            format!("{}; {}; {}", self.failure.detail, explanation.detail, explanation.hint),
        );
        Self { failure, explanation: Some(explanation), ..self }
    }
}
