//! Why there is no session.

use countersign_core::failure::{Class, Failure};
use countersign_wire::ProtocolError;
use countersign_wire::exchange::ServerError;

use super::Explanation;

/// What PostgreSQL refuses a login with (`invalid_authorization_specification`, `invalid_password`), and MySQL and MariaDB
/// (`ER_ACCESS_DENIED_ERROR`). Where a user has no right to a database the proof was good: PostgreSQL says 42501, MySQL 1044.
const LOGIN_REFUSED: [&str; 3] = ["28000", "28P01", "1045 (28000)"];

/// A login that came to nothing.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{failure}")]
pub struct ConnectError {
    /// What happened, to whom, and what to do.
    pub failure: Failure,
    /// The server's own words, where the server refused.
    pub server: Option<ServerError>,
    /// Why it may have refused, where it was the proof that it refused.
    pub explanation: Option<Explanation>,
}

impl From<Failure> for ConnectError {
    fn from(failure: Failure) -> Self {
        Self { failure, server: None, explanation: None }
    }
}

/// Where the proof was good, and what else the client asked for is not to be had: a database that does not exist or that the user has
/// no right to, a parameter that is none. Source: "PostgreSQL Error Codes" and MySQL's "Server Error Message Reference".
const REQUEST_ERROR_CODES: [&str; 6] =
    ["3D000", "42501", "42704", "22023", "1044 (42000)", "1049 (42000)"];

impl ConnectError {
    pub(super) fn of_fault(fault: &ProtocolError, about: impl Fn(Failure) -> Failure) -> Self {
        let (class, server) = match fault {
            ProtocolError::Protocol { .. } => (Class::Protocol, None),
            ProtocolError::Unsupported { .. } => (Class::Configuration, None),
            // It is about who asks: it says nothing against the target.
            ProtocolError::Denied { .. } => (Class::Refused, None),
            ProtocolError::Refused(error)
                if LOGIN_REFUSED
                    .iter()
                    .chain(&REQUEST_ERROR_CODES)
                    .any(|code| *code == error.code) =>
            {
                (Class::Refused, Some(error.clone()))
            }
            ProtocolError::Refused(error) => (Class::Unavailable, Some(error.clone())),
        };
        Self { failure: about(Failure::new(class, fault.to_string())), server, explanation: None }
    }

    /// Whether the server refused the proof.
    #[must_use]
    pub fn is_auth_failure(&self) -> bool {
        self.server.as_ref().is_some_and(|error| LOGIN_REFUSED.contains(&error.code.as_str()))
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
