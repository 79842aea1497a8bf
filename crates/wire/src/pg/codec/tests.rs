use proptest::prelude::*;

use super::*;
use crate::pg::testing::shown;

fn inbox(bytes: &[u8]) -> ReadBuffer {
    let mut inbox = ReadBuffer::default();
    inbox.push(bytes);
    inbox
}

fn key(secret: usize) -> CancelKey {
    CancelKey { process: 0x0102_0304, secret: vec![9; secret] }
}

/// As "Message Formats" in PostgreSQL 18's manual has them.
#[test]
fn messages_are_as_the_manual_has_them() {
    assert_eq!(tls_request(), b"\0\0\0\x08\x04\xd2\x16\x2f");
    assert_eq!(gss_request(), b"\0\0\0\x08\x04\xd2\x16\x30");
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
    assert_eq!(negotiate(2, &["_pq_.a".to_owned()]), b"v\0\0\0\x13\0\x03\0\x02\0\0\0\x01_pq_.a\0");
    assert_eq!(
        error_response("FATAL", "28000", "no", None, None),
        b"E\0\0\0\x1eSFATAL\0VFATAL\0C28000\0Mno\0\0"
    );
}

#[test]
fn a_welcome_ends_with_being_ready() {
    let welcome = login_ok(&[("a".to_owned(), "b".to_owned())], &key(4));
    let parts = [
        authentication_ok(),
        parameter_status("a", "b"),
        backend_key_data(&key(4)),
        ready_for_query(b'I'),
    ];
    assert_eq!(welcome, parts.concat());
}

#[test]
fn a_zero_within_a_text_does_not_end_it() {
    assert_eq!(query("SELECT 1\0; DROP"), message(b'Q', b"SELECT 1; DROP\0"));
    assert_eq!(parameter_status("a\0b", "c"), message(b'S', b"ab\0c\0"));
}

#[test]
fn an_explanation_is_added_where_the_server_gives_none() {
    let bare = b"SFATAL\0VFATAL\0C28000\0MPAM authentication failed for user \"jane\"\0Fauth.c\0L336\0Rauth_failed\0\0";
    insta::assert_snapshot!(shown(&with_explanation(bare, "The token is an hour old.", "Mint another.")), @r#"
    FATAL 28000: PAM authentication failed for user "jane"
    DETAIL: The token is an hour old.
    HINT: Mint another.
    "#);
    let full = b"SFATAL\0C28000\0Mno\0Dits own\0Hits own too\0\0";
    assert_eq!(with_explanation(full, "ours", "ours"), message(b'E', full));
    // Every field that was there is still there, as it was.
    let explained = with_explanation(bare, "d", "h");
    assert!(explained[HEADER..].starts_with(&bare[..bare.len() - 1]));
}

#[test]
fn an_error_says_what_it_has() {
    let whole = error_fields(b"SFATAL\0C3D000\0Mdatabase \"x\" does not exist\0\0");
    assert_eq!(whole.to_string(), "3D000: database \"x\" does not exist");
    assert_eq!(error_fields(b"").to_string(), ": ");
    assert_eq!(error_fields(b"Cabc").code, "", "a field without an end is none");
    assert_eq!(error_fields(b"M\xff\0").message, "\u{fffd}");
}

#[test]
fn a_message_is_read_when_all_of_it_is_there() {
    let bytes = query("SELECT 1");
    for cut in 0..bytes.len() {
        assert!(read_message(&inbox(&bytes[..cut]), 100).unwrap().is_none(), "{cut}");
    }
    let whole = inbox(&[&bytes, b"more".as_slice()].concat());
    assert_eq!(
        read_message(&whole, 100).unwrap(),
        Some((b'Q', b"SELECT 1\0".as_slice(), bytes.len()))
    );
}

#[test]
fn a_length_is_bounded_before_anything_of_it_has_come() {
    let read = |length: u32, max| {
        read_message(&inbox(&[[b'p'].as_slice(), &length.to_be_bytes()].concat()), max).map(|_| ())
    };
    assert!(read(4, 5).is_ok() && read(5, 5).is_err() && read(5, 6).is_ok());
    for length in [0, 3, 65_536, u32::MAX] {
        let fault = read(length, MAX_LOGIN_MESSAGE).unwrap_err();
        assert_eq!(
            fault.to_string(),
            format!("a message of kind 'p' says it is {length} bytes long; 4 to 65535 can be")
        );
    }
}

#[test]
fn a_key_is_4_to_256_bytes_and_shown_to_nobody() {
    assert!(
        CancelKey::parse(&[0; 7]).is_none()
            && CancelKey::parse(&[0; 261]).is_none()
            && CancelKey::parse(b"").is_none()
    );
    for length in [4, 32, 256] {
        assert_eq!(CancelKey::parse(&backend_key_data(&key(length))[HEADER..]), Some(key(length)));
    }
    assert_eq!(format!("{:?}", key(4)), "CancelKey { process: 16909060, .. }");
    let (short, long) = (CancelKey::random(None, 0).unwrap(), CancelKey::random(None, 2).unwrap());
    assert_eq!((short.secret.len(), long.secret.len()), (4, 32));
    assert!(short.process > 0 && i32::try_from(short.process).is_ok());
    assert_ne!(long, CancelKey::random(None, 2).unwrap());
}

proptest! {
    #[test]
    fn what_is_said_is_read(kind: u8, payload in proptest::collection::vec(any::<u8>(), 0..300), behind: Vec<u8>) {
        let inbox = inbox(&[message(kind, &payload), behind].concat());
        prop_assert_eq!(read_message(&inbox, MAX_LOGIN_MESSAGE).unwrap(), Some((kind, payload.as_slice(), payload.len() + HEADER)));
    }

    #[test]
    fn any_error_is_read_and_explained(payload: Vec<u8>) {
        let _error = error_fields(&payload);
        let explained = with_explanation(&payload, "d", "h");
        let read = error_fields(&explained[HEADER..]);
        prop_assert_eq!(read.code, error_fields(&payload).code);
        prop_assert!(explained.ends_with(b"\0\0"));
    }
}
