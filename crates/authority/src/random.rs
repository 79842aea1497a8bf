//! Ids and secrets, of the forms that AWS gives them.

use countersign_core::credentials::{Credentials, Secret};
use zeroize::Zeroizing;

use crate::store::StoreError;

/// Ids: RFC 4648's base32, as in `AKIAIOSFODNN7EXAMPLE`.
const ID: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Secrets: RFC 4648's base64.
const SECRET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// `prefix` and `length` random characters of base32.
pub fn id(prefix: &str, length: usize) -> Result<String, StoreError> {
    Ok(format!("{prefix}{}", &*characters(ID, length)?))
}

/// `length` random characters of base64.
pub fn secret(length: usize) -> Result<Zeroizing<String>, StoreError> {
    characters(SECRET, length)
}

/// Each character is drawn evenly: the alphabets' lengths divide 256.
fn characters(alphabet: &[u8], length: usize) -> Result<Zeroizing<String>, StoreError> {
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

/// A fresh key: 20 characters of id, 40 of secret.
pub fn credentials(prefix: &str) -> Result<Credentials, StoreError> {
    let secret = Secret::new(secret(40)?.as_str())
        .ok_or_else(|| StoreError::NotFound("secret".to_owned()))?;
    Ok(Credentials {
        access_key_id: id(prefix, 16)?.parse()?,
        secret,
        session_token: None,
        expires: None,
    })
}

/// A random UUID (RFC 9562, version 4).
pub fn uuid() -> Result<String, StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(uuid_of(bytes, 4))
}

/// These bits as a UUID of that version: all that follows from a name is of version 8.
pub fn uuid_of(bytes: [u8; 16], version: u8) -> String {
    let number = u128::from_be_bytes(bytes) & !((0xf000 << 64) | (0xc000 << 48));
    let number = number | (u128::from(version & 0xf) << 76) | (0x8000 << 48);
    let hex = format!("{number:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}
