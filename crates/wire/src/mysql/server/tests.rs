use std::sync::Arc;

use countersign_core::credentials::Secret;
use proptest::prelude::*;

use super::*;
use crate::mysql::auth_plugins::{CLEAR, SHA256};
use crate::mysql::response::{error_fields, error_number};
use crate::mysql::tests::{MARIADB_1011, MYSQL_97, ask, greeting};

fn settings(digits: &str, tls: ClientTlsMode, ask: AuthMethod) -> ServerConfig {
    ServerConfig { greeting: greeting(digits), tls, connection_id: 9, ask }
}

/// A login that has greeted, and what it said.
fn greeted(settings: ServerConfig) -> (HandshakeV10, ServerLogin) {
    let Step::Write(bytes, login) =
        ServerLogin::new(settings).advance(&mut ReadBuffer::default()).unwrap()
    else {
        panic!()
    };
    (HandshakeV10::parse(&bytes[codec::HEADER..]).unwrap(), login)
}

fn inbox(bytes: &[u8]) -> ReadBuffer {
    let mut inbox = ReadBuffer::default();
    inbox.push(bytes);
    inbox
}

fn response(capabilities: Capabilities, plugin: &str, proof: &[u8]) -> Vec<u8> {
    handshake_response::response(&LoginParams::new("jane", None), capabilities, plugin, proof)
        .unwrap()
        .to_vec()
}

fn fault(login: ServerLogin, bytes: &[u8]) -> (ProtocolError, Option<u16>) {
    let fault = login.advance(&mut inbox(bytes)).unwrap_err();
    let number = fault.error_packet().get(codec::HEADER..).and_then(error_number);
    (fault, number)
}

#[test]
fn the_greeting_offers_what_can_be_carried() {
    let (mysql, _) = greeted(settings(MYSQL_97, ClientTlsMode::Off, AuthMethod::Trust));
    assert_eq!(mysql.greeting.version, "9.7.4-2");
    assert_eq!(
        (mysql.connection_id, mysql.plugin.as_str(), mysql.nonce.len()),
        (9, CACHING_SHA2, 20)
    );
    assert!(
        mysql
            .greeting
            .capabilities
            .has(Capabilities::MYSQL | Capabilities::LOGIN | Capabilities::QUERY_ATTRIBUTES)
    );
    assert!(!mysql.greeting.capabilities.has_any(Capabilities::SSL | Capabilities::MULTI_FACTOR));
    let (mariadb, _) = greeted(settings(MARIADB_1011, ClientTlsMode::Required, AuthMethod::Trust));
    assert_eq!((mariadb.greeting.flavour, mariadb.plugin.as_str()), (Flavour::Mariadb, NATIVE));
    assert!(mariadb.greeting.capabilities.has(Capabilities::SSL | Capabilities::CACHE_METADATA));
    assert!(!mariadb.greeting.capabilities.has_any(Capabilities::MYSQL));
}

/// What MySQL's library sends where its own plugin isn't the announced one: nothing, and it waits for a request.
#[test]
fn a_client_that_waits_to_be_asked_is_asked() {
    for (digits, plugin) in [(MARIADB_1011, CACHING_SHA2), (MYSQL_97, NATIVE)] {
        for ask in [AuthMethod::Trust, ask("geheim")] {
            let (_, login) = greeted(settings(digits, ClientTlsMode::Off, ask));
            let mut inbox = inbox(&codec::packet(1, &response(Capabilities::LOGIN, plugin, &[])));
            let Ok(Step::Write(request, login)) = login.advance(&mut inbox) else { panic!() };
            assert_eq!(request[..5], [plugin.len() as u8 + 23, 0, 0, 2, codec::EOF]);
            let nonce = &request[request.len() - 21..request.len() - 1];
            let (proof, fast) = match plugin {
                NATIVE => (auth_plugins::native(b"geheim", nonce), Vec::new()),
                _ => (auth_plugins::caching_sha2(b"geheim", nonce), codec::packet(4, &[1, 3])),
            };
            inbox.push(&codec::packet(3, &proof));
            let Ok(Step::Done(bytes, arrival)) = login.advance(&mut inbox) else { panic!() };
            assert_eq!(arrival.sequence, 4 + u8::from(!fast.is_empty()));
            assert_eq!(bytes, fast);
        }
    }
}

#[test]
fn tls_may_begin_in_the_same_breath_as_the_request_for_it() {
    let (_, login) = greeted(settings(MARIADB_1011, ClientTlsMode::Offered, AuthMethod::Trust));
    let mut inbox = ReadBuffer::default();
    inbox.push(&codec::packet(
        1,
        &handshake_response::tls_request(
            &LoginParams::new("jane", None),
            Capabilities::LOGIN | Capabilities::SSL,
        )
        .unwrap(),
    ));
    inbox.push(b"\x16\x03\x01");
    assert!(matches!(login.advance(&mut inbox), Ok(Step::StartTls(..))));
    assert_eq!(inbox.unread(), b"\x16\x03\x01", "which is for TLS");
}

#[test]
fn the_password_itself_is_enough_within_tls_alone() {
    for (tls, sequence) in [(false, 1), (true, 2)] {
        let (_, login) = greeted(settings(MYSQL_97, ClientTlsMode::Offered, ask("geheim")));
        let mut inbox = ReadBuffer::default();
        let login = if tls {
            let capabilities = Capabilities::LOGIN | Capabilities::SSL;
            inbox.push(&codec::packet(
                1,
                &handshake_response::tls_request(&LoginParams::new("jane", None), capabilities)
                    .unwrap(),
            ));
            let Ok(Step::StartTls(bytes, secure)) = login.advance(&mut inbox) else { panic!() };
            assert!(bytes.is_empty() && inbox.is_empty());
            secure.established(TlsInfo::default())
        } else {
            login
        };
        inbox.push(&codec::packet(sequence, &response(Capabilities::LOGIN, CLEAR, b"geheim\0")));
        match login.advance(&mut inbox) {
            Ok(Step::Done(..)) => assert!(tls),
            Ok(Step::Write(request, _)) => assert!(
                !tls && request
                    .windows(CACHING_SHA2.len())
                    .any(|part| part == CACHING_SHA2.as_bytes())
            ),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_client_without_plugins_proves_by_the_nonce_it_has() {
    let capabilities = Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION;
    for password in ["geheim", "other"] {
        let (greeted, login) = greeted(settings(MARIADB_1011, ClientTlsMode::Off, ask("geheim")));
        let proof = auth_plugins::native(password.as_bytes(), &greeted.nonce);
        let packet = codec::packet(1, &response(capabilities, "", &proof));
        match login.advance(&mut inbox(&packet)) {
            Ok(Step::Done(bytes, arrival)) => {
                assert_eq!((password, bytes.len(), arrival.sequence), ("geheim", 0, 2))
            }
            Err(ProtocolError::Denied { .. }) => assert_eq!(password, "other"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_plugin_of_no_use_is_changed_for_one_that_is() {
    let (_, login) = greeted(settings(MYSQL_97, ClientTlsMode::Off, ask("geheim")));
    let packet = codec::packet(1, &response(Capabilities::LOGIN, SHA256, &[1]));
    let Ok(Step::Write(request, login)) = login.advance(&mut inbox(&packet)) else { panic!() };
    assert!(request[5..].starts_with(CACHING_SHA2.as_bytes()));
    // Once is enough.
    let (fault, number) = fault(login, &codec::packet(3, b"x"));
    assert!(matches!(fault, ProtocolError::Denied { .. }));
    assert_eq!(number, Some(1045));
}

#[test]
fn who_breaks_the_protocol_is_told_so() {
    let begin = |tls| greeted(settings(MYSQL_97, tls, AuthMethod::Trust)).1;
    let tls = codec::packet(
        1,
        &handshake_response::tls_request(
            &LoginParams::new("x", None),
            Capabilities::LOGIN | Capabilities::SSL,
        )
        .unwrap(),
    );
    let whole = response(Capabilities::LOGIN, NATIVE, &[]);
    // Somebody may have put something in between (as CVE-2021-23222 of PostgreSQL's).
    let cases = [
        (ClientTlsMode::Off, tls, Some(1043)),
        (
            ClientTlsMode::Offered,
            codec::packet(1, &response(Capabilities::LOGIN | Capabilities::SSL, NATIVE, &[])),
            Some(1043),
        ),
        (ClientTlsMode::Off, codec::packet(2, &whole), Some(1043)),
        (ClientTlsMode::Off, codec::packet(1, &whole[..33]), Some(1043)),
        (ClientTlsMode::Off, codec::packet(1, &whole[..20]), Some(1043)),
        (ClientTlsMode::Off, codec::packet(1, &[]), Some(1043)),
        // Older than 4.1.
        (ClientTlsMode::Off, codec::packet(1, b"\x05\x00\x00\x00\x00jane\0"), Some(1251)),
        (ClientTlsMode::Off, b"GET / HTTP/1.1\r\n".to_vec(), Some(1043)),
        (ClientTlsMode::Required, codec::packet(1, &whole), Some(3159)),
    ];
    for (tls, bytes, expected) in cases {
        let (fault, number) = fault(begin(tls), &bytes);
        assert_eq!(number, expected, "{fault:?}");
    }
}

#[test]
fn a_change_takes_no_old_nonce() {
    let before = LoginParams::new("jane", None);
    let payload = |plugin: &str, proof: &[u8]| {
        let length = [u8::try_from(proof.len()).unwrap()];
        [b"\x11joe\0", &length as &[u8], proof, b"db\0\x2d\0", plugin.as_bytes(), b"\0"].concat()
    };
    let begin = |payload: &[u8], ask| {
        ServerChangeUser::new(payload, &before, Flavour::Mysql, ask, false)
            .unwrap()
            .advance(&mut ReadBuffer::default())
    };
    // Nothing is asked, and a proof is there: the client waits for no other.
    let Ok(Step::Done(_, arrival)) = begin(&payload(NATIVE, &[7; 20]), AuthMethod::Trust) else {
        panic!()
    };
    assert_eq!(
        (arrival.sequence, arrival.wish.user.as_str(), arrival.wish.database.as_deref()),
        (1, "joe", Some("db"))
    );
    // None is there: MySQL's library waits for a request.
    assert!(matches!(begin(&payload(CACHING_SHA2, &[]), AuthMethod::Trust), Ok(Step::Write(..))));
    assert!(matches!(begin(&payload(NATIVE, &[7; 20]), ask("geheim")), Ok(Step::Write(..))));
    // The least that there is.
    let Ok(Step::Write(..)) = begin(b"\x11joe\0\0\0", ask("geheim")) else { panic!() };
    let fault =
        ServerChangeUser::new(b"\x11joe", &before, Flavour::Mysql, AuthMethod::Trust, false)
            .unwrap_err();
    assert_eq!(error_fields(&fault.error_packet()[codec::HEADER..]).code, "1043 (08S01)");
}

proptest! {
    #[test]
    fn whatever_comes_nobody_gets_in_without_the_password(bytes: Vec<u8>, plugin in "[a-z_]{0,9}", proof: Vec<u8>, more: Vec<u8>, raw: bool) {
        let first = if raw { bytes } else { codec::packet(1, &response(Capabilities::LOGIN, &plugin, &proof)) };
        let verifier = Arc::new(MysqlPassword::new(&Secret::new("geheim").unwrap()));
        let mut login = greeted(settings(MYSQL_97, ClientTlsMode::Offered, AuthMethod::Password(verifier))).1;
        let mut inbox = inbox(&first);
        for packet in [codec::packet(3, &more), more] {
            match login.advance(&mut inbox) {
                Ok(Step::Done(..)) => return Err(TestCaseError::fail("it got in")),
                Ok(Step::Read(next) | Step::Write(_, next)) => login = next,
                Ok(Step::StartTls(..)) | Err(_) => break,
            }
            inbox.push(&packet);
        }
    }
}
