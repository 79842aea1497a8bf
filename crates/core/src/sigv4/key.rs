//! Signing keys: derived from a secret for one day, region and service, and kept for that day.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::keyed::Keyed;
use super::{TERMINATOR, encode};
use crate::credentials::{Secret, same};

/// What a signature is good for: `DAY/REGION/SERVICE/aws4_request`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a> {
    /// Eight digits.
    pub day: &'a str,
    /// A region; `us-east-1` for global services.
    pub region: &'a str,
    /// `rds-db` for tokens, `sts`, `iam`, `rds` for API requests.
    pub service: &'a str,
}

impl<'a> Scope<'a> {
    /// Reads `DAY/REGION/SERVICE/aws4_request`.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split('/');
        let scope = Self { day: parts.next()?, region: parts.next()?, service: parts.next()? };
        let closed = parts.next() == Some(TERMINATOR) && parts.next().is_none();
        (closed && scope.day.len() == 8 && !scope.region.is_empty() && !scope.service.is_empty())
            .then_some(scope)
    }
}

impl fmt::Display for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{TERMINATOR}", self.day, self.region, self.service)
    }
}

/// A derived key: with it, requests of one day, region and service can be signed and checked.
#[derive(Clone)]
pub struct SigningKey(Keyed);

impl SigningKey {
    /// Four HMACs deep, as the specification derives it.
    #[must_use]
    pub fn derive(secret: &Secret, scope: &Scope<'_>) -> Self {
        let first = Zeroizing::new(["AWS4", secret.expose()].concat());
        let day = digest(mac(first.as_bytes()), &[scope.day]);
        let region = digest(mac(&*day), &[scope.region]);
        let service = digest(mac(&*region), &[scope.service]);
        let key = digest(mac(&*service), &[TERMINATOR]);
        Self(Keyed::new(&key))
    }

    /// Signs the canonical request whose SHA-256 is `canonical`.
    #[must_use]
    pub fn sign(&self, stamp: &str, scope: &Scope<'_>, canonical: CanonicalHash) -> Signature {
        let mut text = Vec::with_capacity(256);
        for part in [
            "AWS4-HMAC-SHA256\n",
            stamp,
            "\n",
            scope.day,
            "/",
            scope.region,
            "/",
            scope.service,
            "/aws4_request\n",
        ] {
            text.extend_from_slice(part.as_bytes());
        }
        text.extend_from_slice(&encode::hex32(&canonical.0.finalize().into()));
        Signature(self.0.authenticate(text))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey([redacted])")
    }
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"))
}

fn digest(mut mac: Hmac<Sha256>, parts: &[&str]) -> Zeroizing<[u8; 32]> {
    for part in parts {
        mac.update(part.as_bytes());
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// The SHA-256 of a canonical request, built up piece by piece.
#[derive(Debug, Clone, Default)]
pub struct CanonicalHash(Sha256);

impl CanonicalHash {
    pub(crate) fn update(&mut self, part: &str) {
        self.0.update(part.as_bytes());
    }
}

/// The 32 bytes that prove possession of the secret. Two are compared in constant time.
#[derive(Clone, Copy)]
pub struct Signature([u8; 32]);

impl Signature {
    /// Reads 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        encode::unhex(text).map(Self)
    }

    /// Appends the 64 digits.
    pub fn write_to(&self, out: &mut String) {
        encode::push_hex(out, &self.0);
    }

    /// Whether both are the same, in constant time.
    #[must_use]
    pub fn ct_eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature([redacted])")
    }
}

/// How many derived keys are kept; beyond it the cache starts anew, which costs four HMACs a key.
const MAX_KEYS: usize = 4096;

/// Derived keys, so that each is derived once a day, region, service and secret. A client has one or two, which are found
/// sooner in order than by a hash.
#[derive(Debug, Default)]
pub struct KeyCache(Mutex<BTreeMap<Box<str>, Derived>>);

#[derive(Debug)]
struct Derived {
    secret: Secret,
    scope: [Box<str>; 3],
    key: Arc<SigningKey>,
}

impl Derived {
    fn serves(&self, secret: &Secret, scope: &Scope<'_>) -> bool {
        self.scope.iter().map(|part| &**part).eq([scope.day, scope.region, scope.service])
            && self.secret.ct_eq(secret.expose())
    }
}

impl KeyCache {
    /// The key of `secret` for `scope`; `id` is the access key's id, under which the last scope used is kept.
    #[must_use]
    pub fn key(&self, id: &str, secret: &Secret, scope: &Scope<'_>) -> Arc<SigningKey> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(derived) = keys.get(id).filter(|derived| derived.serves(secret, scope)) {
            return Arc::clone(&derived.key);
        }
        let key = Arc::new(SigningKey::derive(secret, scope));
        if keys.len() >= MAX_KEYS {
            keys.clear();
        }
        let scope = [scope.day, scope.region, scope.service].map(Box::from);
        keys.insert(id.into(), Derived { secret: secret.clone(), scope, key: Arc::clone(&key) });
        key
    }
}
