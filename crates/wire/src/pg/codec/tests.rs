use proptest::prelude::*;

use super::*;
use crate::pg::testing::format;

fn buffer(bytes: &[u8]) -> ReadBuffer {
    let mut buffer = ReadBuffer::default();
    buffer.push(bytes);
    buffer
}

fn key(secret: usize) -> CancelKey {
    CancelKey { process_id: 0x0102_0304, secret: vec![9; secret] }
}

/// "Message Formats" in PostgreSQL 18's manual.
#[test]
fn messages_match_the_manual() {
    assert_eq!(ssl_request(), b"\0\0\0\x08\x04\xd2\x16\x2f");
    assert_eq!(
        cancel_request(&key(4)),
        b"\0\0\0\x10\x04\xd2\x16\x2e\x01\x02\x03\x04\x09\x09\x09\x09"
    );
    assert_eq!(cancel_request(&key(256)).len(), 268);
    assert_eq!(authentication_ok(), b"R\0\0\0\x08\0\0\0\0");
    assert_eq!(parameter_status("a", "b"), b"S\0\0\0\x08a\0b\0");
    assert_eq!(backend_key_data(&key(4)), b"K\0\0\0\x0c\x01\x02\x03\x04\x09\x09\x09\x09");
    assert_eq!(ready_for_query(b'I'), b"Z\0\0\0\x05I");
    assert_eq!(query("x"), b"Q\0\0\0\x06x\0");
    assert_eq!(terminate(), b"X\0\0\0\x04");
    assert_eq!(
        negotiate_protocol_version(2, &["_pq_.a".to_owned()]),
        b"v\0\0\0\x13\0\x03\0\x02\0\0\0\x01_pq_.a\0"
    );
    assert_eq!(
        error_response("FATAL", "28000", "no", None, None),
        b"E\0\0\0\x1eSFATAL\0VFATAL\0C28000\0Mno\0\0"
    );
}

#[test]
fn login_ok_ends_with_ready_for_query() {
    let bytes = login_ok(&[("a".to_owned(), "b".to_owned())], &key(4));
    let parts = [
        authentication_ok(),
        parameter_status("a", "b"),
        backend_key_data(&key(4)),
        ready_for_query(b'I'),
    ];
    assert_eq!(bytes, parts.concat());
}

#[test]
fn zeros_within_strings_are_omitted() {
    assert_eq!(query("SELECT 1\0; DROP"), message(b'Q', b"SELECT 1; DROP\0"));
    assert_eq!(parameter_status("a\0b", "c"), message(b'S', b"ab\0c\0"));
}

#[test]
fn explanation_is_added_unless_the_server_sent_one() {
    let original = b"SFATAL\0VFATAL\0C28000\0MPAM authentication failed for user \"jane\"\0\
        Fauth.c\0L336\0Rauth_failed\0\0";
    let explained = with_explanation(original, "The token is an hour old.", "Mint another.");
    insta::assert_snapshot!(format(&explained), @r#"
    FATAL 28000: PAM authentication failed for user "jane"
    DETAIL: The token is an hour old.
    HINT: Mint another.
    "#);
    let full = b"SFATAL\0C28000\0Mno\0Dits own\0Hits own too\0\0";
    assert_eq!(with_explanation(full, "ours", "ours"), message(b'E', full));
    // All original fields are unchanged.
    let explained = with_explanation(original, "d", "h");
    assert!(explained[HEADER..].starts_with(&original[..original.len() - 1]));
}

#[test]
fn error_fields_are_parsed() {
    let whole = error_fields(b"SFATAL\0C3D000\0Mdatabase \"x\" does not exist\0\0");
    assert_eq!(whole.to_string(), "3D000: database \"x\" does not exist");
    assert_eq!(error_fields(b"").to_string(), ": ");
    assert_eq!(error_fields(b"Cabc").code, "", "unterminated field");
    assert_eq!(error_fields(b"M\xff\0").message, "\u{fffd}");
}

#[test]
fn message_is_read_when_complete() {
    let bytes = query("SELECT 1");
    for cut in 0..bytes.len() {
        assert!(read_message(&buffer(&bytes[..cut]), 100).unwrap().is_none(), "{cut}");
    }
    let whole = buffer(&[&bytes, b"more".as_slice()].concat());
    assert_eq!(
        read_message(&whole, 100).unwrap(),
        Some((b'Q', b"SELECT 1\0".as_slice(), bytes.len()))
    );
}

#[test]
fn length_is_limited_before_the_payload_is_received() {
    let read = |length: u32, max| {
        read_message(&buffer(&[[b'p'].as_slice(), &length.to_be_bytes()].concat()), max).map(|_| ())
    };
    assert!(read(4, 5).is_ok() && read(5, 5).is_err() && read(5, 6).is_ok());
    for length in [0, 3, 65_536, u32::MAX] {
        let error = read(length, MAX_LOGIN_MESSAGE).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("length {length} of message type 'p' is not between 4 and 65535")
        );
    }
}

#[test]
fn keys_have_4_to_256_bytes_and_are_not_formatted() {
    assert!(
        CancelKey::parse(&[0; 7]).is_none()
            && CancelKey::parse(&[0; 261]).is_none()
            && CancelKey::parse(b"").is_none()
    );
    for length in [4, 32, 256] {
        assert_eq!(CancelKey::parse(&backend_key_data(&key(length))[HEADER..]), Some(key(length)));
    }
    assert_eq!(format!("{:?}", key(4)), "CancelKey { process_id: 16909060, .. }");
    let (short, long) = (CancelKey::random(None, 0).unwrap(), CancelKey::random(None, 2).unwrap());
    assert_eq!((short.secret.len(), long.secret.len()), (4, 32));
    assert!(short.process_id > 0 && i32::try_from(short.process_id).is_ok());
    assert_ne!(long, CancelKey::random(None, 2).unwrap());
}

proptest! {
    #[test]
    fn encoded_message_is_read(
        kind: u8,
        payload in proptest::collection::vec(any::<u8>(), 0..300),
        remaining: Vec<u8>,
    ) {
        let buffer = buffer(&[message(kind, &payload), remaining].concat());
        prop_assert_eq!(
            read_message(&buffer, MAX_LOGIN_MESSAGE).unwrap(),
            Some((kind, payload.as_slice(), payload.len() + HEADER)),
        );
    }

    #[test]
    fn any_error_is_parsed_and_explained(payload: Vec<u8>) {
        let _error = error_fields(&payload);
        let explained = with_explanation(&payload, "d", "h");
        let read = error_fields(&explained[HEADER..]);
        prop_assert_eq!(read.code, error_fields(&payload).code);
        prop_assert!(explained.ends_with(b"\0\0"));
    }
}
