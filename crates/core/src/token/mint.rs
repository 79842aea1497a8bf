//! Writing a token.

use std::time::SystemTime;

use zeroize::Zeroizing;

use super::{AuthToken, SERVICE};
use crate::credentials::{Credentials, Secret};
use crate::endpoint::Endpoint;
use crate::name::DbUser;
use crate::sigv4::{ALGORITHM, CanonicalHash, EMPTY_PAYLOAD, KeyCache, Scope, encode};
use crate::timestamp::AmzDate;

/// What of a token is neither host, user, key nor session token.
const FIXED: usize = 512;

/// The token with which `user` logs in at `endpoint`, dated `now`: the bytes that botocore's `generate_db_auth_token` gives.
/// As there, the host is printed as it was typed and signed in lower case, and port 443 is not signed.
#[must_use]
pub fn mint(credentials: &Credentials, endpoint: &Endpoint, user: &DbUser, keys: &KeyCache, now: SystemTime) -> AuthToken {
    let stamp = AmzDate::at(now).stamp();
    let scope = Scope { day: stamp.day(), region: endpoint.region.as_str(), service: SERVICE };
    let session = credentials.session_token.as_ref().map_or("", Secret::expose);
    let length = FIXED + endpoint.host.as_str().len() + 3 * (user.as_str().len() + session.len()) + credentials.access_key_id.as_str().len();
    // The capacity is the most that can be needed: a reallocation would leave a copy behind.
    let mut token = Zeroizing::new(String::with_capacity(length));
    write_address(&mut token, endpoint);
    token.push_str("/?");

    let signed_from = token.len();
    token.push_str("Action=connect&DBUser=");
    encode::encode(&mut token, user.as_str());
    token.extend(["&X-Amz-Algorithm=", ALGORITHM, "&X-Amz-Credential=", credentials.access_key_id.as_str()]);
    for part in [scope.day, scope.region, scope.service, "aws4_request"] {
        token.extend(["%2F", part]);
    }
    token.extend(["&X-Amz-Date=", stamp.as_str(), "&X-Amz-Expires=900"]);
    let mut hash = CanonicalHash::default();
    hash.update("GET\n/\n");
    hash.update(token.get(signed_from..).unwrap_or_default());

    // Sorted, the session token comes before the signed headers; botocore prints it after them.
    token.push_str("&X-Amz-SignedHeaders=host");
    if !session.is_empty() {
        let session_from = token.len();
        token.push_str("&X-Amz-Security-Token=");
        encode::encode(&mut token, session);
        hash.update(token.get(session_from..).unwrap_or_default());
    }
    hash.update("&X-Amz-SignedHeaders=host\nhost:");
    hash_host(&mut hash, endpoint);
    hash.update("\n\nhost\n");
    hash.update(EMPTY_PAYLOAD);

    let key = keys.key(credentials.access_key_id.as_str(), &credentials.secret, &scope);
    token.push_str("&X-Amz-Signature=");
    key.sign(stamp.as_str(), &scope, hash).write_to(&mut token);
    AuthToken(token)
}

/// `HOST:PORT`, an IPv6 address in brackets.
fn write_address(out: &mut String, endpoint: &Endpoint) {
    let host = endpoint.host.as_str();
    let bracketed = host.contains(':');
    out.extend(bracketed.then_some("["));
    out.push_str(host);
    out.extend(bracketed.then_some("]"));
    out.extend([":", itoa(endpoint.port, &mut [0; 5])]);
}

/// The signed host: lower case, the port left out where it is that of https.
fn hash_host(hash: &mut CanonicalHash, endpoint: &Endpoint) {
    let mut host = String::with_capacity(endpoint.host.as_str().len() + 8);
    write_address(&mut host, endpoint);
    host.make_ascii_lowercase();
    let signed = if endpoint.port == 443 { host.strip_suffix(":443").unwrap_or(&host) } else { &host };
    hash.update(signed);
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
