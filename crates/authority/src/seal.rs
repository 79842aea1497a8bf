//! Authenticated encryption of data that a client keeps for the authority.
//!
//! A session token is a sealed session, so that no authority has to store the sessions that it
//! issued: any authority that holds the same key opens the token. The text begins like AWS's
//! session tokens (`FwoGZXIvYXdzE…`), the base64 of the first bytes `17 0a 06 "er/aws" 10`. The
//! last of these bytes is the version of this format.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Maximum size in bytes of a sealed text.
pub const MAX_SEALED: usize = 16 * 1024;

/// First bytes of each sealed text. The last byte, `0x10`, is the version of the format.
const HEAD: &[u8; 10] = b"\x17\x0a\x06er/aws\x10";

/// Size in bytes of AES-GCM's authentication tag (NIST SP 800-38D).
const TAG_LENGTH: usize = 16;

/// Bytes that sealing adds to the plaintext, before base64.
const OVERHEAD: usize = HEAD.len() + NONCE_LEN + TAG_LENGTH;

/// Maximum size in bytes of a plaintext: base64 encodes three bytes as four.
pub const MAX_PLAINTEXT: usize = MAX_SEALED / 4 * 3 - OVERHEAD;

/// Reason for which nothing was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The sealed text would exceed [`MAX_SEALED`].
    #[error("cannot seal {0} bytes: the maximum is {MAX_PLAINTEXT}; shorten the policies or tags")]
    TooLong(usize),
    /// The plaintext cannot be encoded as JSON.
    #[error("cannot encode the session as JSON")]
    Encode,
    /// The cryptographic library got no random bytes or no memory.
    #[error("cannot seal: the operating system returned no random bytes")]
    Random,
}

/// Key for AES-256-GCM with a random nonce for each text; it may seal 2³² texts (NIST SP 800-38D,
/// section 8.3). `Debug` prints no key material, and the memory is wiped on drop.
pub struct SealingKey {
    bytes: Zeroizing<[u8; 32]>,
    /// Initialised once; the library wipes its memory when it frees it.
    cipher: RandomizedNonceKey,
}

impl SealingKey {
    /// Generates a key.
    ///
    /// # Errors
    /// [`SealError::Random`]
    pub fn generate() -> Result<Self, SealError> {
        let mut bytes = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| SealError::Random)?;
        Self::of(bytes).ok_or(SealError::Random)
    }

    /// Decodes a key of 32 bytes from base64; returns `None` for any other text.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        // The decoder requires room for its own estimate of the length, which exceeds 32.
        let mut bytes = Zeroizing::new([0; 48]);
        let length = STANDARD.decode_slice(text, &mut *bytes).ok()?;
        Self::of(Zeroizing::new(bytes.get(..length)?.try_into().ok()?))
    }

    /// Encodes the key in base64 for storage. Never log or print it.
    #[must_use]
    pub fn to_base64(&self) -> Zeroizing<String> {
        encoded(&*self.bytes)
    }

    fn of(bytes: Zeroizing<[u8; 32]>) -> Option<Self> {
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &*bytes).ok()?;
        Some(Self { bytes, cipher })
    }

    /// Seals `plaintext`. Opening requires the same `aad`, which names the purpose and is not part
    /// of the text.
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

    /// Returns the plaintext of `text` if it was sealed with this key and the same `aad`; otherwise
    /// `None`.
    #[must_use]
    pub fn open(&self, text: &str, aad: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        if text.len() > MAX_SEALED {
            return None;
        }
        // The decoder requires complete padding and zero unused bits, so each sealed text has one
        // spelling.
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
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::{MAX_PLAINTEXT, MAX_SEALED, SealError, SealingKey};

    fn key() -> SealingKey {
        SealingKey::from_base64(&STANDARD.encode([7; 32])).unwrap()
    }

    #[test]
    fn opening_requires_the_same_key_and_aad() {
        let sealed = key().seal(b"jane", b"session").unwrap();
        assert_eq!(key().open(&sealed, b"session").unwrap().as_slice(), b"jane");
        assert!(key().open(&sealed, b"another").is_none());
        assert!(key().open(&sealed, b"").is_none());
        assert!(SealingKey::generate().unwrap().open(&sealed, b"session").is_none());
    }

    #[test]
    fn sealed_texts_begin_like_aws_session_tokens() {
        for length in 0..40 {
            let sealed = key().seal(&vec![b'x'; length], b"").unwrap();
            assert!(sealed.starts_with("FwoGZXIvYXdzE"), "{}", &**sealed);
            assert!(!sealed.contains("xxx"));
        }
    }

    #[test]
    fn sealing_the_same_plaintext_twice_gives_different_texts() {
        assert_ne!(key().seal(b"jane", b""), key().seal(b"jane", b""));
    }

    #[test]
    fn the_longest_text_opens_and_longer_ones_are_rejected() {
        let longest = vec![b'x'; MAX_PLAINTEXT];
        let sealed = key().seal(&longest, b"").unwrap();
        assert_eq!(sealed.len(), MAX_SEALED);
        assert_eq!(key().open(&sealed, b"").unwrap().as_slice(), longest);
        assert_eq!(
            key().seal(&vec![b'x'; MAX_PLAINTEXT + 1], b""),
            Err(SealError::TooLong(MAX_PLAINTEXT + 1))
        );
        assert!(key().open(&"F".repeat(MAX_SEALED + 4), b"").is_none());
    }

    #[test]
    fn keys_have_32_bytes_and_a_redacted_debug_form() {
        let key = SealingKey::generate().unwrap();
        let text = key.to_base64();
        assert_eq!(SealingKey::from_base64(&text).unwrap().to_base64(), text);
        assert_ne!(SealingKey::generate().unwrap().to_base64(), text);
        assert_eq!(format!("{key:?}"), "SealingKey([redacted])");
        for bytes in [0, 16, 31, 33, 64, 100] {
            assert!(SealingKey::from_base64(&STANDARD.encode(vec![7; bytes])).is_none(), "{bytes}");
        }
        for text in ["", "x", "not base64, not at all, not for any of its bytes"] {
            assert!(SealingKey::from_base64(text).is_none(), "{text}");
        }
    }

    #[test]
    fn malformed_texts_do_not_open() {
        // At this length the text contains a slash or a plus in all but one of 10^12 runs.
        let sealed = key().seal(&[b'x'; 641], b"").unwrap();
        let unpadded = sealed.trim_end_matches('=');
        let spaced = format!(" {}", &*sealed);
        let urlsafe = sealed.replace('+', "-").replace('/', "_");
        assert_ne!(urlsafe, *sealed);
        for text in [
            "",
            "FwoGZXIvYXdzEA==",
            "FwoGZXIvYXdzE",
            "AAAA",
            unpadded,
            &spaced,
            &urlsafe,
            "é",
            "\0",
        ] {
            assert!(key().open(text, b"").is_none(), "{text}");
        }
        for end in 0..sealed.len() {
            assert!(key().open(sealed.get(..end).unwrap(), b"").is_none(), "cut at {end}");
        }
    }

    proptest! {
        #[test]
        fn seal_and_open_round_trip(plaintext: Vec<u8>, aad: Vec<u8>) {
            let sealed = key().seal(&plaintext, &aad).unwrap();
            prop_assert_eq!(key().open(&sealed, &aad).unwrap().to_vec(), plaintext);
        }

        #[test]
        fn flipping_any_bit_prevents_opening(
            plaintext: Vec<u8>,
            at: prop::sample::Index,
            bit in 0..8_u8,
        ) {
            let sealed = key().seal(&plaintext, b"aad").unwrap();
            let mut bytes = STANDARD.decode(&*sealed).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(key().open(&STANDARD.encode(bytes), b"aad").is_none());
        }

        #[test]
        fn replacing_any_character_prevents_opening(
            plaintext: Vec<u8>,
            at: prop::sample::Index,
            with in "[ -~]",
        ) {
            let mut text = key().seal(&plaintext, b"aad").unwrap().to_string();
            let at = at.index(text.len());
            prop_assume!(text.get(at..=at) != Some(&with));
            text.replace_range(at..=at, &with);
            prop_assert!(key().open(&text, b"aad").is_none());
        }

        #[test]
        fn arbitrary_text_does_not_open(text in ".*") {
            prop_assert!(key().open(&text, b"").is_none());
        }
    }
}
