//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), as PostgreSQL speaks them: the user's name stays empty, and the
//! only channel binding is `tls-server-end-point`.

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

/// The mechanism without channel binding.
pub(super) const PLAIN: &str = "SCRAM-SHA-256";

/// The mechanism with it.
pub(super) const PLUS: &str = "SCRAM-SHA-256-PLUS";

/// How a client's first message begins that is bound to its channel.
const BOUND: &str = "p=tls-server-end-point,,";

/// As PostgreSQL has it where nothing else is set (`SCRAM_SHA_256_DEFAULT_ITERATIONS`).
const ITERATIONS: u32 = 4096;

/// The most iterations that a server may ask for: each is work of ours.
pub const MAX_ITERATIONS: u32 = 1_000_000;

/// Of a verifier's salt, in bytes (`SCRAM_DEFAULT_SALT_LEN`).
const SALT: usize = 16;

/// Of a nonce before it is written in base64, in bytes (`SCRAM_RAW_NONCE_LEN`).
const NONCE: usize = 18;

/// What SHA-256 gives, in bytes.
const HASH: usize = 32;

/// What SHA-256 takes at once, in bytes: an HMAC's key is brought to this length (RFC 2104).
const BLOCK: usize = 64;

type Key = Zeroizing<[u8; HASH]>;

/// A password as SCRAM proves it: salted, so that it isn't kept itself. Made once, for many logins.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ScramVerifier {
    salt: Vec<u8>,
    iterations: u32,
    stored: [u8; HASH],
    server: [u8; HASH],
}

impl ScramVerifier {
    /// Salts a password.
    ///
    /// # Errors
    /// Where the system gives no random numbers for the salt.
    pub fn new(password: &Secret) -> Result<Self, getrandom::Error> {
        let mut salt = [0; SALT];
        getrandom::fill(&mut salt)?;
        Ok(Self::with_salt(password, &salt, ITERATIONS))
    }

    pub(super) fn with_salt(password: &Secret, salt: &[u8], iterations: u32) -> Self {
        let keys = Keys::new(password, salt, iterations);
        Self { salt: salt.to_vec(), iterations, stored: keys.stored(), server: *keys.server }
    }
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramVerifier")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// What a password and a salt give (RFC 5802, section 3).
struct Keys {
    client: Key,
    server: Key,
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
            client: Zeroizing::new(mac(&*salted, b"Client Key")),
            server: Zeroizing::new(mac(&*salted, b"Server Key")),
        }
    }

    fn stored(&self) -> [u8; HASH] {
        Sha256::digest(*self.client).into()
    }
}

/// `SASLprep` (RFC 4013). What it can't prepare, or leaves nothing of, is taken as it is, as PostgreSQL and libpq do.
fn prepare(password: &str) -> Cow<'_, str> {
    stringprep::saslprep(password)
        .ok()
        .filter(|prepared| !prepared.is_empty())
        .unwrap_or(Cow::Borrowed(password))
}

/// HMAC-SHA-256 with its key in place.
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0; BLOCK]);
    let hashed = Zeroizing::new(<[u8; HASH]>::from(Sha256::digest(key)));
    let fitting = if key.len() > BLOCK { hashed.as_slice() } else { key };
    block.iter_mut().zip(fitting).for_each(|(byte, given)| *byte = *given);
    Hmac::new(&(*block).into())
}

fn finish(mut keyed: Hmac<Sha256>, message: &[&[u8]]) -> [u8; HASH] {
    message.iter().for_each(|part| keyed.update(part));
    keyed.finalize().into_bytes().into()
}

fn mac(key: &[u8], message: &[u8]) -> [u8; HASH] {
    finish(keyed(key), &[message])
}

/// A nonce that nobody can guess: printable, and without a comma.
pub(super) fn nonce() -> Result<String, getrandom::Error> {
    let mut raw = [0; NONCE];
    getrandom::fill(&mut raw)?;
    Ok(STANDARD.encode(raw))
}

/// The next attribute's value, where it has the name, and what follows it: `a=value,`….
fn take(text: &str, name: char) -> Option<(&str, &str)> {
    let value = text.strip_prefix(name)?.strip_prefix('=')?;
    Some(value.split_once(',').unwrap_or((value, "")))
}

#[cfg(test)]
mod tests;
