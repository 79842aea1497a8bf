//! Sealing: what the authority gives to a client to keep, and must find unread and unchanged when it comes back.
//!
//! A session token is a sealed session, so that no authority has to remember the sessions that it gave: any that holds
//! the same key opens it. The text begins as AWS's session tokens do (`FwoGZXIvYXdzE…`), since that is the base64 of its
//! first bytes: `17 0a 06 "er/aws" 10`, the last of which is also this format's version.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The longest text that is opened, in bytes, and so the longest that is made.
pub const MAX_SEALED: usize = 16 * 1024;

/// How every sealed text begins. Its last byte, `0x10`, is the version: another format gets another one.
const HEAD: &[u8; 10] = b"\x17\x0a\x06er/aws\x10";

/// What AES-GCM adds behind the text (NIST SP 800-38D).
const TAG_LENGTH: usize = 16;

/// What surrounds the plaintext.
const OVERHEAD: usize = HEAD.len() + NONCE_LEN + TAG_LENGTH;

/// The longest plaintext: three bytes of what is sealed take four of base64.
pub const MAX_PLAINTEXT: usize = MAX_SEALED / 4 * 3 - OVERHEAD;

/// Why nothing was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It would be longer than is ever opened.
    #[error("{0} bytes can't be sealed, the most is {MAX_PLAINTEXT}: leave something out")]
    TooLong(usize),
    /// The cryptographic library has no random bytes, or no memory.
    #[error("the system gives no random bytes to seal with")]
    Random,
}

/// A key that seals with AES-256-GCM, each time with a random nonce: good for 2³² texts (NIST SP 800-38D, section 8.3).
/// `Debug` is redacted, there is no `Display` and no `Serialize`, and the memory is wiped on drop.
pub struct SealingKey {
    bytes: Zeroizing<[u8; 32]>,
    /// Set up once; the library wipes its memory when it frees it.
    cipher: RandomizedNonceKey,
}

impl SealingKey {
    /// A new key.
    ///
    /// # Errors
    /// [`SealError::Random`]
    pub fn generate() -> Result<Self, SealError> {
        let mut bytes = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| SealError::Random)?;
        Self::of(bytes).ok_or(SealError::Random)
    }

    /// The key whose 32 bytes are `text` in base64; `None` for anything else.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        // Room for what the decoder reckons with, which is more than 32.
        let mut bytes = Zeroizing::new([0; 48]);
        let length = STANDARD.decode_slice(text, &mut *bytes).ok()?;
        Self::of(Zeroizing::new(bytes.get(..length)?.try_into().ok()?))
    }

    /// The key's bytes in base64, for storing: never for showing.
    #[must_use]
    pub fn to_base64(&self) -> Zeroizing<String> {
        encoded(&*self.bytes)
    }

    fn of(bytes: Zeroizing<[u8; 32]>) -> Option<Self> {
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &*bytes).ok()?;
        Some(Self { bytes, cipher })
    }

    /// Seals `plaintext`. It opens only with the same `aad`, which says what it is for, and is not part of the text.
    ///
    /// # Errors
    /// [`SealError`]
    pub fn seal(&self, plaintext: &[u8], aad: &[u8]) -> Result<Zeroizing<String>, SealError> {
        if plaintext.len() > MAX_PLAINTEXT {
            return Err(SealError::TooLong(plaintext.len()));
        }
        let mut body = Zeroizing::new(plaintext.to_vec());
        let (nonce, tag) = self
            .cipher
            .seal_in_place_separate_tag(Aad::from(aad), &mut body)
            .map_err(|_| SealError::Random)?;
        let parts: [&[u8]; 4] = [HEAD, nonce.as_ref(), &body, tag.as_ref()];
        Ok(encoded(&Zeroizing::new(parts.concat())))
    }

    /// What was sealed in `text` with this key for the same `aad`; `None` for whatever else it is.
    #[must_use]
    pub fn open(&self, text: &str, aad: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        if text.len() > MAX_SEALED {
            return None;
        }
        // Padding must be whole and unused bits zero: each sealed text has one spelling.
        let mut bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
        let nonce = bytes.strip_prefix(HEAD)?.first_chunk::<NONCE_LEN>()?.into();
        let sealed = bytes.get_mut(HEAD.len() + NONCE_LEN..)?;
        let length = self.cipher.open_in_place(nonce, Aad::from(aad), sealed).ok()?.len();
        Some(Zeroizing::new(sealed.get(..length)?.to_vec()))
    }
}

fn encoded(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(STANDARD.encode(bytes))
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey([redacted])")
    }
}

#[cfg(test)]
mod tests;
