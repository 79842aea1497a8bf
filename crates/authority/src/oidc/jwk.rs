//! JSON Web Keys (RFC 7517): public keys that verify an issuer's tokens.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::object;

/// Maximum size in bytes of a key document.
pub const MAX_DOCUMENT: usize = 256 * 1024;

/// Maximum number of keys of an issuer. AWS accepts 100 RSA and 100 EC keys.
pub const MAX_KEYS: usize = 200;

/// Maximum length in bytes of a key id.
pub const MAX_KEY_ID: usize = 1024;

/// Supported signature algorithms. `none` and those with a shared secret (`HS256`, …) are not among
/// them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256; keys of at least 2048 bits.
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    Es256,
}

impl Algorithm {
    /// Returns the algorithm with this name in RFC 7518, section 3.1.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// Public key with the one algorithm that it verifies, which a token cannot change.
pub struct Jwk {
    id: String,
    algorithm: Algorithm,
    key: ParsedPublicKey,
}

impl Jwk {
    /// Reads a key. Returns `None` for keys that RFC 7517, section 5, tells to ignore: of another
    /// type, use or algorithm, with missing or invalid members, out of range. Keys without an id
    /// are ignored too, because no token can select them.
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

    /// Returns the `kid`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the algorithm.
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

/// RFC 7518, section 6.3.1: both numbers are big-endian without leading zeros.
fn rsa(modulus: &str, exponent: &str) -> Option<ParsedPublicKey> {
    let n = URL_SAFE_NO_PAD.decode(modulus).ok()?;
    let e = URL_SAFE_NO_PAD.decode(exponent).ok()?;
    let bits = 8 * n.len() - usize::try_from(n.first()?.leading_zeros()).ok()?;
    // The library accepts an exponent of 1, with which any signature could be forged.
    let exponent = e.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    let sound = e.len() <= 4 && exponent >= 3 && exponent % 2 == 1;
    if !(2048..=8192).contains(&bits) || !sound {
        return None;
    }
    RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()
}

/// RFC 7518, section 6.2.1: both coordinates have 32 bytes. The library rejects a point that is not
/// on the curve.
fn p256(x: &str, y: &str) -> Option<ParsedPublicKey> {
    let coordinate =
        |text: &str| URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == 32);
    let point = [&[4][..], &*coordinate(x)?, &*coordinate(y)?].concat();
    ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()
}

/// JWK set: the keys of an issuer.
#[derive(Debug)]
pub struct Jwks(Vec<Jwk>);

/// The document is not a JWK set within the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot read the issuer's keys: the document is not a JWK set of at most {MAX_KEYS} keys and \
     {MAX_DOCUMENT} bytes"
)]
pub struct InvalidJwks;

impl Jwks {
    /// Parses a JWK set. Unusable keys are ignored, so the result may be empty.
    ///
    /// # Errors
    /// [`InvalidJwks`] if the document is not JSON, has a duplicate key, no `keys` or an element
    /// that is not an object, or exceeds a limit.
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

    /// Returns the usable keys.
    #[must_use]
    pub fn keys(&self) -> &[Jwk] {
        &self.0
    }

    /// Returns true if a key has this id.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.with_id(id).next().is_some()
    }

    /// Returns the keys with this id. RFC 7517, section 4.5, lets several keys of different types
    /// share an id.
    pub(super) fn with_id(&self, id: &str) -> impl Iterator<Item = &Jwk> {
        self.0.iter().filter(move |key| key.id == id)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::string_slice, reason = "the texts of these tests are ASCII")]

    use serde_json::{Value, json};

    use super::{Algorithm, InvalidJwks, Jwks, MAX_DOCUMENT, MAX_KEYS};

    /// RFC 7515, appendices A.2 and A.3.
    const MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
    const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

    fn rsa() -> Value {
        json!({ "kty": "RSA", "kid": "rsa", "n": MODULUS, "e": "AQAB" })
    }

    fn ec() -> Value {
        json!({ "kty": "EC", "crv": "P-256", "kid": "ec", "x": X, "y": Y })
    }

    fn with(mut key: Value, name: &str, value: impl Into<Value>) -> Value {
        key[name] = value.into();
        key
    }

    fn without(mut key: Value, name: &str) -> Value {
        key.as_object_mut().unwrap().remove(name);
        key
    }

    fn set(keys: &[Value]) -> Result<Jwks, InvalidJwks> {
        Jwks::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn rsa_and_ec_keys_are_read() {
        let keys = set(&[
            with(rsa(), "use", "sig"),
            with(with(ec(), "alg", "ES256"), "key_ops", json!(["verify"])),
        ])
        .unwrap();
        let found: Vec<_> = keys.keys().iter().map(|key| (key.id(), key.algorithm())).collect();
        assert_eq!(found, [("rsa", Algorithm::Rs256), ("ec", Algorithm::Es256)]);
        assert!(keys.has("ec") && !keys.has("other"));
    }

    #[test]
    fn unusable_keys_are_ignored() {
        let short = &MODULUS[..172];
        let off_curve = with(ec(), "y", X);
        for key in [
            json!({}),
            json!({ "kty": "oct", "kid": "rsa", "k": "AAAA" }),
            json!({ "kty": "OKP", "crv": "Ed25519", "kid": "okp", "x": X }),
            without(rsa(), "kid"),
            without(rsa(), "n"),
            without(ec(), "y"),
            without(rsa(), "kty"),
            with(rsa(), "kid", ""),
            with(rsa(), "kid", 1),
            with(rsa(), "kid", "x".repeat(1025)),
            with(rsa(), "n", short),
            with(rsa(), "n", format!("{MODULUS}=")),
            with(rsa(), "n", format!("AA{}", &MODULUS[2..])),
            with(rsa(), "n", "A".repeat(20_000)),
            with(rsa(), "e", "AA"),
            with(rsa(), "e", "AQ"),
            with(rsa(), "e", "AQAA"),
            with(rsa(), "e", "AQABAQAB"),
            with(rsa(), "e", ""),
            with(rsa(), "use", "enc"),
            with(rsa(), "use", Value::Null),
            with(rsa(), "key_ops", json!(["encrypt"])),
            with(rsa(), "key_ops", "verify"),
            with(rsa(), "alg", "ES256"),
            with(rsa(), "alg", "RS512"),
            with(rsa(), "alg", "none"),
            with(ec(), "alg", "RS256"),
            with(ec(), "crv", "P-384"),
            with(ec(), "crv", "secp256k1"),
            with(ec(), "x", "AA"),
            with(ec(), "x", format!("{X}=")),
            off_curve,
        ] {
            let keys = set(&[key.clone(), rsa()]).unwrap();
            assert_eq!(keys.keys().len(), 1, "{key}");
        }
    }

    #[test]
    fn documents_that_are_not_a_set_are_rejected() {
        let duplicate = r#"{"keys": [], "keys": []}"#;
        let inner = r#"{"keys": [{"kty": "RSA", "kid": "a", "kid": "b"}]}"#;
        for text in ["", "{}", "[]", r#"{"keys": {}}"#, r#"{"keys": [1]}"#, duplicate, inner] {
            assert_eq!(Jwks::parse(text.as_bytes()).err(), Some(InvalidJwks), "{text}");
        }
        assert!(set(&vec![ec(); MAX_KEYS]).is_ok());
        assert!(set(&vec![ec(); MAX_KEYS + 1]).is_err());
        let long = format!("{}{}", json!({ "keys": [] }), " ".repeat(MAX_DOCUMENT));
        assert!(Jwks::parse(long.as_bytes()).is_err());
    }
}
