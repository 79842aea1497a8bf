//! Ids and secrets, of the forms that AWS gives them.

use zeroize::Zeroizing;

use super::StoreError;

/// Ids: RFC 4648's base32, as in `AKIAIOSFODNN7EXAMPLE`.
const ID: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Secrets: RFC 4648's base64.
const SECRET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// `prefix` and `length` random characters of base32.
pub(super) fn id(prefix: &str, length: usize) -> Result<String, StoreError> {
    Ok(format!("{prefix}{}", &*characters(ID, length)?))
}

/// `length` random characters of base64.
pub(super) fn secret(length: usize) -> Result<Zeroizing<String>, StoreError> {
    characters(SECRET, length)
}

/// Each character is drawn evenly: the alphabets' lengths divide 256.
fn characters(alphabet: &[u8], length: usize) -> Result<Zeroizing<String>, StoreError> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    getrandom::fill(&mut bytes)?;
    let mut text = Zeroizing::new(String::with_capacity(length));
    text.extend(bytes.iter().filter_map(|byte| alphabet.get(usize::from(*byte) % alphabet.len())).map(|byte| char::from(*byte)));
    Ok(text)
}
