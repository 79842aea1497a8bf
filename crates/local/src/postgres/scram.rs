//! What PostgreSQL keeps of a password: made here, so that the password itself reaches neither the server nor its log.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_core::credentials::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::LocalError;

/// As PostgreSQL has it where nothing else is set (`SCRAM_SHA_256_DEFAULT_ITERATIONS`).
const ITERATIONS: u32 = 4096;

/// In bytes (`SCRAM_DEFAULT_SALT_LEN`).
const SALT: usize = 16;

/// `SCRAM-SHA-256$4096:SALT$STORED:SERVER`, as `pg_authid` holds it, with a salt of its own. The password is printable ASCII,
/// which `SASLprep` (RFC 4013) leaves as it is.
pub(super) fn verifier(password: &Secret) -> Result<String, LocalError> {
    let mut salt = [0; SALT];
    getrandom::fill(&mut salt).map_err(|error| {
        LocalError::Unusable(format!("the system gives no random numbers: {error}"))
    })?;
    with_salt(password, &salt, ITERATIONS)
}

/// RFC 5802, section 3.
fn with_salt(password: &Secret, salt: &[u8], iterations: u32) -> Result<String, LocalError> {
    let password = password.expose().as_bytes();
    let mut block = Zeroizing::new(mac(password, &[salt, &1_u32.to_be_bytes()])?);
    let mut salted = block.clone();
    for _ in 1..iterations {
        *block = mac(password, &[&*block])?;
        salted.iter_mut().zip(block.iter()).for_each(|(sum, byte)| *sum ^= byte);
    }
    let client = Zeroizing::new(mac(&*salted, &[b"Client Key"])?);
    let server = mac(&*salted, &[b"Server Key"])?;
    let stored = Sha256::digest(*client);
    Ok(format!(
        "SCRAM-SHA-256${iterations}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(stored),
        STANDARD.encode(server)
    ))
}

fn mac(key: &[u8], message: &[&[u8]]) -> Result<[u8; 32], LocalError> {
    let keyed = Hmac::<Sha256>::new_from_slice(key);
    let mut mac = keyed
        .map_err(|error| LocalError::Unusable(format!("the password can't be used: {error}")))?;
    message.iter().for_each(|part| mac.update(part));
    Ok(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests;
