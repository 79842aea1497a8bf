//! JSON Web Keys (RFC 7517): the public keys that an issuer signs with.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::object;

/// The longest document that is read, in bytes.
pub const MAX_DOCUMENT: usize = 256 * 1024;

/// The most keys that an issuer may have. AWS takes 100 RSA and 100 EC keys.
pub const MAX_KEYS: usize = 200;

/// The longest id of a key, in bytes.
pub const MAX_KEY_ID: usize = 1024;

/// How a token may be signed. `none` and the algorithms with a shared secret (`HS256`, …) have no name here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256, keys of 2048 bits and more.
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
}

impl Algorithm {
    /// The algorithm of that name in RFC 7518, section 3.1.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// A public key, with the one algorithm that it is for: a token can't choose another.
pub struct Jwk {
    id: String,
    algorithm: Algorithm,
    key: ParsedPublicKey,
}

impl Jwk {
    /// `None` for keys that RFC 7517, section 5, says to pass over: of another type, use or algorithm, with missing or bad
    /// members, out of range. One without an id is never chosen, so it is passed over too.
    fn read(members: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        let id = text("kid").filter(|id| !id.is_empty() && id.len() <= MAX_KEY_ID)?;
        if members.contains_key("use") && text("use") != Some("sig") {
            return None;
        }
        if members.get("key_ops").is_some_and(|uses| {
            !uses.as_array().is_some_and(|uses| uses.iter().any(|one| one == "verify"))
        }) {
            return None;
        }
        let (algorithm, key) = match text("kty")? {
            "RSA" => (Algorithm::Rs256, rsa(text("n")?, text("e")?)?),
            "EC" if text("crv") == Some("P-256") => {
                (Algorithm::Es256, p256(text("x")?, text("y")?)?)
            }
            _ => return None,
        };
        let fits = !members.contains_key("alg")
            || text("alg").and_then(Algorithm::named) == Some(algorithm);
        fits.then(|| Self { id: id.to_owned(), algorithm, key })
    }

    /// Its `kid`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it verifies.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }
}

impl fmt::Debug for Jwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwk")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// RFC 7518, section 6.3.1: both numbers big-endian, without leading zeros.
fn rsa(modulus: &str, exponent: &str) -> Option<ParsedPublicKey> {
    let n = URL_SAFE_NO_PAD.decode(modulus).ok()?;
    let e = URL_SAFE_NO_PAD.decode(exponent).ok()?;
    let bits = 8 * n.len() - usize::try_from(n.first()?.leading_zeros()).ok()?;
    // The library takes an exponent of 1, under which anybody can sign.
    let exponent = e.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    let sound = e.len() <= 4 && exponent >= 3 && exponent % 2 == 1;
    if !(2048..=8192).contains(&bits) || !sound {
        return None;
    }
    RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()
}

/// RFC 7518, section 6.2.1: both coordinates 32 bytes. A point that isn't on the curve is refused.
fn p256(x: &str, y: &str) -> Option<ParsedPublicKey> {
    let coordinate =
        |text: &str| URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == 32);
    let point = [&[4][..], &*coordinate(x)?, &*coordinate(y)?].concat();
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()
}

/// An issuer's keys.
#[derive(Debug)]
pub struct Jwks(Vec<Jwk>);

/// Why a set of keys was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the issuer's key document is not a JWK set of at most {MAX_KEYS} keys and {MAX_DOCUMENT} bytes"
)]
pub struct InvalidJwks;

impl Jwks {
    /// Reads a JWK set. Keys that can't be used are passed over, so a set may turn out empty.
    ///
    /// # Errors
    /// Where it is no set: not JSON, a key of the JSON twice, no `keys`, an element that is no object; and where it is too
    /// large.
    pub fn parse(text: &[u8]) -> Result<Self, InvalidJwks> {
        let document =
            (text.len() <= MAX_DOCUMENT).then(|| object(text)).flatten().ok_or(InvalidJwks)?;
        let keys = document
            .get("keys")
            .and_then(Value::as_array)
            .filter(|keys| keys.len() <= MAX_KEYS)
            .ok_or(InvalidJwks)?;
        let members: Option<Vec<_>> = keys.iter().map(Value::as_object).collect();
        Ok(Self(members.ok_or(InvalidJwks)?.into_iter().filter_map(Jwk::read).collect()))
    }

    /// The usable keys.
    #[must_use]
    pub fn keys(&self) -> &[Jwk] {
        &self.0
    }

    /// Whether a key has this id.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.with_id(id).next().is_some()
    }

    /// The keys with this id. RFC 7517, section 4.5, lets several of different types share one.
    pub(super) fn with_id(&self, id: &str) -> impl Iterator<Item = &Jwk> {
        self.0.iter().filter(move |key| key.id == id)
    }
}

#[cfg(test)]
mod tests;
