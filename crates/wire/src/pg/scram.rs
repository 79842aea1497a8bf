//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677) with PostgreSQL's restrictions: the
//! user name in SCRAM messages is empty, and the only channel binding is `tls-server-end-point`.
//!
//! Own code because `postgres-protocol` implements the client side only, and accepts any number of
//! iterations.

pub(super) mod client;
pub(super) mod server;

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_core::credentials::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Name of the mechanism without channel binding.
pub(super) const SCRAM_SHA_256: &str = "SCRAM-SHA-256";

/// Name of the mechanism with channel binding.
pub(super) const SCRAM_SHA_256_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// GS2 header of a client that binds to its channel (RFC 5802, section 7).
const BOUND_HEADER: &str = "p=tls-server-end-point,,";

/// PostgreSQL's default number of iterations (`SCRAM_SHA_256_DEFAULT_ITERATIONS`).
const ITERATIONS: u32 = 4096;

/// Maximum number of iterations that a server may request: the client computes each of them.
pub const MAX_ITERATIONS: u32 = 1_000_000;

/// Length of a verifier's salt, in bytes (`SCRAM_DEFAULT_SALT_LEN`).
const SALT_LEN: usize = 16;

/// Length of a nonce before base64 encoding, in bytes (`SCRAM_RAW_NONCE_LEN`).
const NONCE_LEN: usize = 18;

/// Output length of SHA-256, in bytes.
const HASH_LEN: usize = 32;

/// Block length of SHA-256, in bytes. HMAC pads or hashes its key to this length (RFC 2104).
const BLOCK_LEN: usize = 64;

type Key = Zeroizing<[u8; HASH_LEN]>;

/// Salted hash of a password, which verifies SCRAM proofs. One verifier serves any number of
/// logins.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ScramVerifier {
    salt: Vec<u8>,
    iterations: u32,
    stored_key: [u8; HASH_LEN],
    server_key: [u8; HASH_LEN],
}

impl ScramVerifier {
    /// Derives a verifier from a password, with a random salt and PostgreSQL's default of 4,096
    /// iterations.
    ///
    /// # Errors
    /// If the operating system provides no random numbers for the salt.
    pub fn new(password: &Secret) -> Result<Self, getrandom::Error> {
        let mut salt = [0; SALT_LEN];
        getrandom::fill(&mut salt)?;
        Ok(Self::with_salt(password, &salt, ITERATIONS))
    }

    pub(super) fn with_salt(password: &Secret, salt: &[u8], iterations: u32) -> Self {
        let keys = Keys::new(password, salt, iterations);
        Self {
            salt: salt.to_vec(),
            iterations,
            stored_key: keys.stored_key(),
            server_key: *keys.server_key,
        }
    }

    /// Returns `SCRAM-SHA-256$iterations:salt$stored_key:server_key`, the form that PostgreSQL
    /// keeps in `pg_authid.rolpassword` and accepts in `CREATE ROLE … PASSWORD`.
    ///
    /// ```
    /// use countersign_core::credentials::Secret;
    /// use countersign_wire::pg::scram::ScramVerifier;
    ///
    /// let password = Secret::new("pencil").ok_or("empty")?;
    /// assert!(ScramVerifier::new(&password)?.encode().starts_with("SCRAM-SHA-256$4096:"));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn encode(&self) -> String {
        format!(
            "{SCRAM_SHA_256}${}:{}${}:{}",
            self.iterations,
            STANDARD.encode(&self.salt),
            STANDARD.encode(self.stored_key),
            STANDARD.encode(self.server_key)
        )
    }
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramVerifier")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// Keys derived from a password and a salt (RFC 5802, section 3).
struct Keys {
    client_key: Key,
    server_key: Key,
}

impl Keys {
    fn new(password: &Secret, salt: &[u8], iterations: u32) -> Self {
        let prepared = Zeroizing::new(prepare(password.expose()).into_owned());
        let keyed = keyed(prepared.as_bytes());
        let round = |message: &[&[u8]]| Zeroizing::new(finish(keyed.clone(), message));
        let mut block = round(&[salt, &1_u32.to_be_bytes()]);
        let mut salted = block.clone();
        for _ in 1..iterations {
            block = round(&[&*block]);
            salted.iter_mut().zip(block.iter()).for_each(|(sum, byte)| *sum ^= byte);
        }
        Self {
            client_key: Zeroizing::new(mac(&*salted, b"Client Key")),
            server_key: Zeroizing::new(mac(&*salted, b"Server Key")),
        }
    }

    fn stored_key(&self) -> [u8; HASH_LEN] {
        Sha256::digest(*self.client_key).into()
    }
}

/// Applies `SASLprep` (RFC 4013). If that fails or leaves nothing, returns the password unchanged,
/// as PostgreSQL and libpq do.
fn prepare(password: &str) -> Cow<'_, str> {
    stringprep::saslprep(password)
        .ok()
        .filter(|prepared| !prepared.is_empty())
        .unwrap_or(Cow::Borrowed(password))
}

/// Returns HMAC-SHA-256 with its key set.
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0; BLOCK_LEN]);
    let hashed = Zeroizing::new(<[u8; HASH_LEN]>::from(Sha256::digest(key)));
    let fitting = if key.len() > BLOCK_LEN { hashed.as_slice() } else { key };
    block.iter_mut().zip(fitting).for_each(|(byte, given)| *byte = *given);
    Hmac::new(&(*block).into())
}

fn finish(mut keyed: Hmac<Sha256>, message: &[&[u8]]) -> [u8; HASH_LEN] {
    message.iter().for_each(|part| keyed.update(part));
    keyed.finalize().into_bytes().into()
}

fn mac(key: &[u8], message: &[u8]) -> [u8; HASH_LEN] {
    finish(keyed(key), &[message])
}

/// Returns a random nonce in base64, which is printable and contains no comma.
pub(super) fn nonce() -> Result<String, getrandom::Error> {
    let mut raw = [0; NONCE_LEN];
    getrandom::fill(&mut raw)?;
    Ok(STANDARD.encode(raw))
}

/// Splits `name=value,rest` into value and rest. Returns `None` if the first attribute has another
/// name.
fn attribute(text: &str, name: char) -> Option<(&str, &str)> {
    let value = text.strip_prefix(name)?.strip_prefix('=')?;
    Some(value.split_once(',').unwrap_or((value, "")))
}

#[cfg(test)]
mod tests;
