//! Credential scope, and the constants of the algorithm.

use std::fmt;

/// The signing algorithm.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// SHA-256 of the empty string in hexadecimal: the payload hash of every token.
pub const EMPTY_PAYLOAD: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The last part of every credential scope.
pub(super) const TERMINATOR: &str = "aws4_request";

/// The credential scope of a signature: `DAY/REGION/SERVICE/aws4_request`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a> {
    /// The day as eight digits.
    pub day: &'a str,
    /// The region; `us-east-1` for global services.
    pub region: &'a str,
    /// The service: `rds-db` for tokens; `sts`, `iam` or `rds` for API requests.
    pub service: &'a str,
}

impl<'a> Scope<'a> {
    /// Parses `DAY/REGION/SERVICE/aws4_request`.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split('/');
        let scope = Self { day: parts.next()?, region: parts.next()?, service: parts.next()? };
        let closed = parts.next() == Some(TERMINATOR) && parts.next().is_none();
        (closed && scope.day.len() == 8 && !scope.region.is_empty() && !scope.service.is_empty())
            .then_some(scope)
    }
}

impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{TERMINATOR}", self.day, self.region, self.service)
    }
}
