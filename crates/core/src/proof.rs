//! Proofs of identity: a presigned `GetCallerIdentity`, as the password for a database of one's own.
//!
//! ```text
//! https://sts.REGION.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256
//!     &X-Amz-Credential=KEY%2FDAY%2FREGION%2Fsts%2Faws4_request&X-Amz-Date=…&X-Amz-Expires=900[&X-Amz-Security-Token=…]
//!     &X-Amz-SignedHeaders=host%3Bx-countersign-audience[%3Bx-countersign-user]&X-Amz-Signature=…
//! ```
//!
//! Only AWS knows the secret, so AWS is asked: the verifier sends the request, and STS answers who signed it. What the
//! client brings is never sent as it came: [`UnverifiedProof::request`] builds the request anew out of parts that it has
//! checked, and sets the two signed headers itself. If the proof was signed for another database, STS refuses.
//!
//! `x-countersign-audience` binds a proof to one database: whoever is shown it can't use it at another. An instance's name
//! will do where there is one authority; a name nobody else uses, such as the host's, where proofs may meet several.
//! `x-countersign-user` binds it to one database user too. It is the client's choice: the verifier always demands the
//! audience, and demands the user of a proof that was signed with one.

mod endpoint;
mod mint;
mod parse;

pub use endpoint::{StsEndpoint, TrustedSts};
pub use mint::{Proof, mint};
pub use parse::{StsRequest, UnverifiedProof};

use crate::name::{DbUser, InvalidName, checked_name};
use crate::sigv4::encode;

/// The signed header that names the database.
pub const AUDIENCE_HEADER: &str = "x-countersign-audience";

/// The signed header that names the database user, percent-encoded.
pub const USER_HEADER: &str = "x-countersign-user";

/// The longest proof that is read, in bytes. Others read 4096 at most; a session token of this authority carries the
/// session's policy and tags, and is longer than AWS's.
pub const MAX_PROOF: usize = 8192;

/// The service that proofs are signed for.
const SERVICE: &str = "sts";
const ACTION: &str = "GetCallerIdentity";
const VERSION: &str = "2011-06-15";

checked_name! {
    /// What a proof is for: 1 to 255 letters, digits and `.-_:/`, as the verifier has it configured, case and all.
    Audience, |text| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'/');
        if (1..=255).contains(&text.len()) && text.bytes().all(plain) {
            Ok(())
        } else {
            Err(InvalidName::new("the audience", "is not 1 to 255 letters, digits, dots, hyphens, underscores, colons or slashes"))
        }
    }
}

/// What a proof is bound to.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// The database.
    pub audience: &'a Audience,
    /// The database user: when minting, where it is to be bound; when verifying, the one who logs in.
    pub user: Option<&'a DbUser>,
}

impl Binding<'_> {
    /// The user as a header can carry it.
    fn user_value(&self) -> Option<String> {
        self.user.map(|user| {
            let mut value = String::new();
            encode::encode(&mut value, user.as_str());
            value
        })
    }
}

#[cfg(test)]
mod tests;
