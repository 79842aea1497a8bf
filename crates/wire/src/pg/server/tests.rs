use proptest::prelude::*;

use super::*;
use crate::pg::scram::client::{Binding, ClientFirst};
use crate::pg::testing::{key, packet, secret, shown, startup, verifier};
use crate::testing::Side;

const JANE: &[&str] = &["user", "jane", "database", "orders", "application_name", "psql"];

fn login(tls: ClientTlsMode) -> Side<ServerLogin> {
    Side::new(ServerLogin::new(ServerConfig { tls, ask: AuthMethod::Trust }))
}

/// One that asks for the password `open sesame`.
fn guarded(tls: ClientTlsMode) -> Side<ServerLogin> {
    Side::new(ServerLogin::new(ServerConfig { tls, ask: AuthMethod::Password(verifier()) }))
}

fn come(side: Side<ServerLogin>) -> StartupParams {
    match side.outcome() {
        StartupRequest::Login(startup) => startup,
        StartupRequest::Cancel(key) => panic!("{key:?}"),
    }
}

/// What a client reads whose packet is refused, and what is logged of it.
fn refused(mut side: Side<ServerLogin>, bytes: &[u8]) -> (String, String) {
    let told = shown(&side.feed(bytes).sent());
    (told, side.fault().to_string())
}

#[test]
fn a_client_says_who_it_is() {
    let mut side = login(ClientTlsMode::Off);
    side.feed(&startup(
        3,
        0,
        &[
            "user",
            "jane",
            "options",
            "-c a=b",
            "database",
            "orders",
            "search_path",
            "x",
            "options",
            "",
        ],
    ));
    assert_eq!(side.sent(), b"", "there is nothing to say before AuthenticationOk");
    let startup = come(side);
    assert_eq!(
        (startup.minor, startup.user.as_str(), startup.database.as_deref()),
        (0, "jane", Some("orders"))
    );
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        startup.parameters,
        [pair("options", "-c a=b"), pair("search_path", "x"), pair("options", "")]
    );
}

#[test]
fn of_two_users_and_databases_the_last_counts_and_an_empty_database_is_none() {
    let mut side = login(ClientTlsMode::Off);
    side.feed(&startup(3, 0, &["user", "john", "database", "a", "user", "jane", "database", ""]));
    let startup = come(side);
    assert_eq!((startup.user.as_str(), startup.database), ("jane", None));
}

#[test]
fn what_a_client_asks_for_is_what_a_server_is_asked_for() {
    for minor in [0, 2] {
        let mut side = login(ClientTlsMode::Off);
        side.feed(&startup(3, minor, JANE));
        assert_eq!(come(side).encode(), startup(3, minor, JANE));
    }
}

#[test]
fn a_replication_is_told_from_all_else() {
    let is_replication = |value: &str| {
        let parameters = vec![("replication".to_owned(), value.to_owned())];
        StartupParams { minor: 0, user: String::new(), database: None, parameters }.is_replication()
    };
    assert!(
        ["true", "on", "yes", "1", "database", "DATABASE", "t", ""]
            .map(is_replication)
            .iter()
            .all(|yes| *yes)
    );
    assert!(
        ["false", "f", "OFF", "of", "no", "n", "0", "fal"]
            .map(is_replication)
            .iter()
            .all(|yes| !yes)
    );
    assert!(is_replication("o"), "`o` may be on or off: the server refuses it");
}

#[test]
fn the_protocol_is_negotiated_down_to_what_there_is() {
    let negotiated = |minor, more: &[&str]| {
        let mut side = login(ClientTlsMode::Off);
        side.feed(&startup(3, minor, &[JANE, more].concat()));
        (shown(&side.sent()), come(side).minor)
    };
    assert_eq!(negotiated(0, &[]), (String::new(), 0));
    assert_eq!(negotiated(2, &[]), (String::new(), 2));
    assert_eq!(negotiated(1, &[]).1, 0, "3.1 was never spoken");
    insta::assert_snapshot!(negotiated(9999, &["_pq_.test_protocol_negotiation", "", "_pq_.b", "1"]).0, @r"v \x00\x03\x00\x02\x00\x00\x00\x02_pq_.test_protocol_negotiation\x00_pq_.b\x00");
    assert_eq!(negotiated(9999, &[]).1, 2);
    insta::assert_snapshot!(negotiated(0, &["_pq_.a", "1"]).0, @r"v \x00\x03\x00\x00\x00\x00\x00\x01_pq_.a\x00");
}

#[test]
fn options_of_the_protocol_are_not_handed_on() {
    let mut side = login(ClientTlsMode::Off);
    side.feed(&startup(3, 2, &["user", "jane", "_pq_.a", "1"]));
    assert_eq!(come(side).parameters, []);
}

#[test]
fn encryption_that_there_is_not_is_declined() {
    let mut side = login(ClientTlsMode::Off);
    assert_eq!(side.feed(&codec::gss_request()).sent(), b"N");
    assert_eq!(side.feed(&codec::tls_request()).sent(), b"N");
    side.feed(&startup(3, 0, JANE));
    assert_eq!(come(side).user, "jane");
}

#[test]
fn tls_is_begun_where_it_is_asked_for() {
    for tls in [ClientTlsMode::Offered, ClientTlsMode::Required] {
        let mut side = login(tls);
        assert_eq!(side.feed(&codec::gss_request()).sent(), b"N");
        assert_eq!(side.feed(&codec::tls_request()).sent(), b"S");
        assert!(side.is_securing());
        side.secure(TlsInfo::default()).feed(&startup(3, 0, JANE));
        assert_eq!(come(side).user, "jane");
    }
}

#[test]
fn tls_may_begin_at_once() {
    let mut side = login(ClientTlsMode::Required);
    side.feed(b"\x16\x03\x01");
    assert!(side.is_securing());
    assert_eq!(
        (side.sent(), side.unread()),
        (Vec::new(), b"\x16\x03\x01".as_slice()),
        "the hello is TLS's"
    );
    // PostgreSQL answers the same to who asks once more.
    let peer = TlsInfo { end_point: None, protocol: Some(codec::ALPN.to_vec()) };
    assert_eq!(side.secure(peer).feed(&codec::tls_request()).sent(), b"N");
    side.feed(&startup(3, 0, JANE));
    assert_eq!(come(side).user, "jane");
    for protocol in [None, Some(b"http/1.1".to_vec())] {
        let mut side = login(ClientTlsMode::Offered);
        side.feed(b"\x16").secure(TlsInfo { end_point: None, protocol });
        assert_eq!(side.sent(), b"", "PostgreSQL says nothing either");
        assert!(side.fault().to_string().contains("does not name PostgreSQL in it (ALPN)"));
    }
}

#[test]
fn nothing_may_come_between_a_request_and_tls() {
    for request in [codec::tls_request(), codec::gss_request()] {
        let (told, _) =
            refused(login(ClientTlsMode::Offered), &[request, startup(3, 0, JANE)].concat());
        assert!(told.starts_with("FATAL 08P01: received unencrypted data after "), "{told}");
    }
    let (told, _) = refused(login(ClientTlsMode::Off), &[codec::tls_request(), vec![0]].concat());
    assert!(told.starts_with("FATAL 08P01: "), "{told}");
}

#[test]
fn encryption_is_asked_for_once() {
    for request in [codec::tls_request(), codec::gss_request()] {
        let mut side = login(ClientTlsMode::Off);
        side.feed(&request);
        assert_eq!(side.sent(), b"N");
        let (told, _) = refused(side, &request);
        assert_eq!(told, "FATAL 08P01: the client asks for encryption twice, or within TLS\n");
    }
    let mut side = login(ClientTlsMode::Offered);
    side.feed(&codec::tls_request());
    side.sent();
    side.secure(TlsInfo::default());
    assert!(refused(side, &codec::tls_request()).0.starts_with("FATAL 08P01: "));
}

#[test]
fn a_cancel_is_taken_without_tls_and_without_a_password() {
    for length in [4, 32, 256] {
        let mut side = guarded(ClientTlsMode::Required);
        side.feed_slowly(&codec::cancel_request(&key(length)));
        assert_eq!(side.sent(), b"");
        assert!(
            matches!(side.outcome(), StartupRequest::Cancel(taken) if taken == key(length)),
            "{length}"
        );
    }
    for length in [0, 3, 257] {
        let (told, why) = refused(login(ClientTlsMode::Off), &codec::cancel_request(&key(length)));
        assert_eq!(
            (told.as_str(), why.as_str()),
            ("", "a cancel request whose secret isn't 4 to 256 bytes long"),
            "{length}"
        );
    }
}

#[test]
fn a_cancel_within_tls_is_taken_too() {
    let mut side = login(ClientTlsMode::Required);
    side.feed(&codec::tls_request());
    side.secure(TlsInfo::default()).feed(&codec::cancel_request(&key(32)));
    assert!(matches!(side.outcome(), StartupRequest::Cancel(_)));
}

#[test]
fn strangers_are_left_without_an_answer() {
    for bytes in [
        b"GET / HTTP/1.1\r\n\r\n".as_slice(),
        b"\0\0\0\x07abc",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        b"\0\0\x27\x15\0\x03\0\0",
        b"SSH-2.0-OpenSSH_9.9\r\n",
    ] {
        let (told, why) = refused(login(ClientTlsMode::Off), bytes);
        assert_eq!(told, "");
        assert!(why.contains("does not speak PostgreSQL's protocol"), "{why}");
    }
    let (told, why) = refused(login(ClientTlsMode::Off), b"\x16\x03\x01\x02\0");
    assert_eq!((told.as_str(), why.contains("sslnegotiation=direct")), ("", true), "{why}");
}

#[test]
fn the_longest_packet_is_taken_and_none_that_is_longer() {
    let of_length = |body: usize| {
        let fixed = packet(3 << 16, b"user\0jane\0a\0\0\0").len() - 4;
        packet(
            3 << 16,
            &[b"user\0jane\0a\0".as_slice(), &vec![b'x'; body - fixed], b"\0\0"].concat(),
        )
    };
    let mut side = login(ClientTlsMode::Off);
    side.feed(&of_length(codec::MAX_STARTUP));
    assert_eq!(come(side).user, "jane");
    assert_eq!(refused(login(ClientTlsMode::Off), &of_length(codec::MAX_STARTUP + 1)).0, "");
}

/// Everything that a client may read from here, in one place.
#[test]
fn each_error_says_what_to_do() {
    let mut told = Vec::new();
    let mut tell = |what: &str, side: Side<ServerLogin>, bytes: &[u8]| {
        told.push(format!("-- {what}\n{}", refused(side, bytes).0))
    };
    tell("no TLS where it is required", login(ClientTlsMode::Required), &startup(3, 0, JANE));
    tell(
        "data behind SSLRequest",
        login(ClientTlsMode::Offered),
        &[codec::tls_request(), vec![1]].concat(),
    );
    tell(
        "data behind GSSENCRequest",
        login(ClientTlsMode::Offered),
        &[codec::gss_request(), vec![1]].concat(),
    );
    tell(
        "an SSLRequest with a body",
        login(ClientTlsMode::Offered),
        &packet(codec::TLS_REQUEST, b"x"),
    );
    tell("protocol 2", login(ClientTlsMode::Off), &startup(2, 0, JANE));
    tell("protocol 4", login(ClientTlsMode::Off), &startup(4, 1, JANE));
    tell("nobody", login(ClientTlsMode::Off), &startup(3, 0, &["database", "orders"]));
    tell("a text without an end", login(ClientTlsMode::Off), &packet(3 << 16, b"user\0jane"));
    tell("no end", login(ClientTlsMode::Off), &packet(3 << 16, b"user\0jane\0"));
    tell(
        "something behind the end",
        login(ClientTlsMode::Off),
        &packet(3 << 16, b"user\0jane\0\0x"),
    );
    tell("not UTF-8", login(ClientTlsMode::Off), &packet(3 << 16, b"user\0j\xe4ne\0\0"));
    let asked = || {
        let mut side = guarded(ClientTlsMode::Off);
        side.feed(&startup(3, 0, JANE)).sent();
        side
    };
    let sasl = |mechanism: &str, first: &str| {
        let length = u32::try_from(first.len()).unwrap().to_be_bytes();
        codec::message(b'p', &[mechanism.as_bytes(), &[0], &length, first.as_bytes()].concat())
    };
    tell("another message", asked(), &codec::query("SELECT 1"));
    tell("a password in clear text", asked(), &codec::message(b'p', b"open sesame\0"));
    tell("a message without an end", asked(), &codec::message(b'p', b"open sesame"));
    tell("a message that is too long", asked(), &codec::message(b'p', &[b'x'; 1025]));
    tell("another mechanism", asked(), &sasl("SCRAM-SHA-1", "n,,n=,r=abc"));
    tell(
        "a mechanism that was not offered",
        asked(),
        &sasl("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=abc"),
    );
    tell("an authorization identity", asked(), &sasl("SCRAM-SHA-256", "n,a=postgres,n=,r=abc"));
    tell("no nonce", asked(), &sasl("SCRAM-SHA-256", "n,,n="));
    let mut challenged = asked();
    challenged.feed(&sasl("SCRAM-SHA-256", "n,,n=,r=abc")).sent();
    tell("no proof", challenged, &codec::message(b'p', b"c=biws,r=abc"));
    let (mut wrong, proof) = prove(asked(), "open barley", Binding::None, "SCRAM-SHA-256");
    wrong.sent();
    tell("a wrong password", wrong, &proof);
    insta::assert_snapshot!(told.concat(), @r#"
    -- no TLS where it is required
    FATAL 28000: the proxy takes in nobody without TLS, and the connection of user "jane" has no encryption
    HINT: Connect with sslmode=require or stricter.
    -- data behind SSLRequest
    FATAL 08P01: received unencrypted data after SSL request
    DETAIL: This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.
    -- data behind GSSENCRequest
    FATAL 08P01: received unencrypted data after GSSAPI encryption request
    DETAIL: This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.
    -- an SSLRequest with a body
    FATAL 08P01: a request for encryption with something in it
    -- protocol 2
    FATAL 0A000: unsupported frontend protocol 2.0: server supports 3.0 to 3.2
    -- protocol 4
    FATAL 0A000: unsupported frontend protocol 4.1: server supports 3.0 to 3.2
    -- nobody
    FATAL 28000: no PostgreSQL user name specified in startup packet
    -- a text without an end
    FATAL 08P01: invalid startup packet layout: a text has no end
    -- no end
    FATAL 08P01: invalid startup packet layout: a text has no end
    -- something behind the end
    FATAL 08P01: invalid startup packet layout: expected terminator as last byte
    -- not UTF-8
    FATAL 22021: the startup packet holds a name or a value that is not UTF-8
    HINT: Use names of users and databases, and values of settings, that are UTF-8.
    -- another message
    FATAL 08P01: expected SASL response, got message type 'Q'
    -- a password in clear text
    FATAL 08P01: malformed SASL response
    -- a message without an end
    FATAL 08P01: malformed SASL response
    -- a message that is too long
    FATAL 08P01: a message of kind 'p' says it is 1029 bytes long; 4 to 1028 can be
    -- another mechanism
    FATAL 08P01: client selected an invalid SASL authentication mechanism
    -- a mechanism that was not offered
    FATAL 08P01: client selected an invalid SASL authentication mechanism
    -- an authorization identity
    FATAL 0A000: the client uses an authorization identity, which is not supported
    -- no nonce
    FATAL 08P01: the first SCRAM message is malformed
    -- no proof
    FATAL 08P01: the last SCRAM message is malformed
    -- a wrong password
    FATAL 28P01: password authentication failed for user "jane"
    "#);
}

/// Answers the challenge: what is left is to send the proof.
fn prove(
    mut side: Side<ServerLogin>,
    password: &str,
    binding: Binding,
    mechanism: &str,
) -> (Side<ServerLogin>, Vec<u8>) {
    let hello = ClientFirst::new(binding).unwrap();
    let first = hello.message();
    let length = u32::try_from(first.len()).unwrap().to_be_bytes();
    side.sent();
    let answer = side
        .feed(&codec::message(
            b'p',
            &[mechanism.as_bytes(), &[0], &length, first.as_bytes()].concat(),
        ))
        .sent();
    assert_eq!((answer[0], &answer[5..9]), (b'R', [0, 0, 0, 11].as_slice()));
    let (_, proof) = hello.respond(&secret(password), &answer[9..]).unwrap();
    (side, codec::message(b'p', proof.as_bytes()))
}

#[test]
fn a_password_lets_in_whatever_the_client_calls_itself() {
    let mut side = guarded(ClientTlsMode::Off);
    side.feed(&startup(3, 2, JANE));
    insta::assert_snapshot!(shown(&side.sent()), @r"R \x00\x00\x00\nSCRAM-SHA-256\x00\x00");
    let (mut side, proof) = prove(side, "open sesame", Binding::None, "SCRAM-SHA-256");
    let last = side.feed(&[proof, codec::query("SELECT 1")].concat()).sent();
    assert_eq!((last[0], &last[5..9]), (b'R', [0, 0, 0, 12].as_slice()));
    assert!(
        !shown(&last).contains("R \\x00\\x00\\x00\\x00"),
        "AuthenticationOk is not for this to say"
    );
    assert_eq!(side.unread(), codec::query("SELECT 1"), "what comes behind is the session's");
    assert_eq!(come(side).user, "jane");
}

#[test]
fn within_tls_a_client_can_be_bound_to_the_channel() {
    let within = || {
        let mut side = guarded(ClientTlsMode::Required);
        side.feed(&codec::tls_request());
        side.sent();
        side.secure(TlsInfo { end_point: Some(vec![7; 32]), protocol: None })
            .feed(&startup(3, 0, JANE));
        side
    };
    insta::assert_snapshot!(shown(&within().sent()), @r"R \x00\x00\x00\nSCRAM-SHA-256-PLUS\x00SCRAM-SHA-256\x00\x00");
    let (mut side, proof) = prove(
        within(),
        "open sesame",
        Binding::TlsServerEndPoint(vec![7; 32]),
        "SCRAM-SHA-256-PLUS",
    );
    side.feed(&proof);
    assert_eq!(come(side).user, "jane");
    let (mut side, proof) = prove(within(), "open sesame", Binding::None, "SCRAM-SHA-256");
    side.feed(&proof);
    assert_eq!(come(side).user, "jane");
    let (side, proof) = prove(
        within(),
        "open sesame",
        Binding::TlsServerEndPoint(vec![8; 32]),
        "SCRAM-SHA-256-PLUS",
    );
    let (told, why) = refused(side, &proof);
    assert_eq!(told, "FATAL 28000: SCRAM channel binding check failed\n");
    assert!(why.contains("somebody may be in between"), "{why}");
}

#[test]
fn a_negotiation_comes_ahead_of_the_request_for_a_proof() {
    let mut side = guarded(ClientTlsMode::Off);
    side.feed(&startup(3, 7, JANE));
    assert!(shown(&side.sent()).starts_with("v "));
}

#[test]
fn what_is_logged_tells_nothing_that_was_typed_as_a_password() {
    let mut side = guarded(ClientTlsMode::Off);
    side.feed(&startup(3, 0, JANE));
    let (told, why) = refused(side, &codec::message(b'p', b"hunter2\0"));
    assert!(!told.contains("hunter2") && !why.contains("hunter2"));
    let debug = format!(
        "{:?}",
        ServerLogin::new(ServerConfig { tls: ClientTlsMode::Off, ask: AuthMethod::Trust })
    );
    assert!(!debug.contains("hunter2"));
}

proptest! {
    /// However a client's bytes are cut, it is understood the same.
    #[test]
    fn cuts_change_nothing(pieces in proptest::collection::vec(1..20_usize, 1..30), minor in 0..4_u16) {
        let bytes = startup(3, minor, &[JANE, &["_pq_.x", "1"]].concat());
        let mut whole = login(ClientTlsMode::Off);
        let mut cut = login(ClientTlsMode::Off);
        whole.feed(&bytes);
        let mut rest = bytes.as_slice();
        for piece in pieces.into_iter().cycle() {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            cut.feed(now);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(whole.sent(), cut.sent());
        prop_assert_eq!(come(whole), come(cut));
    }

    #[test]
    fn no_bytes_break_it(bytes: Vec<u8>, within: Vec<u8>, tls in prop_oneof![Just(ClientTlsMode::Off), Just(ClientTlsMode::Offered), Just(ClientTlsMode::Required)]) {
        let mut side = guarded(tls);
        side.feed(&bytes);
        if side.is_securing() {
            side.secure(TlsInfo { end_point: Some(vec![1]), protocol: Some(codec::ALPN.to_vec()) }).feed(&within);
        }
        let mut side = guarded(tls);
        side.feed(&startup(3, 2, JANE)).feed(&bytes).feed(&within);
    }

    #[test]
    fn nobody_logs_in_by_guessing(mechanism in prop_oneof![Just("SCRAM-SHA-256"), Just("SCRAM-SHA-256-PLUS")], first: Vec<u8>, last: Vec<u8>) {
        let mut side = guarded(ClientTlsMode::Off);
        let length = u32::try_from(first.len()).unwrap().to_be_bytes();
        side.feed(&startup(3, 0, JANE)).feed(&codec::message(b'p', &[mechanism.as_bytes(), &[0], &length, &first].concat()));
        side.feed(&codec::message(b'p', &last));
        prop_assert!(!matches!(side.result(), Some(Ok(_))));
    }
}
