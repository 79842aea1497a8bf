//! RDS IAM authentication tokens: a presigned request for `rds-db`, `connect`, good for fifteen minutes.
//!
//! ```text
//! HOST:PORT/?Action=connect&DBUser=USER&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=KEY%2FDAY%2FREGION%2Frds-db%2Faws4_request
//!     &X-Amz-Date=…&X-Amz-Expires=900&X-Amz-SignedHeaders=host[&X-Amz-Security-Token=…]&X-Amz-Signature=…
//! ```
//!
//! [`mint`] writes it as botocore does, byte for byte. [`UnverifiedToken::parse`] reads what any SDK writes; the way from
//! there to a [`VerifiedToken`] leads through [`UnverifiedToken::addressed_to`] and [`AddressedToken::verify`] only.

mod mint;
mod parse;
mod verify;

pub use mint::mint;
pub use parse::UnverifiedToken;
pub use verify::{AddressedToken, KeyStatus, VerifiedToken};

use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

/// The service that tokens are signed for.
pub const SERVICE: &str = "rds-db";

/// How long a token is good for, and the most that one may ask for.
pub const LIFETIME: Duration = Duration::from_secs(900);

/// How far ahead of the verifier's clock a token may be dated. AWS's services answer "Signature not yet current" beyond five minutes.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// The longest token that is read, in bytes: what PostgreSQL takes as a password.
pub const MAX_TOKEN: usize = 65_535;

/// A token: as good as a password for fifteen minutes, so nothing shows it. `Debug` is redacted, there is no `Display`
/// and no `Serialize`, and the memory is wiped on drop.
pub struct AuthToken(Zeroizing<String>);

impl AuthToken {
    /// The token itself, for the database's password field: never for showing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AuthToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthToken([redacted])")
    }
}

#[cfg(test)]
mod tests;
