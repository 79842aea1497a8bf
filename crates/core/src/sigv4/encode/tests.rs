#![allow(clippy::string_slice, reason = "the texts of these tests are ASCII")]

use proptest::prelude::*;

use super::{Decoded, decode, encode, encode_path, hex32, unhex};

fn encoded(text: &str) -> String {
    let mut out = String::new();
    encode(&mut out, text);
    out
}

fn is_canonical(text: &str) -> bool {
    Decoded::new(text).is_some_and(|reading| reading.canonical)
}

#[test]
fn reserved_characters_become_upper_case_hexadecimal() {
    assert_eq!(encoded("user.name+x@corp/a b~é"), "user.name%2Bx%40corp%2Fa%20b~%C3%A9");
    let mut path = String::new();
    encode_path(&mut path, "/a b/%20");
    assert_eq!(path, "/a%20b/%2520");
}

#[test]
fn plus_is_not_a_space_and_malformed_escapes_are_rejected() {
    assert_eq!(decode("a+b%2Bc").unwrap(), "a+b+c");
    for bad in ["%", "%2", "%zz", "%ff"] {
        assert_eq!(decode(bad), None, "{bad}");
    }
}

#[test]
fn only_one_encoding_is_canonical() {
    for text in ["abc", "a%2Fb", ""] {
        assert!(is_canonical(text), "{text}");
    }
    for text in ["a%2fb", "a/b", "%61", "%", "%2", "a+b", "é"] {
        assert!(!is_canonical(text), "{text}");
    }
}

#[test]
fn signatures_are_64_lower_case_digits() {
    let text = String::from_utf8(hex32(&[0xab; 32]).to_vec()).unwrap();
    assert_eq!(unhex(&text), Some([0xab; 32]));
    assert_eq!(unhex(&text.to_uppercase()), None);
    assert_eq!(unhex(&text[1..]), None);
    assert_eq!(unhex(&text.replace('a', "g")), None);
}

proptest! {
    #[test]
    fn decoding_inverts_encoding(text in ".*") {
        let encoded = encoded(&text);
        prop_assert!(is_canonical(&encoded));
        prop_assert_eq!(decode(&encoded).unwrap(), text);
    }

    #[test]
    fn canonical_text_equals_the_output_of_encode(text in "[a-zA-Z0-9%~+/ -]{0,12}") {
        let rewritten = decode(&text).map(|plain| encoded(&plain));
        prop_assert_eq!(is_canonical(&text), rewritten.as_deref() == Some(&text));
    }
}
