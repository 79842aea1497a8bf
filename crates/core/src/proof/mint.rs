//! Minting of proofs.

use std::fmt;
use std::time::SystemTime;

use zeroize::Zeroizing;

use super::endpoint::StsEndpoint;
use super::format::{ACTION, AUDIENCE_HEADER, Binding, SERVICE, USER_HEADER, VERSION};
use crate::credentials::Credentials;
use crate::region::Region;
use crate::sigv4::{Identity, Normalization, Payload, Request, Signer};
use crate::token::LIFETIME;

/// A proof, which is equivalent to a password for 15 minutes. It has a redacted `Debug`, no
/// `Display` and no `Serialize`, and is wiped from memory on drop.
pub struct Proof(Zeroizing<String>);

impl Proof {
    /// Returns the proof for the password field of the database. It must not be displayed.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof([redacted])")
    }
}

/// Mints a proof of the identity of `credentials`, dated `now`, for STS at `endpoint`.
#[must_use]
pub fn mint(
    credentials: &Credentials,
    endpoint: &StsEndpoint,
    region: &Region,
    binding: Binding<'_>,
    now: SystemTime,
) -> Proof {
    let user = binding.user_value();
    let mut headers =
        vec![("host", endpoint.authority()), (AUDIENCE_HEADER, binding.audience.as_str())];
    headers.extend(user.as_deref().map(|user| (USER_HEADER, user)));
    let query = format!("Action={ACTION}&Version={VERSION}");
    let request = Request {
        method: "GET",
        path: "/",
        query: &query,
        headers: &headers,
        payload: Payload::Empty,
    };
    let identity = Identity::Whole(credentials);
    let signer = Signer {
        identity,
        region: region.as_str(),
        service: SERVICE,
        normalization: Normalization::Rfc3986,
        now,
    };
    // The query is a constant without escapes, so signing does not fail.
    let signed = Zeroizing::new(signer.sign_by_query(&request, LIFETIME).unwrap_or_default());
    Proof(Zeroizing::new([&endpoint.to_string(), "/?", &signed].concat()))
}
