//! Making a proof.

use std::fmt;
use std::time::SystemTime;

use zeroize::Zeroizing;

use super::{ACTION, AUDIENCE_HEADER, Binding, SERVICE, StsEndpoint, USER_HEADER, VERSION};
use crate::credentials::Credentials;
use crate::region::Region;
use crate::sigv4::{Identity, Normalization, Payload, Request, Signer};
use crate::token::LIFETIME;

/// A proof: as good as a password for fifteen minutes, so nothing shows it. `Debug` is redacted, there is no `Display`
/// and no `Serialize`, and the memory is wiped on drop.
pub struct Proof(Zeroizing<String>);

impl Proof {
    /// The proof itself, for the database's password field: never for showing.
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

/// A proof of who holds `credentials`, dated `now`, that STS at `endpoint` will confirm.
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
    // The query is our own: no escape in it is broken.
    let signed = Zeroizing::new(signer.sign_by_query(&request, LIFETIME).unwrap_or_default());
    Proof(Zeroizing::new([&endpoint.to_string(), "/?", &signed].concat()))
}
