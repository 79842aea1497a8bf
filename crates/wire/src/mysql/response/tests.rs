use proptest::prelude::*;

use super::*;
use crate::mysql::tests::{MARIADB_1011, MYSQL_97, greeting, hex};

const DENIED: &[u8] =
    b"\xff\x15\x04#28000Access denied for user 'nat'@'localhost' (using password: YES)";

#[test]
fn an_error_is_read_as_people_know_it() {
    let error = error_fields(DENIED);
    assert_eq!(
        error.to_string(),
        "1045 (28000): Access denied for user 'nat'@'localhost' (using password: YES)"
    );
    assert_eq!(error.payload, DENIED);
    assert_eq!(error_number(DENIED), Some(1045));
    // Ahead of a login it has no SQLSTATE.
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
fn an_error_is_written_as_it_is_read() {
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
    // A SQLSTATE has five characters, whatever is given.
    assert_eq!(error_packet(0, 1, "1", "x", Capabilities::PROTOCOL_41)[7..], *b"#10000x");
}

#[test]
fn an_explanation_has_the_room_that_is_left() {
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
fn oks_of_real_servers() {
    // Of MariaDB 10.11 and MySQL 9.7 behind a login that named the database "mysql".
    let payload = hex("000000024000000008 0106056d7973716c");
    let okay = OkPacket::parse(&payload, Capabilities::SESSION_TRACK).unwrap();
    let status = status::AUTOCOMMIT | status::SESSION_STATE_CHANGED;
    assert_eq!(
        okay,
        OkPacket { status, changes: b"\x01\x06\x05mysql".to_vec(), ..OkPacket::default() }
    );
    assert_eq!(okay.encode(Capabilities::SESSION_TRACK), payload);
    assert_eq!(okay.encode(Capabilities::NONE), hex("00000002000000"));
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

fn session(ok: &str, capabilities: Capabilities) -> Session {
    let ok = hex(ok);
    let status = OkPacket::parse(&ok, capabilities).unwrap().status;
    Session { greeting: greeting(MYSQL_97), connection_id: 1, capabilities, ok, status }
}

#[test]
fn a_client_is_welcomed_in_the_way_it_can_read() {
    let tracking = session("000000024000000008 0106056d7973716c", Capabilities::SESSION_TRACK);
    assert_eq!(
        login_ok(&tracking, 4, Capabilities::SESSION_TRACK),
        hex("11000004 000000024000000008 0106056d7973716c")
    );
    assert_eq!(login_ok(&tracking, 2, Capabilities::NONE), hex("07000002 00000002000000"));
    // MariaDB's proof that its certificate is its own.
    let proof = session("00000002000000 0301aabb", Capabilities::SESSION_TRACK);
    assert_eq!(login_ok(&proof, 2, Capabilities::SESSION_TRACK), hex("07000002 00000002000000"));
}

#[test]
fn capabilities_are_named() {
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
    fn an_ok_is_read_as_it_was_written(affected: u64, insert_id: u64, status: u16, warnings: u16, info: Vec<u8>, changes: Vec<u8>, tracks: bool) {
        let capabilities = Capabilities::NONE.set(Capabilities::SESSION_TRACK, tracks);
        let tracks = tracks && status & status::SESSION_STATE_CHANGED != 0;
        let okay = OkPacket { affected, insert_id, status, warnings, info, changes };
        let status = if tracks { status } else { status & !status::SESSION_STATE_CHANGED };
        let read = OkPacket::parse(&okay.encode(capabilities), capabilities);
        prop_assert_eq!(read, Some(OkPacket { changes: if tracks { okay.changes.clone() } else { Vec::new() }, status, ..okay }));
    }

    #[test]
    fn whatever_comes_is_an_ok_or_not(payload: Vec<u8>, tracks: bool) {
        let capabilities = Capabilities::NONE.set(Capabilities::SESSION_TRACK, tracks);
        let _ = OkPacket::parse(&payload, capabilities);
        let _ = error_fields(&payload);
        prop_assert!(with_explanation(&payload, "because").len() <= payload.len() + 9);
    }
}
