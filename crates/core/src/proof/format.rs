//! Constants of proofs, and the types that minting and verifying share.

use crate::name::{DbUser, InvalidName, checked_name};
use crate::sigv4::encode;

/// The signed header that names the database.
pub const AUDIENCE_HEADER: &str = "x-countersign-audience";

/// The signed header that names the database user, percent-encoded.
pub const USER_HEADER: &str = "x-countersign-user";

/// Maximum length of a proof in bytes. Similar verifiers read at most 4096; a session token of this
/// authority contains the session's policy and tags, and is longer than those of AWS.
pub const MAX_PROOF: usize = 8192;

/// The service that proofs are signed for.
pub(super) const SERVICE: &str = "sts";
pub(super) const ACTION: &str = "GetCallerIdentity";
pub(super) const VERSION: &str = "2011-06-15";

checked_name! {
    /// Audience of a proof, as configured at the verifier: 1 to 255 letters, digits and `.-_:/`,
    /// case-sensitive.
    Audience, |text| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:/".contains(&byte);
        if (1..=255).contains(&text.len()) && text.bytes().all(plain) {
            Ok(())
        } else {
            let problem = "is not 1 to 255 letters, digits, dots, hyphens, underscores, colons or \
                           slashes";
            Err(InvalidName::new("the audience", problem))
        }
    }
}

/// The database and user that a proof is bound to.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// The database.
    pub audience: &'a Audience,
    /// The database user: the one to bind when minting, the one that logs in when verifying.
    pub user: Option<&'a DbUser>,
}

impl Binding<'_> {
    /// The user encoded for a header.
    pub(super) fn user_value(&self) -> Option<String> {
        self.user.map(|user| {
            let mut value = String::new();
            encode::encode(&mut value, user.as_str());
            value
        })
    }
}
