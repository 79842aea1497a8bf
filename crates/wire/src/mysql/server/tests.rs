use std::sync::Arc;

use countersign_core::credentials::Secret;
use proptest::prelude::*;

use super::*;
use crate::mysql::auth_plugins::{self, CACHING_SHA2, CLEAR, NATIVE, SHA256};
use crate::mysql::greeting::Flavour;
use crate::mysql::response::error_fields;
use crate::mysql::tests::{MARIADB_1011, MYSQL_97, greeting, password_auth};
use crate::mysql::{LoginParams, MysqlPassword};

fn config(digits: &str, tls: ClientTlsMode, auth: AuthMethod) -> ServerConfig {
    ServerConfig { greeting: greeting(digits), tls, connection_id: 9, auth }
}

/// Returns a login that has sent its greeting, and the greeting.
fn greeted(config: ServerConfig) -> (HandshakeV10, ServerLogin) {
    let Step::Write(bytes, login) =
        ServerLogin::new(config).advance(&mut ReadBuffer::default()).unwrap()
    else {
        panic!()
    };
    (HandshakeV10::parse(&bytes[codec::HEADER..]).unwrap(), login)
}

fn buffer(bytes: &[u8]) -> ReadBuffer {
    let mut buffer = ReadBuffer::default();
    buffer.push(bytes);
    buffer
}

fn response(capabilities: Capabilities, plugin: &str, proof: &[u8]) -> Vec<u8> {
    handshake_response::encode(&LoginParams::new("jane", None), capabilities, plugin, proof)
        .unwrap()
        .to_vec()
}

/// Returns the error of a login after `bytes`, and the number in its ERR packet.
fn rejected(login: ServerLogin, bytes: &[u8]) -> (ProtocolError, Option<u16>) {
    let error = login.advance(&mut buffer(bytes)).unwrap_err();
    let payload = error.error_packet().get(codec::HEADER..).unwrap_or_default();
    let number = error_fields(payload).code.split(' ').next().unwrap().parse().ok();
    (error, number)
}

#[test]
fn greeting_offers_forwarded_capabilities() {
    let (mysql, _) = greeted(config(MYSQL_97, ClientTlsMode::Off, AuthMethod::Trust));
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
    let (mariadb, _) = greeted(config(MARIADB_1011, ClientTlsMode::Required, AuthMethod::Trust));
    assert_eq!((mariadb.greeting.flavour, mariadb.plugin.as_str()), (Flavour::Mariadb, NATIVE));
    assert!(mariadb.greeting.capabilities.has(Capabilities::SSL | Capabilities::CACHE_METADATA));
    assert!(!mariadb.greeting.capabilities.has_any(Capabilities::MYSQL));
}

/// If its plugin is not the announced one, MySQL's library sends no proof and expects an auth
/// switch request.
#[test]
fn empty_proof_causes_an_auth_switch() {
    for (digits, plugin) in [(MARIADB_1011, CACHING_SHA2), (MYSQL_97, NATIVE)] {
        for auth in [AuthMethod::Trust, password_auth("geheim")] {
            let (_, login) = greeted(config(digits, ClientTlsMode::Off, auth));
            let mut buffer = buffer(&codec::packet(1, &response(Capabilities::LOGIN, plugin, &[])));
            let Ok(Step::Write(request, login)) = login.advance(&mut buffer) else { panic!() };
            assert_eq!(request[..5], [plugin.len() as u8 + 23, 0, 0, 2, codec::EOF]);
            let nonce = &request[request.len() - 21..request.len() - 1];
            let (proof, fast) = match plugin {
                NATIVE => (auth_plugins::native(b"geheim", nonce), Vec::new()),
                _ => (auth_plugins::caching_sha2(b"geheim", nonce), codec::packet(4, &[1, 3])),
            };
            buffer.push(&codec::packet(3, &proof));
            let Ok(Step::Done(bytes, request)) = login.advance(&mut buffer) else { panic!() };
            assert_eq!(request.sequence, 4 + u8::from(!fast.is_empty()));
            assert_eq!(bytes, fast);
        }
    }
}

#[test]
fn client_hello_may_follow_ssl_request_immediately() {
    let (_, login) = greeted(config(MARIADB_1011, ClientTlsMode::Offered, AuthMethod::Trust));
    let mut buffer = ReadBuffer::default();
    buffer.push(&codec::packet(
        1,
        &handshake_response::ssl_request(
            &LoginParams::new("jane", None),
            Capabilities::LOGIN | Capabilities::SSL,
        )
        .unwrap(),
    ));
    buffer.push(b"\x16\x03\x01");
    assert!(matches!(login.advance(&mut buffer), Ok(Step::StartTls(..))));
    assert_eq!(buffer.unread(), b"\x16\x03\x01", "left for TLS");
}

#[test]
fn clear_text_password_requires_tls() {
    for (tls, sequence) in [(false, 1), (true, 2)] {
        let (_, login) = greeted(config(MYSQL_97, ClientTlsMode::Offered, password_auth("geheim")));
        let mut buffer = ReadBuffer::default();
        let login = if tls {
            let capabilities = Capabilities::LOGIN | Capabilities::SSL;
            buffer.push(&codec::packet(
                1,
                &handshake_response::ssl_request(&LoginParams::new("jane", None), capabilities)
                    .unwrap(),
            ));
            let Ok(Step::StartTls(bytes, next)) = login.advance(&mut buffer) else { panic!() };
            assert!(bytes.is_empty() && buffer.is_empty());
            next.established(TlsInfo::default())
        } else {
            login
        };
        buffer.push(&codec::packet(sequence, &response(Capabilities::LOGIN, CLEAR, b"geheim\0")));
        match login.advance(&mut buffer) {
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
fn client_without_plugins_uses_the_nonce_of_the_greeting() {
    let capabilities = Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION;
    for password in ["geheim", "other"] {
        let (greeted, login) =
            greeted(config(MARIADB_1011, ClientTlsMode::Off, password_auth("geheim")));
        let proof = auth_plugins::native(password.as_bytes(), &greeted.nonce);
        let packet = codec::packet(1, &response(capabilities, "", &proof));
        match login.advance(&mut buffer(&packet)) {
            Ok(Step::Done(bytes, request)) => {
                assert_eq!((password, bytes.len(), request.sequence), ("geheim", 0, 2))
            }
            Err(ProtocolError::Denied { .. }) => assert_eq!(password, "other"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn unsupported_plugin_causes_an_auth_switch() {
    let (_, login) = greeted(config(MYSQL_97, ClientTlsMode::Off, password_auth("geheim")));
    let packet = codec::packet(1, &response(Capabilities::LOGIN, SHA256, &[1]));
    let Ok(Step::Write(request, login)) = login.advance(&mut buffer(&packet)) else { panic!() };
    assert!(request[5..].starts_with(CACHING_SHA2.as_bytes()));
    // Only one switch is requested.
    let (error, number) = rejected(login, &codec::packet(3, b"x"));
    assert!(matches!(error, ProtocolError::Denied { .. }));
    assert_eq!(number, Some(1045));
}

#[test]
fn violation_is_reported_to_the_client() {
    let begin = |tls| greeted(config(MYSQL_97, tls, AuthMethod::Trust)).1;
    let tls = codec::packet(
        1,
        &handshake_response::ssl_request(
            &LoginParams::new("x", None),
            Capabilities::LOGIN | Capabilities::SSL,
        )
        .unwrap(),
    );
    let whole = response(Capabilities::LOGIN, NATIVE, &[]);
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
        let (error, number) = rejected(begin(tls), &bytes);
        assert_eq!(number, expected, "{error:?}");
    }
}

#[test]
fn change_user_requires_a_new_nonce() {
    let current = LoginParams::new("jane", None);
    let payload = |plugin: &str, proof: &[u8]| {
        let length = [u8::try_from(proof.len()).unwrap()];
        [b"\x11joe\0", &length as &[u8], proof, b"db\0\x2d\0", plugin.as_bytes(), b"\0"].concat()
    };
    let begin = |payload: &[u8], auth| {
        ServerChangeUser::new(payload, &current, Flavour::Mysql, auth, false)
            .unwrap()
            .advance(&mut ReadBuffer::default())
    };
    // The client has sent a proof and expects no auth switch request.
    let Ok(Step::Done(_, request)) = begin(&payload(NATIVE, &[7; 20]), AuthMethod::Trust) else {
        panic!()
    };
    assert_eq!(
        (request.sequence, request.params.user.as_str(), request.params.database.as_deref()),
        (1, "joe", Some("db"))
    );
    // MySQL's library has sent no proof and expects an auth switch request.
    assert!(matches!(begin(&payload(CACHING_SHA2, &[]), AuthMethod::Trust), Ok(Step::Write(..))));
    assert!(matches!(
        begin(&payload(NATIVE, &[7; 20]), password_auth("geheim")),
        Ok(Step::Write(..))
    ));
    // Shortest valid command.
    let Ok(Step::Write(..)) = begin(b"\x11joe\0\0\0", password_auth("geheim")) else { panic!() };
    let error =
        ServerChangeUser::new(b"\x11joe", &current, Flavour::Mysql, AuthMethod::Trust, false)
            .unwrap_err();
    assert_eq!(error_fields(&error.error_packet()[codec::HEADER..]).code, "1043 (08S01)");
}

proptest! {
    #[test]
    fn no_login_without_the_password(
        bytes: Vec<u8>,
        plugin in "[a-z_]{0,9}",
        proof: Vec<u8>,
        more: Vec<u8>,
        raw: bool,
    ) {
        let first = if raw { bytes } else { codec::packet(
            1,
            &response(Capabilities::LOGIN, &plugin, &proof),
        ) };
        let verifier = Arc::new(MysqlPassword::new(&Secret::new("geheim").unwrap()));
        let mut login = greeted(
            config(MYSQL_97, ClientTlsMode::Offered, AuthMethod::Password(verifier)),
        ).1;
        let mut buffer = buffer(&first);
        for packet in [codec::packet(3, &more), more] {
            match login.advance(&mut buffer) {
                Ok(Step::Done(..)) => return Err(TestCaseError::fail("accepted")),
                Ok(Step::Read(next) | Step::Write(_, next)) => login = next,
                Ok(Step::StartTls(..)) | Err(_) => break,
            }
            buffer.push(&packet);
        }
    }
}
