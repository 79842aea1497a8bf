//! Signing keys, derived from a secret for one day, region and service, and their cache.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::encode;
use super::precomputed_hmac::PrecomputedHmac;
use super::scope::{Scope, TERMINATOR};
use crate::credentials::{Secret, bytes_ct_eq};

/// A derived key. It signs and verifies requests of one day, region and service.
#[derive(Clone)]
pub struct SigningKey(PrecomputedHmac);

impl SigningKey {
    /// Derives the key with the four HMACs of the specification.
    #[must_use]
    pub fn derive(secret: &Secret, scope: &Scope<'_>) -> Self {
        let first = Zeroizing::new(["AWS4", secret.expose()].concat());
        let day = digest(mac(first.as_bytes()), &[scope.day]);
        let region = digest(mac(&*day), &[scope.region]);
        let service = digest(mac(&*region), &[scope.service]);
        let key = digest(mac(&*service), &[TERMINATOR]);
        Self(PrecomputedHmac::new(&key))
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

/// Incremental SHA-256 of a canonical request.
#[derive(Debug, Clone, Default)]
pub struct CanonicalHash(Sha256);

impl CanonicalHash {
    pub(crate) fn update(&mut self, part: &str) {
        self.0.update(part.as_bytes());
    }
}

/// A signature of 32 bytes. It is compared in constant time.
#[derive(Clone, Copy)]
pub struct Signature([u8; 32]);

impl Signature {
    /// Parses 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        encode::unhex(text).map(Self)
    }

    /// Appends the 64 digits.
    pub fn write_to(&self, out: &mut String) {
        encode::push_hex(out, &self.0);
    }

    /// Returns true if both are equal, in constant time.
    #[must_use]
    pub fn ct_eq(&self, other: &Self) -> bool {
        bytes_ct_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signature([redacted])")
    }
}

/// Maximum number of cached keys. A full cache is cleared; each key then costs four HMACs again.
const MAX_KEYS: usize = 4096;

/// Cache of derived keys, so that each is derived once per day, region, service and secret. A
/// client has one or two, for which an ordered map is faster than a hash map.
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
    /// Returns the key of `secret` for `scope`. The cache keeps the last scope of each access key
    /// ID `id`.
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
