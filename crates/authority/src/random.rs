//! Random ids and secrets in the formats that AWS uses.

use countersign_core::credentials::{Credentials, Secret};
use zeroize::Zeroizing;

/// The operating system returned no random bytes.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("cannot get random bytes from the operating system: {0}")]
pub struct RandomError(#[from] getrandom::Error);

/// Alphabet of ids: RFC 4648's base32, as in `AKIAIOSFODNN7EXAMPLE`.
const ID: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Alphabet of secrets: RFC 4648's base64.
const SECRET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Returns `prefix` followed by `length` random base32 characters.
pub fn id(prefix: &str, length: usize) -> Result<String, RandomError> {
    Ok(format!("{prefix}{}", &*characters(ID, length)?))
}

/// Returns `length` random base64 characters.
pub fn secret(length: usize) -> Result<Zeroizing<String>, RandomError> {
    characters(SECRET, length)
}

/// Returns `length` characters of `alphabet`. All are equally likely, because the length of each
/// alphabet divides 256.
fn characters(alphabet: &[u8], length: usize) -> Result<Zeroizing<String>, RandomError> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    getrandom::fill(&mut bytes)?;
    let mut text = Zeroizing::new(String::with_capacity(length));
    text.extend(
        bytes
            .iter()
            .filter_map(|byte| alphabet.get(usize::from(*byte) % alphabet.len()))
            .map(|byte| char::from(*byte)),
    );
    Ok(text)
}

/// Returns a new access key: an id of `prefix` and 16 characters, and a secret of 40 characters.
pub fn credentials(prefix: &str) -> Result<Credentials, RandomError> {
    // Neither an empty secret nor an invalid id can come out of the lengths and alphabets above.
    let unexpected = RandomError(getrandom::Error::UNEXPECTED);
    let secret = Secret::new(secret(40)?.as_str()).ok_or(unexpected)?;
    Ok(Credentials {
        access_key_id: id(prefix, 16)?.parse().map_err(|_| unexpected)?,
        secret,
        session_token: None,
        expires: None,
    })
}

/// Returns a random UUID (RFC 9562, version 4).
pub fn uuid() -> Result<String, RandomError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(uuid_of(bytes, 4))
}

/// Formats `bytes` as a UUID of `version`. UUIDs derived from names have version 8.
pub fn uuid_of(bytes: [u8; 16], version: u8) -> String {
    let number = u128::from_be_bytes(bytes) & !((0xf000 << 64) | (0xc000 << 48));
    let number = number | (u128::from(version & 0xf) << 76) | (0x8000 << 48);
    let hex = format!("{number:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}
