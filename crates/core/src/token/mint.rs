//! Minting of tokens.

use std::borrow::Cow;
use std::time::SystemTime;

use super::format::{AuthToken, SERVICE, write_address};
use crate::credentials::{Credentials, Secret};
use crate::endpoint::Endpoint;
use crate::name::DbUser;
use crate::sigv4::{CanonicalHash, EMPTY_PAYLOAD, KeyCache, Scope, encode};
use crate::timestamp::AmzDate;

/// Upper bound of the length of a token without host, user, key and session token.
const FIXED: usize = 512;

/// Mints the token with which `user` logs in at `endpoint`, dated `now`. The result is identical to
/// that of botocore's `generate_db_auth_token`: the host is written as it was typed and signed in
/// lower case, and port 443 is not signed.
#[must_use]
pub fn mint(
    credentials: &Credentials,
    endpoint: &Endpoint,
    user: &DbUser,
    keys: &KeyCache,
    now: SystemTime,
) -> AuthToken {
    let stamp = AmzDate::at(now).stamp();
    let date = stamp.as_str();
    let scope = Scope { day: stamp.day(), region: endpoint.region.as_str(), service: SERVICE };
    let session = credentials.session_token.as_ref().map_or("", Secret::expose);
    let length = FIXED
        + endpoint.host.as_str().len()
        + 3 * (user.as_str().len() + session.len())
        + credentials.access_key_id.as_str().len();
    // The capacity is an upper bound: a reallocation would leave a copy in memory.
    let mut whole = AuthToken(String::with_capacity(length));
    let token = &mut whole.0;
    write_address(token, endpoint.host.as_str(), endpoint.port);
    let address = token.len();
    token.push_str("/?");

    let signed_from = token.len();
    token.push_str("Action=connect&DBUser=");
    encode::encode(token, user.as_str());
    token.extend([
        "&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=",
        credentials.access_key_id.as_str(),
    ]);
    token.extend([
        "%2F",
        scope.day,
        "%2F",
        scope.region,
        "%2Frds-db%2Faws4_request&X-Amz-Date=",
        date,
        "&X-Amz-Expires=900",
    ]);
    let mut hash = CanonicalHash::default();
    hash.update("GET\n/\n");
    hash.update(token.get(signed_from..).unwrap_or_default());

    // The session token sorts before the signed headers; botocore writes it after them.
    token.push_str("&X-Amz-SignedHeaders=host");
    if !session.is_empty() {
        let session_from = token.len();
        token.push_str("&X-Amz-Security-Token=");
        encode::encode(token, session);
        hash.update(token.get(session_from..).unwrap_or_default());
    }
    let printed = token.get(..address).unwrap_or_default();
    let host = if endpoint.port == 443 {
        printed.strip_suffix(":443").unwrap_or(printed)
    } else {
        printed
    };
    let upper = host.bytes().fold(false, |upper, byte| upper | byte.is_ascii_uppercase());
    let host = if upper { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) };
    for part in ["&X-Amz-SignedHeaders=host\nhost:", &*host, "\n\nhost\n", EMPTY_PAYLOAD] {
        hash.update(part);
    }

    let key = keys.key(credentials.access_key_id.as_str(), &credentials.secret, &scope);
    token.push_str("&X-Amz-Signature=");
    key.sign(date, &scope, hash).write_to(token);
    whole
}
