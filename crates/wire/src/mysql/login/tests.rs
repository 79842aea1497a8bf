use std::sync::Arc;

use countersign_core::credentials::Secret;
use proptest::prelude::*;

use super::*;
use crate::mysql::answer::{error_fields, error_number};
use crate::mysql::proof::{CLEAR, SHA256};
use crate::mysql::tests::{MARIADB_1011, MYSQL_97, ask, greeting};

fn settings(digits: &str, tls: Tls, ask: Ask) -> Settings {
    Settings { greeting: greeting(digits), tls, connection_id: 9, ask }
}

/// A login that has greeted, and what it said.
fn greeted(settings: Settings) -> (Greeted, Login) {
    let Step::Write(bytes, login) = Login::new(settings).advance(&mut Inbox::default()).unwrap()
    else {
        panic!()
    };
    (Greeted::parse(&bytes[codec::HEADER..]).unwrap(), login)
}

fn inbox(bytes: &[u8]) -> Inbox {
    let mut inbox = Inbox::default();
    inbox.push(bytes);
    inbox
}

fn response(capabilities: Capabilities, plugin: &str, proof: &[u8]) -> Vec<u8> {
    wish::response(&Wish::new("jane", None), capabilities, plugin, proof).unwrap().to_vec()
}

fn fault(login: Login, bytes: &[u8]) -> (Fault, Option<u16>) {
    let fault = login.advance(&mut inbox(bytes)).unwrap_err();
    let number = fault.farewell().get(codec::HEADER..).and_then(error_number);
    (fault, number)
}

#[test]
fn the_greeting_offers_what_can_be_carried() {
    let (mysql, _) = greeted(settings(MYSQL_97, Tls::Off, Ask::Nothing));
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
    let (mariadb, _) = greeted(settings(MARIADB_1011, Tls::Required, Ask::Nothing));
    assert_eq!((mariadb.greeting.flavour, mariadb.plugin.as_str()), (Flavour::Mariadb, NATIVE));
    assert!(mariadb.greeting.capabilities.has(Capabilities::SSL | Capabilities::CACHE_METADATA));
    assert!(!mariadb.greeting.capabilities.has_any(Capabilities::MYSQL));
}

/// What MySQL's library sends where its own plugin isn't the announced one: nothing, and it waits for a request.
#[test]
fn a_client_that_waits_to_be_asked_is_asked() {
    for (digits, plugin) in [(MARIADB_1011, CACHING_SHA2), (MYSQL_97, NATIVE)] {
        for ask in [Ask::Nothing, ask("geheim")] {
            let (_, login) = greeted(settings(digits, Tls::Off, ask));
            let mut inbox = inbox(&codec::packet(1, &response(Capabilities::LOGIN, plugin, &[])));
            let Ok(Step::Write(request, login)) = login.advance(&mut inbox) else { panic!() };
            assert_eq!(request[..5], [plugin.len() as u8 + 23, 0, 0, 2, codec::EOF]);
            let nonce = &request[request.len() - 21..request.len() - 1];
            let (proof, fast) = match plugin {
                NATIVE => (proof::native(b"geheim", nonce), Vec::new()),
                _ => (proof::caching_sha2(b"geheim", nonce), codec::packet(4, &[1, 3])),
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
    let (_, login) = greeted(settings(MARIADB_1011, Tls::Offered, Ask::Nothing));
    let mut inbox = Inbox::default();
    inbox.push(&codec::packet(
        1,
        &wish::tls_request(&Wish::new("jane", None), Capabilities::LOGIN | Capabilities::SSL)
            .unwrap(),
    ));
    inbox.push(b"\x16\x03\x01");
    assert!(matches!(login.advance(&mut inbox), Ok(Step::Secure(..))));
    assert_eq!(inbox.unread(), b"\x16\x03\x01", "which is for TLS");
}

#[test]
fn the_password_itself_is_enough_within_tls_alone() {
    for (tls, sequence) in [(false, 1), (true, 2)] {
        let (_, login) = greeted(settings(MYSQL_97, Tls::Offered, ask("geheim")));
        let mut inbox = Inbox::default();
        let login = if tls {
            let capabilities = Capabilities::LOGIN | Capabilities::SSL;
            inbox.push(&codec::packet(
                1,
                &wish::tls_request(&Wish::new("jane", None), capabilities).unwrap(),
            ));
            let Ok(Step::Secure(bytes, secure)) = login.advance(&mut inbox) else { panic!() };
            assert!(bytes.is_empty() && inbox.is_empty());
            secure.established(Peer::default())
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
        let (greeted, login) = greeted(settings(MARIADB_1011, Tls::Off, ask("geheim")));
        let proof = proof::native(password.as_bytes(), &greeted.nonce);
        let packet = codec::packet(1, &response(capabilities, "", &proof));
        match login.advance(&mut inbox(&packet)) {
            Ok(Step::Done(bytes, arrival)) => {
                assert_eq!((password, bytes.len(), arrival.sequence), ("geheim", 0, 2))
            }
            Err(Fault::Denied { .. }) => assert_eq!(password, "other"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_plugin_of_no_use_is_changed_for_one_that_is() {
    let (_, login) = greeted(settings(MYSQL_97, Tls::Off, ask("geheim")));
    let packet = codec::packet(1, &response(Capabilities::LOGIN, SHA256, &[1]));
    let Ok(Step::Write(request, login)) = login.advance(&mut inbox(&packet)) else { panic!() };
    assert!(request[5..].starts_with(CACHING_SHA2.as_bytes()));
    // Once is enough.
    let (fault, number) = fault(login, &codec::packet(3, b"x"));
    assert!(matches!(fault, Fault::Denied { .. }));
    assert_eq!(number, Some(1045));
}

#[test]
fn who_breaks_the_protocol_is_told_so() {
    let begin = |tls| greeted(settings(MYSQL_97, tls, Ask::Nothing)).1;
    let tls = codec::packet(
        1,
        &wish::tls_request(&Wish::new("x", None), Capabilities::LOGIN | Capabilities::SSL).unwrap(),
    );
    let whole = response(Capabilities::LOGIN, NATIVE, &[]);
    // Somebody may have put something in between (as CVE-2021-23222 of PostgreSQL's).
    let cases = [
        (Tls::Off, tls, Some(1043)),
        (
            Tls::Offered,
            codec::packet(1, &response(Capabilities::LOGIN | Capabilities::SSL, NATIVE, &[])),
            Some(1043),
        ),
        (Tls::Off, codec::packet(2, &whole), Some(1043)),
        (Tls::Off, codec::packet(1, &whole[..33]), Some(1043)),
        (Tls::Off, codec::packet(1, &whole[..20]), Some(1043)),
        (Tls::Off, codec::packet(1, &[]), Some(1043)),
        // Older than 4.1.
        (Tls::Off, codec::packet(1, b"\x05\x00\x00\x00\x00jane\0"), Some(1251)),
        (Tls::Off, b"GET / HTTP/1.1\r\n".to_vec(), Some(1043)),
        (Tls::Required, codec::packet(1, &whole), Some(3159)),
    ];
    for (tls, bytes, expected) in cases {
        let (fault, number) = fault(begin(tls), &bytes);
        assert_eq!(number, expected, "{fault:?}");
    }
}

#[test]
fn a_change_takes_no_old_nonce() {
    let before = Wish::new("jane", None);
    let payload = |plugin: &str, proof: &[u8]| {
        let length = [u8::try_from(proof.len()).unwrap()];
        [b"\x11joe\0", &length as &[u8], proof, b"db\0\x2d\0", plugin.as_bytes(), b"\0"].concat()
    };
    let begin = |payload: &[u8], ask| {
        Change::new(payload, &before, Flavour::Mysql, ask, false)
            .unwrap()
            .advance(&mut Inbox::default())
    };
    // Nothing is asked, and a proof is there: the client waits for no other.
    let Ok(Step::Done(_, arrival)) = begin(&payload(NATIVE, &[7; 20]), Ask::Nothing) else {
        panic!()
    };
    assert_eq!(
        (arrival.sequence, arrival.wish.user.as_str(), arrival.wish.database.as_deref()),
        (1, "joe", Some("db"))
    );
    // None is there: MySQL's library waits for a request.
    assert!(matches!(begin(&payload(CACHING_SHA2, &[]), Ask::Nothing), Ok(Step::Write(..))));
    assert!(matches!(begin(&payload(NATIVE, &[7; 20]), ask("geheim")), Ok(Step::Write(..))));
    // The least that there is.
    let Ok(Step::Write(..)) = begin(b"\x11joe\0\0\0", ask("geheim")) else { panic!() };
    let fault = Change::new(b"\x11joe", &before, Flavour::Mysql, Ask::Nothing, false).unwrap_err();
    assert_eq!(error_fields(&fault.farewell()[codec::HEADER..]).code, "1043 (08S01)");
}

proptest! {
    #[test]
    fn whatever_comes_nobody_gets_in_without_the_password(bytes: Vec<u8>, plugin in "[a-z_]{0,9}", proof: Vec<u8>, more: Vec<u8>, raw: bool) {
        let first = if raw { bytes } else { codec::packet(1, &response(Capabilities::LOGIN, &plugin, &proof)) };
        let verifier = Arc::new(MysqlPassword::new(&Secret::new("geheim").unwrap()));
        let mut login = greeted(settings(MYSQL_97, Tls::Offered, Ask::Password(verifier))).1;
        let mut inbox = inbox(&first);
        for packet in [codec::packet(3, &more), more] {
            match login.advance(&mut inbox) {
                Ok(Step::Done(..)) => return Err(TestCaseError::fail("it got in")),
                Ok(Step::Read(next) | Step::Write(_, next)) => login = next,
                Ok(Step::Secure(..)) | Err(_) => break,
            }
            inbox.push(&packet);
        }
    }
}
