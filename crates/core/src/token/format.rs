//! Constants of tokens, and the types that minting and verifying share.

use std::fmt;
use std::time::Duration;

use crate::credentials::wipe;

/// The service that tokens are signed for.
pub const SERVICE: &str = "rds-db";

/// Lifetime of a minted token, and the maximum that a token may request.
pub const LIFETIME: Duration = Duration::from_secs(900);

/// Maximum time that the date of a token may be ahead of the verifier's clock. AWS services respond
/// "Signature not yet current" beyond five minutes.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// Maximum length of a token in bytes: that of a password in PostgreSQL.
pub const MAX_TOKEN: usize = 65_535;

/// A token, which is equivalent to a password for 15 minutes. It has a redacted `Debug`, no
/// `Display` and no `Serialize`, and is wiped from memory on drop.
pub struct AuthToken(pub(super) String);

impl AuthToken {
    /// Returns the token for the password field of the database. It must not be displayed.
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

/// Appends `HOST:PORT`, with an IPv6 address in brackets.
pub(super) fn write_address(out: &mut String, host: &str, port: u16) {
    let bracketed = host.contains(':');
    out.extend(bracketed.then_some("["));
    out.push_str(host);
    out.extend(bracketed.then_some("]"));
    out.extend([":", itoa(port, &mut [0; 5])]);
}

/// Formats a port in decimal without an allocation.
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
