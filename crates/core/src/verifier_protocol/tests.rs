use std::io::{self, Cursor, Read, Write};

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::{
    MAX_REQUEST, MAX_RESPONSE, Nonce, VerifyRequest, VerifyResponse, frame, frame_length,
    round_trip,
};
use crate::failure::{Class, Failure};
use crate::name::Engine;
use crate::token::MAX_TOKEN;

const NONCE: Nonce = Nonce([7; 16]);

fn request(token: &str) -> VerifyRequest {
    VerifyRequest::new(
        NONCE,
        Engine::Postgres,
        "orders".parse().unwrap(),
        "jane".parse().unwrap(),
        Zeroizing::new(token.to_owned()),
    )
}

/// Connection to a verifier that responds with fixed bytes.
struct CannedVerifier {
    sent: Vec<u8>,
    response: Cursor<Vec<u8>>,
}

impl Read for CannedVerifier {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.response.read(buffer)
    }
}

impl Write for CannedVerifier {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sent.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn round_trip_with(bytes: &[u8]) -> Result<(), Failure> {
    round_trip(
        &mut CannedVerifier { sent: Vec::new(), response: Cursor::new(bytes.to_vec()) },
        &request("secret-token"),
    )
}

fn class_of(bytes: &[u8]) -> Class {
    round_trip_with(bytes).unwrap_err().class
}

fn framed(json: &str) -> Vec<u8> {
    [&u32::try_from(json.len()).unwrap().to_be_bytes()[..], json.as_bytes()].concat()
}

#[test]
fn only_a_complete_allow_with_the_nonce_is_accepted() {
    assert!(round_trip_with(&frame(&VerifyResponse::Allow { nonce: NONCE }, 0).unwrap()).is_ok());
    assert_eq!(
        class_of(&frame(&VerifyResponse::Deny { nonce: NONCE, class: Class::Expired }, 0).unwrap()),
        Class::Expired
    );
    assert_eq!(
        class_of(&frame(&VerifyResponse::Allow { nonce: Nonce([8; 16]) }, 0).unwrap()),
        Class::Protocol
    );
    for garbage in [
        "",
        "{}",
        "true",
        "allow",
        r#"{"verdict":"allow"}"#,
        r#"{"verdict":"allow","nonce":[7,7]}"#,
    ] {
        assert_eq!(class_of(&framed(garbage)), Class::Protocol, "{garbage}");
    }
    let allow = serde_json::to_string(&VerifyResponse::Allow { nonce: NONCE }).unwrap();
    assert_eq!(class_of(&framed(&allow.replace('}', r#","class":"expired"}"#))), Class::Protocol);
    assert_eq!(class_of(&framed(&format!("{allow}{allow}"))), Class::Protocol);
    let whole = framed(&allow);
    assert_eq!(class_of(&whole[..whole.len() - 1]), Class::Unavailable);
    assert_eq!(class_of(&[]), Class::Unavailable);
    assert_eq!(class_of(&u32::MAX.to_be_bytes()), Class::Protocol);
}

#[test]
fn longest_token_fits_a_request_even_if_every_character_is_escaped() {
    let sent = request(&"\u{1}".repeat(MAX_TOKEN));
    let written = frame(&sent, 0).unwrap();
    let head = written[..4].try_into().unwrap();
    assert_eq!(frame_length(head, MAX_REQUEST).unwrap(), written.len() - 4);
    assert_eq!(VerifyRequest::parse(&written[4..]).unwrap().token, sent.token);
    assert_eq!(frame_length(head, MAX_RESPONSE).unwrap_err().class, Class::Protocol);
}

#[test]
fn requests_of_another_version_or_with_unknown_fields_are_rejected() {
    let text = serde_json::to_string(&request("secret-token")).unwrap();
    assert!(VerifyRequest::parse(text.as_bytes()).is_ok());
    for broken in [
        text.replace("\"version\":1", "\"version\":2"),
        text.replace("\"engine\"", "\"more\":1,\"engine\""),
        text.replace("jane", ""),
    ] {
        let failure = VerifyRequest::parse(broken.as_bytes()).unwrap_err();
        assert_eq!(failure.class, Class::Protocol);
        assert!(!failure.detail.contains("secret-token"));
    }
    assert!(!format!("{:?}", request("secret-token")).contains("secret-token"));
}

proptest! {
    #[test]
    fn passwords_are_decoded_as_by_the_standard_library(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let read = super::password(&bytes);
        prop_assert_eq!(read.as_str(), String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn random_responses_are_not_accepted(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(round_trip_with(&bytes).is_err());
        prop_assert!(round_trip_with(&framed(&String::from_utf8_lossy(&bytes))).is_err());
    }
}
