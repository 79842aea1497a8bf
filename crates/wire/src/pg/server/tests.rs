use proptest::prelude::*;

use super::*;
use crate::pg::testing::{format, gssenc_request, key, packet, startup, verifier};
use crate::testing::Side;

const JANE: &[&str] = &["user", "jane", "database", "orders", "application_name", "psql"];

fn trust(tls: ClientTlsMode) -> Side<ServerLogin> {
    Side::new(ServerLogin::new(ServerConfig { tls, auth: AuthMethod::Trust }))
}

/// Returns a login that requires the password `open sesame`.
fn scram(tls: ClientTlsMode) -> Side<ServerLogin> {
    Side::new(ServerLogin::new(ServerConfig { tls, auth: AuthMethod::Password(verifier()) }))
}

fn params(side: Side<ServerLogin>) -> StartupParams {
    match side.output() {
        StartupRequest::Login(params) => params,
        StartupRequest::Cancel(key) => panic!("{key:?}"),
    }
}

/// Returns the messages that the client receives after `bytes`, and the logged error.
fn rejected(mut side: Side<ServerLogin>, bytes: &[u8]) -> (String, String) {
    let sent = format(&side.feed(bytes).sent());
    (sent, side.error().to_string())
}

#[test]
fn startup_parameters_are_parsed() {
    let mut side = trust(ClientTlsMode::Off);
    let options = ["options", "-c a=b", "search_path", "x", "options", ""];
    let texts = [["user", "jane", "database", "orders"].as_slice(), &options].concat();
    side.feed(&startup(3, 0, &texts));
    assert_eq!(side.sent(), b"", "AuthenticationOk is sent by the caller");
    let params = params(side);
    assert_eq!(
        (params.minor, params.user.as_str(), params.database.as_deref()),
        (0, "jane", Some("orders"))
    );
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        params.parameters,
        [pair("options", "-c a=b"), pair("search_path", "x"), pair("options", "")]
    );
}

#[test]
fn last_user_and_database_count_and_an_empty_database_is_none() {
    let mut side = trust(ClientTlsMode::Off);
    side.feed(&startup(3, 0, &["user", "john", "database", "a", "user", "jane", "database", ""]));
    let params = params(side);
    assert_eq!((params.user.as_str(), params.database), ("jane", None));
}

#[test]
fn parsed_parameters_encode_to_the_same_message() {
    for minor in [0, 2] {
        let mut side = trust(ClientTlsMode::Off);
        side.feed(&startup(3, minor, JANE));
        assert_eq!(params(side).encode(), startup(3, minor, JANE));
    }
}

#[test]
fn replication_sessions_are_detected() {
    let is_replication = |value: &str| {
        let parameters = vec![("replication".to_owned(), value.to_owned())];
        StartupParams { minor: 0, user: String::new(), database: None, parameters }.is_replication()
    };
    for value in ["true", "on", "yes", "1", "database", "DATABASE", "t", ""] {
        assert!(is_replication(value), "{value}");
    }
    for value in ["false", "f", "OFF", "of", "no", "n", "0", "fal"] {
        assert!(!is_replication(value), "{value}");
    }
    assert!(is_replication("o"), "`o` is ambiguous: the server rejects it");
}

#[test]
fn protocol_version_and_options_are_negotiated() {
    let negotiate = |minor, more: &[&str]| {
        let mut side = trust(ClientTlsMode::Off);
        side.feed(&startup(3, minor, &[JANE, more].concat()));
        (format(&side.sent()), params(side).minor)
    };
    assert_eq!(negotiate(0, &[]), (String::new(), 0));
    assert_eq!(negotiate(2, &[]), (String::new(), 2));
    assert_eq!(negotiate(1, &[]).1, 0, "PostgreSQL never supported 3.1");
    let options = ["_pq_.test_protocol_negotiation", "", "_pq_.b", "1"];
    insta::assert_snapshot!(negotiate(9999, &options).0, @r"v \x00\x03\x00\x02\x00\x00\x00\x02_pq_.test_protocol_negotiation\x00_pq_.b\x00");
    assert_eq!(negotiate(9999, &[]).1, 2);
    let negotiated = negotiate(0, &["_pq_.a", "1"]).0;
    insta::assert_snapshot!(negotiated, @r"v \x00\x03\x00\x00\x00\x00\x00\x01_pq_.a\x00");
}

#[test]
fn protocol_options_are_not_forwarded() {
    let mut side = trust(ClientTlsMode::Off);
    side.feed(&startup(3, 2, &["user", "jane", "_pq_.a", "1"]));
    assert_eq!(params(side).parameters, []);
}

#[test]
fn unsupported_encryption_is_declined() {
    let mut side = trust(ClientTlsMode::Off);
    assert_eq!(side.feed(&gssenc_request()).sent(), b"N");
    assert_eq!(side.feed(&codec::ssl_request()).sent(), b"N");
    side.feed(&startup(3, 0, JANE));
    assert_eq!(params(side).user, "jane");
}

#[test]
fn tls_starts_after_ssl_request() {
    for tls in [ClientTlsMode::Offered, ClientTlsMode::Required] {
        let mut side = trust(tls);
        assert_eq!(side.feed(&gssenc_request()).sent(), b"N");
        assert_eq!(side.feed(&codec::ssl_request()).sent(), b"S");
        assert!(side.awaits_tls());
        side.establish_tls(TlsInfo::default()).feed(&startup(3, 0, JANE));
        assert_eq!(params(side).user, "jane");
    }
}

#[test]
fn direct_tls_requires_alpn() {
    let mut side = trust(ClientTlsMode::Required);
    side.feed(b"\x16\x03\x01");
    assert!(side.awaits_tls());
    let sent = side.sent();
    assert_eq!((sent, side.unread()), (Vec::new(), b"\x16\x03\x01".as_slice()), "left for TLS");
    // PostgreSQL declines a second request too.
    let tls = TlsInfo { server_end_point: None, alpn_protocol: Some(codec::ALPN.to_vec()) };
    assert_eq!(side.establish_tls(tls).feed(&codec::ssl_request()).sent(), b"N");
    side.feed(&startup(3, 0, JANE));
    assert_eq!(params(side).user, "jane");
    for alpn_protocol in [None, Some(b"http/1.1".to_vec())] {
        let mut side = trust(ClientTlsMode::Offered);
        side.feed(b"\x16").establish_tls(TlsInfo { server_end_point: None, alpn_protocol });
        assert_eq!(side.sent(), b"", "PostgreSQL sends nothing either");
        assert!(side.error().to_string().contains("without the ALPN protocol"));
    }
}

#[test]
fn unencrypted_data_after_an_encryption_request_is_rejected() {
    for request in [codec::ssl_request(), gssenc_request()] {
        let bytes = [request, startup(3, 0, JANE)].concat();
        let (sent, _) = rejected(trust(ClientTlsMode::Offered), &bytes);
        assert!(sent.starts_with("FATAL 08P01: received unencrypted data after "), "{sent}");
    }
    let bytes = [codec::ssl_request(), vec![0]].concat();
    let (sent, _) = rejected(trust(ClientTlsMode::Off), &bytes);
    assert!(sent.starts_with("FATAL 08P01: "), "{sent}");
}

#[test]
fn repeated_encryption_request_is_rejected() {
    for request in [codec::ssl_request(), gssenc_request()] {
        let mut side = trust(ClientTlsMode::Off);
        side.feed(&request);
        assert_eq!(side.sent(), b"N");
        let (sent, _) = rejected(side, &request);
        assert_eq!(sent, "FATAL 08P01: the client requested encryption twice, or within TLS\n");
    }
    let mut side = trust(ClientTlsMode::Offered);
    side.feed(&codec::ssl_request());
    side.sent();
    side.establish_tls(TlsInfo::default());
    assert!(rejected(side, &codec::ssl_request()).0.starts_with("FATAL 08P01: "));
}

#[test]
fn cancel_request_needs_neither_tls_nor_password() {
    for length in [4, 32, 256] {
        let mut side = scram(ClientTlsMode::Required);
        side.feed_bytewise(&codec::cancel_request(&key(length)));
        assert_eq!(side.sent(), b"");
        assert!(
            matches!(side.output(), StartupRequest::Cancel(parsed) if parsed == key(length)),
            "{length}"
        );
    }
    for length in [0, 3, 257] {
        let (sent, error) =
            rejected(trust(ClientTlsMode::Off), &codec::cancel_request(&key(length)));
        assert_eq!(
            (sent.as_str(), error.as_str()),
            ("", "the secret of a cancel request is not 4 to 256 bytes long"),
            "{length}"
        );
    }
}

#[test]
fn cancel_request_is_accepted_within_tls() {
    let mut side = trust(ClientTlsMode::Required);
    side.feed(&codec::ssl_request());
    side.establish_tls(TlsInfo::default()).feed(&codec::cancel_request(&key(32)));
    assert!(matches!(side.output(), StartupRequest::Cancel(_)));
}

#[test]
fn clients_of_other_protocols_get_no_response() {
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".as_slice(),
        b"\0\0\0\x07abc",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\0\0\x27\x15\0\x03\0\0",
        b"SSH-2.0-OpenSSH_9.9\r\n",
    ] {
        let (sent, error) = rejected(trust(ClientTlsMode::Off), bytes);
        assert_eq!(sent, "");
        assert!(error.contains("does not use PostgreSQL's protocol"), "{error}");
    }
    let (sent, error) = rejected(trust(ClientTlsMode::Off), b"\x16\x03\x01\x02\0");
    assert_eq!((sent.as_str(), error.contains("sslnegotiation=direct")), ("", true), "{error}");
}

#[test]
fn startup_packet_has_a_maximum_length() {
    let of_length = |body: usize| {
        let fixed = packet(3 << 16, b"user\0jane\0a\0\0\0").len() - 4;
        packet(
            3 << 16,
            &[b"user\0jane\0a\0".as_slice(), &vec![b'x'; body - fixed], b"\0\0"].concat(),
        )
    };
    let mut side = trust(ClientTlsMode::Off);
    side.feed(&of_length(codec::MAX_STARTUP));
    assert_eq!(params(side).user, "jane");
    assert_eq!(rejected(trust(ClientTlsMode::Off), &of_length(codec::MAX_STARTUP + 1)).0, "");
}

/// Lists the errors that a client can receive before the authentication.
#[test]
fn errors_name_a_cause() {
    let v3 = |body: &[u8]| packet(3 << 16, body);
    let cases = [
        ("TLS is required", ClientTlsMode::Required, startup(3, 0, JANE)),
        ("data after SSLRequest", ClientTlsMode::Offered, [codec::ssl_request(), vec![1]].concat()),
        ("data after GSSENCRequest", ClientTlsMode::Offered, [gssenc_request(), vec![1]].concat()),
        ("SSLRequest with content", ClientTlsMode::Offered, packet(codec::SSL_REQUEST, b"x")),
        ("protocol 2", ClientTlsMode::Off, startup(2, 0, JANE)),
        ("protocol 4", ClientTlsMode::Off, startup(4, 1, JANE)),
        ("no user", ClientTlsMode::Off, startup(3, 0, &["database", "orders"])),
        ("unterminated string", ClientTlsMode::Off, v3(b"user\0jane")),
        ("no terminator", ClientTlsMode::Off, v3(b"user\0jane\0")),
        ("data after the terminator", ClientTlsMode::Off, v3(b"user\0jane\0\0x")),
        ("not UTF-8", ClientTlsMode::Off, v3(b"user\0j\xe4ne\0\0")),
    ];
    let sent = cases.map(|(case, tls, bytes)| {
        let (sent, _) = rejected(trust(tls), &bytes);
        format!("-- {case}\n{sent}")
    });
    // The longest line is wrapped.
    let sent = sent.concat().replace("or evidence", "or\n  evidence");
    insta::assert_snapshot!(sent, @r#"
    -- TLS is required
    FATAL 28000: connection requires TLS (user "jane")
    HINT: Connect with sslmode=require or stricter.
    -- data after SSLRequest
    FATAL 08P01: received unencrypted data after SSL request
    DETAIL: This could be either a client-software bug or
      evidence of an attempted man-in-the-middle attack.
    -- data after GSSENCRequest
    FATAL 08P01: received unencrypted data after GSSAPI encryption request
    DETAIL: This could be either a client-software bug or
      evidence of an attempted man-in-the-middle attack.
    -- SSLRequest with content
    FATAL 08P01: an encryption request with content
    -- protocol 2
    FATAL 0A000: unsupported frontend protocol 2.0: server supports 3.0 to 3.2
    -- protocol 4
    FATAL 0A000: unsupported frontend protocol 4.1: server supports 3.0 to 3.2
    -- no user
    FATAL 28000: no PostgreSQL user name specified in startup packet
    -- unterminated string
    FATAL 08P01: invalid startup packet layout: unterminated string
    -- no terminator
    FATAL 08P01: invalid startup packet layout: unterminated string
    -- data after the terminator
    FATAL 08P01: invalid startup packet layout: expected terminator as last byte
    -- not UTF-8
    FATAL 22021: the startup packet contains a name or a value that is not UTF-8
    HINT: Use names of users and databases, and values of settings, that are UTF-8.
    "#);
}

#[test]
fn sasl_is_requested_after_the_negotiation() {
    let mut side = scram(ClientTlsMode::Off);
    side.feed(&startup(3, 7, JANE));
    assert!(format(&side.sent()).starts_with("v "));
}

proptest! {
    #[test]
    fn splitting_the_input_changes_nothing(
        pieces in proptest::collection::vec(1..20_usize, 1..30),
        minor in 0..4_u16,
    ) {
        let bytes = startup(3, minor, &[JANE, &["_pq_.x", "1"]].concat());
        let mut whole = trust(ClientTlsMode::Off);
        let mut split = trust(ClientTlsMode::Off);
        whole.feed(&bytes);
        let mut rest = bytes.as_slice();
        for piece in pieces.into_iter().cycle() {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            split.feed(now);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(whole.sent(), split.sent());
        prop_assert_eq!(params(whole), params(split));
    }

    #[test]
    fn no_input_panics(
        bytes: Vec<u8>,
        within_tls: Vec<u8>,
        tls in prop_oneof![
            Just(ClientTlsMode::Off),
            Just(ClientTlsMode::Offered),
            Just(ClientTlsMode::Required)
        ],
    ) {
        let mut side = scram(tls);
        side.feed(&bytes);
        if side.awaits_tls() {
            let tls = TlsInfo {
                server_end_point: Some(vec![1]),
                alpn_protocol: Some(codec::ALPN.to_vec()),
            };
            side.establish_tls(tls).feed(&within_tls);
        }
        let mut side = scram(tls);
        side.feed(&startup(3, 2, JANE)).feed(&bytes).feed(&within_tls);
    }
}
