//! A server's part is played by hand; in `conversation` our own login plays it.

mod conversation;

use proptest::prelude::*;

use super::*;
use crate::pg::scram::server::{Mechanism, ServerFirst};
use crate::pg::testing::{jane, key, packet, secret, settings, startup, verifier};
use crate::testing::Side;

const END_POINT: [u8; 32] = [7; 32];

fn token() -> Credential {
    Credential::Token(Zeroizing::new(
        "db.example:5432/?Action=connect&X-Amz-Signature=0123456789abcdef".to_owned(),
    ))
}

fn password() -> Credential {
    Credential::Password(secret("open sesame"))
}

fn peer() -> TlsInfo {
    TlsInfo { end_point: Some(END_POINT.to_vec()), protocol: Some(codec::ALPN.to_vec()) }
}

/// Up to where the `StartupMessage` is sent, within TLS.
fn within_tls(settings: ClientConfig) -> Side<ClientLogin> {
    let mut side = Side::new(ClientLogin::new(settings));
    assert_eq!(side.sent(), codec::tls_request());
    side.feed(b"S").secure(peer());
    side.sent();
    side
}

/// The same without TLS.
fn plain(credential: Credential, trusted: bool) -> Side<ClientLogin> {
    let mut side = Side::new(ClientLogin::new(ClientConfig {
        security: TransportSecurity::Plain { trusted },
        ..settings(credential)
    }));
    side.sent();
    side
}

fn refused(mut side: Side<ClientLogin>, bytes: &[u8]) -> String {
    side.feed(bytes);
    assert_eq!(side.sent(), b"", "a server that is refused gets nothing more");
    side.fault().to_string()
}

/// What a server says from `AuthenticationOk` on.
fn let_in() -> Vec<u8> {
    codec::login_ok(&[("server_version".to_owned(), "18.1".to_owned())], &key(32))
}

fn md5_request() -> Vec<u8> {
    codec::authentication(5, b"salt")
}

fn scram_request() -> Vec<u8> {
    codec::authentication(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")
}

#[test]
fn a_token_goes_out_within_tls() {
    let mut side = Side::new(ClientLogin::new(settings(token())));
    assert_eq!(side.sent(), codec::tls_request());
    side.feed(b"S");
    assert!(side.is_securing());
    assert_eq!(
        side.secure(peer()).sent(),
        startup(3, 2, &["user", "jane", "database", "orders", "application_name", "psql"])
    );
    let Credential::Token(text) = token() else { unreachable!() };
    assert_eq!(
        side.feed(&codec::authentication(3, b"")).sent(),
        codec::message(b'p', &[text.as_bytes(), &[0]].concat())
    );
    side.feed_slowly(&[let_in(), codec::query("not ours")].concat());
    assert_eq!(side.unread(), codec::query("not ours"));
    let session = side.outcome();
    assert_eq!((session.minor, session.status, session.key), (2, b'I', Some(key(32))));
    assert_eq!(session.parameters, [("server_version".to_owned(), "18.1".to_owned())]);
}

#[test]
fn tls_may_begin_at_once() {
    let mut side =
        Side::new(ClientLogin::new(ClientConfig { direct_tls: true, ..settings(token()) }));
    assert!(side.is_securing());
    assert_eq!(side.sent(), b"");
    assert!(side.secure(peer()).sent().starts_with(b"\0\0\0"));
    for protocol in [None, Some(b"h2".to_vec())] {
        let mut side =
            Side::new(ClientLogin::new(ClientConfig { direct_tls: true, ..settings(token()) }));
        side.secure(TlsInfo { protocol, ..peer() });
        assert!(refused(side, b"").contains("not for PostgreSQL (ALPN)"));
    }
}

#[test]
fn without_tls_nothing_is_sent() {
    let answered = |bytes: &[u8]| {
        let mut side = Side::new(ClientLogin::new(settings(token())));
        side.sent();
        refused(side, bytes)
    };
    assert!(answered(b"N").contains("the server offers no TLS"));
    assert!(answered(b"H").contains("does not answer the request for TLS as PostgreSQL does"));
    assert!(answered(b"SSL?").contains("somebody is in between"), "CVE-2021-23222");
    let told = answered(&codec::error_response(
        "FATAL",
        "53300",
        "reset your password at evil.example",
        None,
        None,
    ));
    assert!(
        told.contains("answers the request for TLS with an error") && !told.contains("evil"),
        "CVE-2024-10977: {told}"
    );
}

#[test]
fn a_token_is_no_password() {
    for (request, means) in [(md5_request(), "MD5"), (scram_request(), "SCRAM")] {
        let why = refused(within_tls(settings(token())), &request);
        let expected = format!(
            "the server asks for a password by {means}: user \"jane\" is not a member of rds_iam"
        );
        assert!(why.starts_with(&expected) && why.contains("GRANT rds_iam"), "{why}");
    }
}

#[test]
fn nothing_goes_out_in_clear_text_where_somebody_could_read_along() {
    for (credential, what) in [(token(), "token"), (password(), "password")] {
        let why = refused(plain(credential.clone(), false), &codec::authentication(3, b""));
        assert_eq!(
            why,
            format!(
                "the server asks for the {what} in clear text, and there is no TLS that would hide it: turn TLS on"
            )
        );
        let mut side = plain(credential, true);
        assert_eq!(
            side.feed(&codec::authentication(3, b"")).sent()[0],
            b'p',
            "on this machine it may"
        );
    }
}

/// "AuthenticationMD5Password": `md5` and `md5(md5(password user) salt)`, as PostgreSQL computes it.
#[test]
fn a_password_is_hashed_by_md5() {
    let mut side = within_tls(settings(password()));
    let sent = side.feed(&md5_request()).sent();
    // SELECT 'md5' || md5(md5('open sesame' || 'jane') || 'salt')
    assert_eq!(sent, codec::message(b'p', b"md5864277148db98a8bf40a4226a4faf072\0"));
    side.feed(&let_in());
    assert_eq!(side.outcome().minor, 2);
}

#[test]
fn a_server_may_ask_for_nothing() {
    for credential in [token(), password(), Credential::None] {
        let mut side = within_tls(settings(credential));
        side.feed(&let_in());
        assert_eq!(side.outcome().status, b'I');
    }
}

#[test]
fn who_has_nothing_to_prove_with_says_so() {
    for request in [codec::authentication(3, b""), md5_request(), scram_request()] {
        let why = refused(within_tls(settings(Credential::None)), &request);
        assert!(why.contains("asks for a password for user \"jane\", and there is none"), "{why}");
    }
}

#[test]
fn what_is_asked_for_and_not_known_is_named() {
    let why = |code, data: &[u8]| {
        refused(within_tls(settings(password())), &codec::authentication(code, data))
    };
    assert!(why(2, b"").contains("Kerberos V5"));
    assert!(why(7, b"").contains("GSSAPI"));
    assert!(why(9, b"").contains("SSPI"));
    assert!(why(6, b"").contains("of kind 6"));
    assert!(why(10, b"OAUTHBEARER\0\0").contains("none of the SASL mechanisms"));
    assert!(why(10, b"\0").contains("none of the SASL mechanisms"));
    for (code, data) in [
        (0, b"x".as_slice()),
        (3, b"x"),
        (5, b"sal"),
        (5, b"salty"),
        (10, b"SCRAM-SHA-256"),
        (10, b""),
    ] {
        assert_eq!(why(code, data), "a request of the server for a proof is malformed", "{code}");
    }
    assert!(
        refused(within_tls(settings(password())), &codec::message(b'R', b"\0\0"))
            .contains("malformed")
    );
}

/// Plays a server that knows the password up to its last message.
fn challenged(side: &mut Side<ClientLogin>, request: &[u8], choice: Mechanism<'_>) -> Vec<u8> {
    let first = side.feed(request).sent();
    let (mechanism, data) = codec::take_text(&first[5..]).unwrap();
    assert_eq!(mechanism.ends_with(b"-PLUS"), matches!(choice, Mechanism::Plus(_)));
    let (challenge, answer) =
        ServerFirst::new(verifier(), choice, &data[4..], "server-nonce").unwrap();
    let proof = side.feed(&codec::authentication(11, answer.as_bytes())).sent();
    codec::authentication(12, challenge.verify(&proof[5..]).unwrap().as_bytes())
}

#[test]
fn a_password_is_proved_by_scram() {
    let mut side = within_tls(settings(password()));
    let last = challenged(&mut side, &scram_request(), Mechanism::Plus(&END_POINT));
    side.feed(&last).feed(&let_in());
    assert_eq!(side.outcome().status, b'I');

    let unbound = ClientConfig { channel_binding: ChannelBinding::Disable, ..settings(password()) };
    let mut side = within_tls(unbound);
    let last = challenged(&mut side, &scram_request(), Mechanism::PlainOverPlus);
    side.feed(&last).feed(&let_in());
    assert_eq!(side.outcome().status, b'I');

    let mut side = plain(password(), false);
    let last =
        challenged(&mut side, &codec::authentication(10, b"SCRAM-SHA-256\0\0"), Mechanism::Plain);
    side.feed(&last).feed(&let_in());
    assert_eq!(side.outcome().status, b'I');
}

#[test]
fn a_server_that_does_not_prove_itself_is_not_believed() {
    let scram = codec::authentication(10, b"SCRAM-SHA-256\0\0");
    let begun = || {
        let mut side = plain(password(), true);
        side.feed(&scram).sent();
        side
    };
    assert!(refused(begun(), &codec::authentication_ok()).contains("without proving itself"));
    assert!(refused(begun(), &codec::authentication(3, b"")).contains("out of turn"));
    assert!(refused(begun(), &codec::authentication(12, b"v=")).contains("out of turn"));
    assert!(
        refused(begun(), &codec::authentication(11, b"r=abc,s=AA==,i=4096"))
            .contains("not trusted")
    );
    let mut side = plain(password(), true);
    challenged(&mut side, &scram, Mechanism::Plain);
    assert!(refused(side, &codec::authentication_ok()).contains("without proving itself"));
    let mut side = plain(password(), true);
    challenged(&mut side, &scram, Mechanism::Plain);
    assert!(refused(side, &codec::authentication(12, b"v=AAAA")).contains("signature is wrong"));
    assert!(
        refused(plain(password(), true), &codec::authentication(11, b""))
            .contains("before it begins")
    );
    assert!(
        refused(plain(password(), true), &scram_request()).contains("there is no TLS"),
        "-PLUS without TLS"
    );
}

#[test]
fn channel_binding_that_is_required_is_not_done_without() {
    let bound =
        || ClientConfig { channel_binding: ChannelBinding::Require, ..settings(password()) };
    for request in [
        codec::authentication_ok(),
        codec::authentication(3, b""),
        md5_request(),
        codec::authentication(10, b"SCRAM-SHA-256\0\0"),
    ] {
        assert!(
            refused(within_tls(bound()), &request).starts_with("channel binding is required"),
            "{request:?}"
        );
    }
    let mut side = Side::new(ClientLogin::new(bound()));
    side.feed(b"S").secure(TlsInfo::default());
    side.sent();
    assert!(
        refused(side, &scram_request()).starts_with("channel binding is required"),
        "no certificate to bind to"
    );
    let mut side = within_tls(bound());
    let last = challenged(&mut side, &scram_request(), Mechanism::Plus(&END_POINT));
    side.feed(&last).feed(&let_in());
    assert_eq!(side.outcome().status, b'I');
}

#[test]
fn an_error_is_the_servers_own_word() {
    let error = codec::error_response(
        "FATAL",
        "28000",
        "PAM authentication failed for user \"jane\"",
        None,
        None,
    );
    for ahead in [Vec::new(), codec::authentication(3, b""), codec::authentication_ok()] {
        let mut side = within_tls(settings(token()));
        side.feed(&ahead);
        side.feed_slowly(&error);
        let ProtocolError::Refused(said) = side.fault() else {
            panic!("it is the server that refuses")
        };
        assert_eq!((said.code.as_str(), said.payload.as_slice()), ("28000", &error[5..]));
        assert_eq!(said.to_string(), "28000: PAM authentication failed for user \"jane\"");
    }
}

/// As a postmaster says it that can't start a process: in protocol 2's form.
#[test]
fn an_error_in_the_old_form_is_read() {
    let mut side = plain(password(), true);
    side.feed_slowly(b"Ecould not fork new process for connection: Cannot allocate memory\n\0");
    let ProtocolError::Refused(said) = side.fault() else {
        panic!("it is the server that refuses")
    };
    assert_eq!(
        said.to_string(),
        "08004: could not fork new process for connection: Cannot allocate memory"
    );
    let mut endless = plain(password(), true);
    endless.feed(&[b'E'; 30_000]);
    assert!(endless.is_reading());
    assert!(refused(endless, &[b'E'; 10]).contains("4 to 65535"), "it has to end somewhere");
}

#[test]
fn the_version_goes_down_to_the_servers() {
    let negotiate = |minor: u16, options: &[String]| codec::negotiate(minor, options);
    let mut side = within_tls(settings(password()));
    side.feed(&negotiate(0, &[])).feed(&codec::login_ok(&[], &key(4)));
    assert_eq!(side.outcome().minor, 0);
    let begun = || within_tls(settings(password()));
    assert!(refused(begun(), &negotiate(3, &[])).contains("not asked for"));
    assert!(refused(begun(), &negotiate(1, &[])).contains("not asked for"));
    assert!(refused(begun(), &negotiate(0, &["_pq_.a".to_owned()])).contains("nobody asked for"));
    assert!(refused(begun(), &codec::message(b'v', b"\0\x03")).contains("malformed"));
    assert!(
        refused(begun(), &codec::message(b'v', b"\0\x04\0\0\0\0\0\0")).contains("not asked for")
    );
    let mut side = within_tls(ClientConfig { startup: jane(0), ..settings(password()) });
    side.feed(&negotiate(2, &[]));
    assert!(side.fault().to_string().contains("not asked for"), "no higher than was asked for");
    let mut side = begun();
    side.feed(&codec::authentication(3, b"")).sent();
    assert!(refused(side, &negotiate(0, &[])).contains("too late"));
}

#[test]
fn a_key_has_the_length_of_its_version() {
    let keyed = |minor, length| {
        let mut side = within_tls(ClientConfig { startup: jane(minor), ..settings(password()) });
        side.feed(&codec::login_ok(&[], &key(length)));
        side.result()
            .unwrap()
            .map(|session| session.key.unwrap().secret.len())
            .map_err(|fault| fault.to_string())
    };
    assert_eq!((keyed(0, 4), keyed(2, 4), keyed(2, 256)), (Ok(4), Ok(4), Ok(256)));
    for (minor, length) in [(0, 5), (0, 3), (2, 3), (2, 257)] {
        assert_eq!(
            keyed(minor, length),
            Err("the server's key to cancel with is too short or too long".to_owned())
        );
    }
}

#[test]
fn a_server_may_give_no_key() {
    let mut side = within_tls(settings(password()));
    side.feed(&codec::authentication_ok()).feed(&codec::ready_for_query(b'T'));
    let session = side.outcome();
    assert_eq!((session.key, session.status), (None, b'T'));
}

#[test]
fn parameters_are_kept_once_each_and_notices_as_they_come() {
    let notice =
        codec::message(b'N', b"SWARNING\0VWARNING\0C01000\0Mcollation version mismatch\0\0");
    let mut side = within_tls(settings(password()));
    side.feed(&notice).feed(&codec::authentication_ok());
    side.feed(&codec::parameter_status("TimeZone", "UTC"))
        .feed(&codec::parameter_status("is_superuser", "off"))
        .feed(&notice);
    side.feed(&codec::parameter_status("TimeZone", "Europe/Berlin"))
        .feed(&codec::ready_for_query(b'I'));
    let session = side.outcome();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        session.parameters,
        [pair("TimeZone", "Europe/Berlin"), pair("is_superuser", "off")]
    );
    assert_eq!(session.notices, notice.repeat(2));
}

#[test]
fn a_server_that_talks_without_end_is_left() {
    let opened = || {
        let mut side = within_tls(settings(password()));
        side.feed(&codec::authentication_ok());
        side
    };
    let mut side = opened();
    side.feed(&codec::message(b'N', b"Mx\0\0").repeat(3000));
    assert!(side.fault().to_string().contains("more than 2048 messages"));
    let many: Vec<u8> =
        (0..300).flat_map(|number| codec::parameter_status(&format!("p{number}"), "")).collect();
    let mut side = opened();
    side.feed(&many);
    assert!(side.fault().to_string().contains("more than 256 parameters"));
    let mut side = opened();
    for _ in 0..100 {
        side.feed(&codec::message(b'N', &[b'x'; 10_000]));
    }
    side.feed(&codec::ready_for_query(b'I'));
    assert!(side.outcome().notices.len() <= 65_536);
    let long = "x".repeat(60_000);
    let mut side = opened();
    side.feed(&codec::parameter_status("a", &long)).feed(&codec::parameter_status("a", &long));
    assert!(side.is_reading(), "the second takes the first one's place");
    side.feed(&codec::parameter_status("b", &long));
    assert_eq!(side.fault().to_string(), "the server's parameters are more than 65536 bytes");
}

#[test]
fn what_has_no_place_in_a_login_ends_it() {
    let opened = || {
        let mut side = within_tls(settings(password()));
        side.feed(&codec::authentication_ok());
        side
    };
    assert!(
        refused(within_tls(settings(password())), &codec::parameter_status("a", "b"))
            .contains("kind 'S'")
    );
    assert!(
        refused(within_tls(settings(password())), &codec::ready_for_query(b'I'))
            .contains("kind 'Z'")
    );
    assert!(refused(opened(), &codec::authentication_ok()).contains("kind 'R'"));
    assert!(refused(opened(), &codec::message(b'Z', b"X")).contains("kind 'Z'"));
    assert!(refused(opened(), &codec::message(b'Z', b"")).contains("kind 'Z'"));
    assert!(refused(opened(), &codec::message(b'S', b"a\0b")).contains("malformed"));
    assert!(refused(opened(), &codec::message(b'S', b"a\0b\0c")).contains("malformed"));
    assert!(refused(opened(), &codec::message(b'S', b"a\0\xff\0")).contains("not UTF-8"));
    assert!(refused(opened(), &codec::message(b'T', b"")).contains("kind 'T'"));
    assert!(refused(opened(), b"S\xff\xff\xff\xff").contains("4 to 65535"));
    assert!(refused(opened(), b"S\0\x01\0\0").contains("4 to 65535"));
}

#[test]
fn a_password_that_the_protocol_can_not_carry_is_refused() {
    let why = refused(
        within_tls(settings(Credential::Password(secret("a\0b")))),
        &codec::authentication(3, b""),
    );
    assert!(why.contains("zero byte") && !why.contains("a\0b"), "{why}");
}

fn length(credential: &Credential) -> usize {
    match credential {
        Credential::Token(token) => token.len(),
        Credential::Password(password) => password.expose().len(),
        Credential::None => 0,
    }
}

#[test]
fn nothing_secret_is_shown() {
    for credential in [token(), password()] {
        let mut side = within_tls(settings(credential.clone()));
        let dial = format!("{:?}", ClientLogin::new(settings(credential.clone())));
        assert!(!dial.contains("sesame") && !dial.contains("Signature"), "{dial}");
        let mut inbox = ReadBuffer::default();
        inbox.push(&codec::authentication(3, b""));
        let asked = ClientLogin::new(ClientConfig {
            security: TransportSecurity::Plain { trusted: true },
            ..settings(credential.clone())
        });
        let Ok(Step::Write(_, asked)) = asked.advance(&mut ReadBuffer::default()) else {
            panic!("it introduces itself")
        };
        assert_eq!(
            format!("{:?}", asked.advance(&mut inbox).unwrap()),
            format!("Write({} bytes)", length(&credential) + 6)
        );
        side.feed(&codec::authentication(3, b"")).sent();
        let why = refused(side, &codec::message(b'R', b"?"));
        assert!(!why.contains("sesame") && !why.contains("Signature"), "{why}");
    }
}

#[test]
fn a_packet_without_a_kind_is_what_a_server_reads() {
    assert_eq!(
        jane(2).encode(),
        packet(0x0003_0002, b"user\0jane\0database\0orders\0application_name\0psql\0\0")
    );
}

proptest! {
    #[test]
    fn cuts_change_nothing(pieces in proptest::collection::vec(1..9_usize, 1..20)) {
        let said = [codec::negotiate(0, &[]), codec::authentication(3, b"")].concat();
        let mut side = within_tls(settings(token()));
        let mut sizes = pieces.iter().cycle();
        for message in [said, codec::login_ok(&[("a".to_owned(), "b".to_owned())], &key(4))] {
            let mut rest = message.as_slice();
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                side.feed(now);
                rest = later;
            }
        }
        let session = side.outcome();
        prop_assert_eq!((session.minor, session.parameters.len(), session.key), (0, 1, Some(key(4))));
    }

    #[test]
    fn no_bytes_break_it(answer: Vec<u8>, bytes in proptest::collection::vec(any::<u8>(), 0..400), kind in "[RSKZNEv]", length in 0..40_u8) {
        let mut side = Side::new(ClientLogin::new(settings(password())));
        side.feed(&answer);
        let mut side = within_tls(settings(password()));
        side.feed(&bytes);
        let mut side = within_tls(settings(password()));
        let header = [kind.as_bytes(), &[0, 0, 0, length]].concat();
        side.feed(&codec::authentication_ok()).feed(&header).feed(&bytes).feed(&bytes);
    }

    /// Whatever a server sends, a login without a proof of ours and its `AuthenticationOk` is none.
    #[test]
    fn nobody_is_let_in_by_noise(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assume!(!bytes.windows(9).any(|window| window == codec::authentication_ok()));
        let mut side = within_tls(settings(password()));
        side.feed(&bytes);
        prop_assert!(!matches!(side.result(), Some(Ok(_))));
    }
}
