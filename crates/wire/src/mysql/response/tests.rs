use proptest::prelude::*;

use super::*;
use crate::mysql::tests::{MARIADB_1011, greeting, hex};

const DENIED: &[u8] =
    b"\xff\x15\x04#28000Access denied for user 'nat'@'localhost' (using password: YES)";

#[test]
fn err_packet_is_parsed() {
    let error = error_fields(DENIED);
    assert_eq!(
        error.to_string(),
        "1045 (28000): Access denied for user 'nat'@'localhost' (using password: YES)"
    );
    assert_eq!(error.payload, DENIED);
    // Before the login it has no SQLSTATE.
    let error = error_fields(b"\xff\x10\x04Too many connections");
    assert_eq!(error.to_string(), "1040 (HY000): Too many connections");
    assert_eq!(
        with_sqlstate(&error.payload, Capabilities::PROTOCOL_41),
        b"\xff\x10\x04#08004Too many connections"
    );
    assert_eq!(with_sqlstate(DENIED, Capabilities::PROTOCOL_41), DENIED);
    assert_eq!(error_fields(b"").to_string(), ": ");
}

#[test]
fn err_packet_is_encoded() {
    let packet = error_packet(
        2,
        1045,
        "28000",
        "Access denied for user 'nat'@'localhost' (using password: YES)",
        Capabilities::PROTOCOL_41,
    );
    assert_eq!(packet[..4], [71, 0, 0, 2]);
    assert_eq!(packet[4..], *DENIED);
    assert_eq!(
        error_packet(0, 1040, "08004", "no", Capabilities::NONE),
        b"\x05\0\0\0\xff\x10\x04no"
    );
    // SQLSTATE always has five characters.
    assert_eq!(error_packet(0, 1, "1", "x", Capabilities::PROTOCOL_41)[7..], *b"#10000x");
}

#[test]
fn explanation_is_truncated_to_the_maximum_length() {
    let explained = with_explanation(DENIED, "the token has expired");
    assert_eq!(
        error_fields(&explained).message,
        "Access denied for user 'nat'@'localhost' (using password: YES): the token has expired"
    );
    let long = error_fields(&with_explanation(DENIED, &"ü".repeat(400))).message;
    assert!((510..=511).contains(&long.len()), "{}", long.len());
    let full = [b"\xff\x15\x04#28000".as_slice(), &[b'x'; 511]].concat();
    assert_eq!(with_explanation(&full, "no room"), full);
    assert_eq!(with_explanation(b"\0no error", "x"), b"\0no error");
}

#[test]
fn ok_packets_of_real_servers_are_parsed() {
    // MariaDB 10.11 and MySQL 9.7 after a login with the database "mysql".
    let payload = hex("000000024000000008 0106056d7973716c");
    let ok = OkPacket::parse(&payload, Capabilities::SESSION_TRACK).unwrap();
    let status = status::AUTOCOMMIT | status::SESSION_STATE_CHANGED;
    assert_eq!(
        ok,
        OkPacket { status, session_state: b"\x01\x06\x05mysql".to_vec(), ..OkPacket::default() }
    );
    assert_eq!(ok.encode(Capabilities::SESSION_TRACK), payload);
    assert_eq!(ok.encode(Capabilities::NONE), hex("00000002000000"));
    let plain = hex("00000002000000");
    assert_eq!(
        OkPacket::parse(&plain, Capabilities::SESSION_TRACK)
            .unwrap()
            .encode(Capabilities::SESSION_TRACK),
        plain
    );
    assert_eq!(OkPacket::parse(&hex("0000000240"), Capabilities::NONE), None);
    assert_eq!(OkPacket::parse(&hex("ff000002000000"), Capabilities::NONE), None);
}

#[test]
fn ok_packet_is_forwarded_as_the_client_understands_it() {
    let track = Capabilities::SESSION_TRACK;
    let state = hex("000000024000000008 0106056d7973716c");
    let forwarded = hex("11000004 000000024000000008 0106056d7973716c");
    assert_eq!(forward_ok(&state, track, 4, track), forwarded);
    let plain = hex("07000002 00000002000000");
    assert_eq!(forward_ok(&state, track, 2, Capabilities::NONE), plain);
    // MariaDB's proof of its certificate.
    let proof = hex("00000002000000 0301aabb");
    assert_eq!(forward_ok(&proof, track, 2, track), plain);
}

#[test]
fn capabilities_are_listed_by_name() {
    let mariadb = greeting(MARIADB_1011).capabilities;
    assert!(mariadb.has(
        Capabilities::EXTENDED_METADATA
            | Capabilities::CACHE_METADATA
            | Capabilities::DEPRECATE_EOF
    ));
    assert!(!mariadb.has_any(Capabilities::QUERY_ATTRIBUTES | Capabilities::MYSQL));
    assert_eq!(format!("{:?}", Capabilities::SSL | Capabilities::PROGRESS), "SSL PROGRESS");
}

proptest! {
    #[test]
    fn encoded_ok_packet_is_parsed(
        affected_rows: u64,
        last_insert_id: u64,
        status: u16,
        warnings: u16,
        info: Vec<u8>,
        session_state: Vec<u8>,
        tracks: bool,
    ) {
        let capabilities = Capabilities::NONE.set(Capabilities::SESSION_TRACK, tracks);
        let tracks = tracks && status & status::SESSION_STATE_CHANGED != 0;
        let ok = OkPacket { affected_rows, last_insert_id, status, warnings, info, session_state };
        let status = if tracks { status } else { status & !status::SESSION_STATE_CHANGED };
        let read = OkPacket::parse(&ok.encode(capabilities), capabilities);
        prop_assert_eq!(
            read,
            Some(
                OkPacket {
                    session_state: if tracks { ok.session_state.clone() } else { Vec::new() },
                    status,
                    ..ok
                },
            ),
        );
    }

    #[test]
    fn no_input_panics(payload: Vec<u8>, tracks: bool) {
        let capabilities = Capabilities::NONE.set(Capabilities::SESSION_TRACK, tracks);
        let _ = OkPacket::parse(&payload, capabilities);
        let _ = error_fields(&payload);
        prop_assert!(with_explanation(&payload, "details").len() <= payload.len() + 9);
    }
}
