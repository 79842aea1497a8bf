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

use crate::credentials::wipe;

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
pub struct AuthToken(String);

impl AuthToken {
    /// The token itself, for the database's password field: never for showing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Drop for AuthToken {
    fn drop(&mut self) {
        wipe(&mut std::mem::take(&mut self.0).into_bytes());
    }
}

impl fmt::Debug for AuthToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthToken([redacted])")
    }
}

/// `HOST:PORT`, an IPv6 address in brackets.
fn write_address(out: &mut String, host: &str, port: u16) {
    let bracketed = host.contains(':');
    out.extend(bracketed.then_some("["));
    out.push_str(host);
    out.extend(bracketed.then_some("]"));
    out.extend([":", itoa(port, &mut [0; 5])]);
}

/// A port in decimal, without an allocation.
fn itoa(mut port: u16, digits: &mut [u8; 5]) -> &str {
    let mut first = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + u8::try_from(port % 10).unwrap_or(0);
        port /= 10;
        first = at;
        if port == 0 {
            break;
        }
    }
    digits.get(first..).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
