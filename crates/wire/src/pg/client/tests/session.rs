use crate::exchange::ProtocolError;
use crate::pg::client::{ClientConfig, ClientLogin};
use crate::pg::codec;
use crate::pg::testing::{config, jane, key};
use crate::testing::Side;

use super::{password, plain, rejected, token, within_tls};

/// Returns a login that the server has accepted.
fn authenticated() -> Side<ClientLogin> {
    let mut side = within_tls(config(password()));
    side.feed(&codec::authentication_ok());
    side
}

#[test]
fn server_error_is_forwarded() {
    let message = codec::error_response(
        "FATAL",
        "28000",
        "PAM authentication failed for user \"jane\"",
        None,
        None,
    );
    for first in [Vec::new(), codec::authentication(3, b""), codec::authentication_ok()] {
        let mut side = within_tls(config(token()));
        side.feed(&first);
        side.feed_bytewise(&message);
        let ProtocolError::Refused(error) = side.error() else { panic!("a server error") };
        assert_eq!((error.code.as_str(), error.payload.as_slice()), ("28000", &message[5..]));
        assert_eq!(error.to_string(), "28000: PAM authentication failed for user \"jane\"");
    }
}

/// PostgreSQL uses protocol 2's format if it cannot start a process.
#[test]
fn protocol_2_error_is_parsed() {
    let mut side = plain(password(), true);
    side.feed_bytewise(b"Ecould not fork new process for connection: Cannot allocate memory\n\0");
    let ProtocolError::Refused(error) = side.error() else { panic!("a server error") };
    assert_eq!(
        error.to_string(),
        "08004: could not fork new process for connection: Cannot allocate memory"
    );
    let mut endless = plain(password(), true);
    endless.feed(&[b'E'; 30_000]);
    assert!(endless.is_reading());
    assert!(
        rejected(endless, &[b'E'; 10]).contains("between 4 and 65535"),
        "the length is limited",
    );
}

#[test]
fn protocol_version_is_negotiated() {
    let negotiate =
        |minor: u16, options: &[String]| codec::negotiate_protocol_version(minor, options);
    let mut side = within_tls(config(password()));
    side.feed(&negotiate(0, &[])).feed(&codec::login_ok(&[], &key(4)));
    assert_eq!(side.output().minor, 0);
    let begun = || within_tls(config(password()));
    assert!(rejected(begun(), &negotiate(3, &[])).contains("was not requested"));
    assert!(rejected(begun(), &negotiate(1, &[])).contains("was not requested"));
    assert!(
        rejected(begun(), &negotiate(0, &["_pq_.a".to_owned()])).contains("were not requested")
    );
    assert!(rejected(begun(), &codec::message(b'v', b"\0\x03")).contains("malformed"));
    assert!(
        rejected(begun(), &codec::message(b'v', b"\0\x04\0\0\0\0\0\0"))
            .contains("was not requested")
    );
    let mut side = within_tls(ClientConfig { startup: jane(0), ..config(password()) });
    side.feed(&negotiate(2, &[]));
    assert!(side.error().to_string().contains("was not requested"), "no higher than requested");
    let mut side = begun();
    side.feed(&codec::authentication(3, b"")).sent();
    assert!(rejected(side, &negotiate(0, &[])).contains("too late"));
}

#[test]
fn cancel_key_length_depends_on_the_version() {
    let keyed = |minor, length| {
        let mut side = within_tls(ClientConfig { startup: jane(minor), ..config(password()) });
        side.feed(&codec::login_ok(&[], &key(length)));
        side.result()
            .unwrap()
            .map(|session| session.key.unwrap().secret.len())
            .map_err(|error| error.to_string())
    };
    assert_eq!((keyed(0, 4), keyed(2, 4), keyed(2, 256)), (Ok(4), Ok(4), Ok(256)));
    for (minor, length) in [(0, 5), (0, 3), (2, 3), (2, 257)] {
        assert_eq!(
            keyed(minor, length),
            Err("the server's cancel key is too short or too long".to_owned())
        );
    }
}

#[test]
fn server_may_omit_the_cancel_key() {
    let mut side = within_tls(config(password()));
    side.feed(&codec::authentication_ok()).feed(&codec::ready_for_query(b'T'));
    let session = side.output();
    assert_eq!((session.key, session.status), (None, b'T'));
}

#[test]
fn parameters_are_deduplicated_and_notices_stored() {
    let notice =
        codec::message(b'N', b"SWARNING\0VWARNING\0C01000\0Mcollation version mismatch\0\0");
    let mut side = within_tls(config(password()));
    side.feed(&notice).feed(&codec::authentication_ok());
    side.feed(&codec::parameter_status("TimeZone", "UTC"))
        .feed(&codec::parameter_status("is_superuser", "off"))
        .feed(&notice);
    side.feed(&codec::parameter_status("TimeZone", "Europe/Berlin"))
        .feed(&codec::ready_for_query(b'I'));
    let session = side.output();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        session.parameters,
        [pair("TimeZone", "Europe/Berlin"), pair("is_superuser", "off")]
    );
    assert_eq!(session.notices, notice.repeat(2));
}

#[test]
fn session_data_is_limited() {
    let mut side = authenticated();
    side.feed(&codec::message(b'N', b"Mx\0\0").repeat(3000));
    assert!(side.error().to_string().contains("more than 2048 messages"));
    let many: Vec<u8> =
        (0..300).flat_map(|number| codec::parameter_status(&format!("p{number}"), "")).collect();
    let mut side = authenticated();
    side.feed(&many);
    assert!(side.error().to_string().contains("more than 256 parameters"));
    let mut side = authenticated();
    for _ in 0..100 {
        side.feed(&codec::message(b'N', &[b'x'; 10_000]));
    }
    side.feed(&codec::ready_for_query(b'I'));
    assert!(side.output().notices.len() <= 65_536);
    let long = "x".repeat(60_000);
    let mut side = authenticated();
    side.feed(&codec::parameter_status("a", &long)).feed(&codec::parameter_status("a", &long));
    assert!(side.is_reading(), "the second replaces the first");
    side.feed(&codec::parameter_status("b", &long));
    assert_eq!(side.error().to_string(), "the server's parameters exceed 65536 bytes");
}

#[test]
fn unexpected_message_ends_the_login() {
    assert!(
        rejected(within_tls(config(password())), &codec::parameter_status("a", "b"))
            .contains("type 'S'")
    );
    assert!(
        rejected(within_tls(config(password())), &codec::ready_for_query(b'I'))
            .contains("type 'Z'")
    );
    assert!(rejected(authenticated(), &codec::authentication_ok()).contains("type 'R'"));
    assert!(rejected(authenticated(), &codec::message(b'Z', b"X")).contains("type 'Z'"));
    assert!(rejected(authenticated(), &codec::message(b'Z', b"")).contains("type 'Z'"));
    assert!(rejected(authenticated(), &codec::message(b'S', b"a\0b")).contains("malformed"));
    assert!(rejected(authenticated(), &codec::message(b'S', b"a\0b\0c")).contains("malformed"));
    assert!(rejected(authenticated(), &codec::message(b'S', b"a\0\xff\0")).contains("not UTF-8"));
    assert!(rejected(authenticated(), &codec::message(b'T', b"")).contains("type 'T'"));
    assert!(rejected(authenticated(), b"S\xff\xff\xff\xff").contains("between 4 and 65535"));
    assert!(rejected(authenticated(), b"S\0\x01\0\0").contains("between 4 and 65535"));
}
