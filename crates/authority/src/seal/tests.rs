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
    for text in
        ["", "FwoGZXIvYXdzEA==", "FwoGZXIvYXdzE", "AAAA", unpadded, &spaced, &urlsafe, "é", "\0"]
    {
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
