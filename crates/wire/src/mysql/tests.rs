//! Tests of the client side against the server side, and bytes of real servers.

use std::fmt::Debug;
use std::sync::Arc;

use countersign_core::credentials::Secret;
use zeroize::Zeroizing;

use super::client::{ClientLogin, Session};
use super::greeting::HandshakeV10;
use super::response::{OkPacket, status};
use super::server::{AuthMethod, LoginRequest, ServerLogin};
use super::*;
use crate::exchange::{
    ClientTlsMode, Credential, Exchange, ProtocolError, Step, TransportSecurity,
};
use crate::read_buffer::ReadBuffer;
use crate::testing::converse;

/// Decodes hexadecimal digits, and ignores white space.
pub(super) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// Greeting of MySQL 9.7.4.
pub(super) const MYSQL_97: &str = "0a392e372e342d32001000000044103817652e185100ffffff0200ffdf1500000000000000000000072b6e3e77774f0a250a5618\
     0063616368696e675f736861325f70617373776f726400";

/// Greeting of MariaDB 10.11.19.
pub(super) const MARIADB_1011: &str = "0a352e352e352d31302e31312e31392d4d6172696144422d302b6465623132753100250000007a212f6b4e24675a00feff080200ff8115\
     0000000000001d0000006d355e5d3531365c4e4e2156006d7973716c5f6e61746976655f70617373776f726400";

pub(super) fn greeting(digits: &str) -> Greeting {
    HandshakeV10::parse(&hex(digits)).unwrap().greeting
}

pub(super) fn password(text: &str) -> Credential {
    Credential::Password(Secret::new(text).unwrap())
}

pub(super) fn password_auth(text: &str) -> AuthMethod {
    AuthMethod::Password(Arc::new(MysqlPassword::new(&Secret::new(text).unwrap())))
}

pub(super) fn token() -> Credential {
    Credential::Token(Zeroizing::new(format!(
        "db.example:3306/?Action=connect&X-Amz-Signature={}",
        "0".repeat(1500)
    )))
}

/// Connects a client to a server, with pieces of `piece` bytes. An authenticated client receives
/// `ok`.
pub(super) fn run<C: Exchange, S: Exchange<Output = LoginRequest>>(
    client: C,
    server: S,
    ok: &OkPacket,
    piece: usize,
) -> (Result<C::Output, ProtocolError>, Result<LoginRequest, ProtocolError>)
where
    C::Output: Debug,
{
    let login_ok = |request: &LoginRequest| {
        codec::packet(request.sequence, &ok.encode(request.params.capabilities))
    };
    let (client, server) = converse(client, server, None, piece, login_ok);
    let waiting = || ProtocolError::protocol("waiting");
    (
        client.result().unwrap_or_else(|| Err(waiting())),
        server.result().unwrap_or_else(|| Err(waiting())),
    )
}

fn config(digits: &str, tls: ClientTlsMode, auth: AuthMethod) -> server::ServerConfig {
    server::ServerConfig { greeting: greeting(digits), tls, connection_id: 7, auth }
}

fn params() -> LoginParams {
    let attributes =
        vec![(b"_pid".to_vec(), b"11".to_vec()), (b"program_name".to_vec(), b"mysql".to_vec())];
    let capabilities = Capabilities::FORWARDED.without(
        Capabilities::ZSTD | Capabilities::OPTIONAL_METADATA | Capabilities::QUERY_ATTRIBUTES,
    );
    let capabilities = capabilities
        .with(Capabilities::PROTOCOL_41)
        .without(Capabilities::EXTENDED_METADATA | Capabilities::CACHE_METADATA);
    LoginParams {
        capabilities,
        attributes,
        collation: 255,
        ..LoginParams::new("jané", Some("orders".to_owned()))
    }
}

fn state_changed() -> OkPacket {
    let status = status::AUTOCOMMIT | status::SESSION_STATE_CHANGED;
    OkPacket { status, session_state: b"\x01\x07\x06orders".to_vec(), ..OkPacket::default() }
}

type Both = (Result<Session, ProtocolError>, Result<LoginRequest, ProtocolError>);

fn log_in(
    digits: &str,
    tls: ClientTlsMode,
    security: TransportSecurity,
    auth: AuthMethod,
    credential: Credential,
    chunk: usize,
) -> Both {
    let client = ClientLogin::new(client::ClientConfig { params: params(), security, credential });
    run(client, ServerLogin::new(config(digits, tls, auth)), &state_changed(), chunk)
}

const TRANSPORTS: [(ClientTlsMode, TransportSecurity); 5] = [
    (ClientTlsMode::Off, TransportSecurity::Plain { trusted: false }),
    (ClientTlsMode::Off, TransportSecurity::Plain { trusted: true }),
    (ClientTlsMode::Offered, TransportSecurity::Plain { trusted: true }),
    (ClientTlsMode::Offered, TransportSecurity::Required),
    (ClientTlsMode::Required, TransportSecurity::Required),
];

#[test]
fn correct_password_opens_a_session_with_the_requested_parameters() {
    for (digits, (tls, security), chunk) in
        [MYSQL_97, MARIADB_1011].into_iter().flat_map(|digits| {
            TRANSPORTS.into_iter().flat_map(move |transport| {
                [1, 5, usize::MAX].map(|chunk| (digits, transport, chunk))
            })
        })
    {
        let (session, request) =
            log_in(digits, tls, security, password_auth("geheim"), password("geheim"), chunk);
        let (session, request) = (session.unwrap(), request.unwrap());
        let forwarded = greeting(digits).capabilities | Capabilities::PROTOCOL_41;
        assert_eq!(
            request.params,
            LoginParams { capabilities: params().capabilities & forwarded, ..params() }
        );
        assert_eq!(session.connection_id, 7);
        assert_eq!(
            session.capabilities.has(Capabilities::SSL),
            security == TransportSecurity::Required
        );
        assert_eq!(session.status, status::AUTOCOMMIT | status::SESSION_STATE_CHANGED);
        assert_eq!(OkPacket::parse(&session.ok, session.capabilities), Some(state_changed()));
        assert_eq!(session.greeting.version, greeting(digits).version);
    }
}

#[test]
fn wrong_password_is_reported_as_by_mysql() {
    for (digits, (tls, security)) in [MYSQL_97, MARIADB_1011]
        .into_iter()
        .flat_map(|digits| TRANSPORTS.map(|transport| (digits, transport)))
    {
        for (credential, has_password) in [(password("geheimer"), "YES"), (Credential::None, "NO")]
        {
            let (session, request) =
                log_in(digits, tls, security, password_auth("geheim"), credential, 7);
            assert!(matches!(request, Err(ProtocolError::Denied { .. })), "{request:?}");
            let Err(ProtocolError::Refused(error)) = session else { panic!("{session:?}") };
            assert_eq!(error.code, "1045 (28000)");
            assert_eq!(
                error.message,
                format!("Access denied for user 'jané' (using password: {has_password})")
            );
        }
    }
}

#[test]
fn trust_accepts_any_credential() {
    for (digits, (tls, security)) in [MYSQL_97, MARIADB_1011]
        .into_iter()
        .flat_map(|digits| TRANSPORTS.map(|transport| (digits, transport)))
    {
        for credential in [password("any"), Credential::None] {
            let (session, request) =
                log_in(digits, tls, security, AuthMethod::Trust, credential, 3);
            session.unwrap();
            assert_eq!(request.unwrap().params.user, "jané");
        }
    }
}

#[test]
fn token_requires_tls_or_a_trusted_socket() {
    for (tls, security) in TRANSPORTS {
        let (session, _) = log_in(MYSQL_97, tls, security, AuthMethod::Trust, token(), usize::MAX);
        match security {
            TransportSecurity::Plain { trusted: false } => {
                assert!(matches!(session, Err(ProtocolError::Unsupported { .. })), "{session:?}")
            }
            _ => assert!(session.is_ok(), "{session:?}"),
        }
        let (session, _) =
            log_in(MYSQL_97, tls, security, password_auth("geheim"), token(), usize::MAX);
        let Err(ProtocolError::Unsupported { detail, .. } | ProtocolError::Denied { detail, .. }) =
            session
        else {
            panic!("{session:?}")
        };
        assert!(
            security == TransportSecurity::Plain { trusted: false }
                || detail.contains("AWSAuthenticationPlugin"),
            "{detail}"
        );
    }
}

#[test]
fn required_tls_is_enforced_by_both_sides() {
    let (session, _) = log_in(
        MYSQL_97,
        ClientTlsMode::Off,
        TransportSecurity::Required,
        AuthMethod::Trust,
        token(),
        usize::MAX,
    );
    assert!(
        matches!(
            &session,
            Err(
                ProtocolError::Unsupported { detail, .. },
            ) if detail.contains("does not support TLS"),
        ),
        "{session:?}"
    );
    let plain = TransportSecurity::Plain { trusted: true };
    let (session, request) = log_in(
        MYSQL_97,
        ClientTlsMode::Required,
        plain,
        AuthMethod::Trust,
        password("x"),
        usize::MAX,
    );
    assert!(matches!(request, Err(ProtocolError::Denied { .. })), "{request:?}");
    assert!(
        matches!(&session, Err(ProtocolError::Refused(error)) if error.code == "3159 (HY000)"),
        "{session:?}"
    );
}

#[test]
fn missing_framing_capability_ends_the_login() {
    let params = LoginParams { capabilities: Capabilities::QUERY_ATTRIBUTES, ..params() };
    let client = ClientLogin::new(client::ClientConfig {
        params,
        security: TransportSecurity::Plain { trusted: true },
        credential: password("x"),
    });
    let login = ServerLogin::new(config(MARIADB_1011, ClientTlsMode::Off, AuthMethod::Trust));
    let (session, _) = run(client, login, &OkPacket::default(), usize::MAX);
    assert!(
        matches!(
            &session,
            Err(ProtocolError::Unsupported { detail, .. }) if detail.contains("QUERY_ATTRIBUTES"),
        ),
        "{session:?}"
    );
}

#[test]
fn user_of_a_session_is_changed() {
    let server = Capabilities::FORWARDED | Capabilities::LOGIN;
    let before = LoginParams {
        capabilities: Capabilities::FORWARDED.with(Capabilities::PROTOCOL_41),
        ..params()
    };
    for (flavour, auth, credential, tls) in [
        (Flavour::Mysql, password_auth("geheim"), password("geheim"), true),
        (Flavour::Mariadb, password_auth("geheim"), password("geheim"), false),
        (Flavour::Mysql, AuthMethod::Trust, password("any"), false),
        (Flavour::Mariadb, AuthMethod::Trust, Credential::None, false),
    ] {
        let after = LoginParams {
            user: "joe".to_owned(),
            database: None,
            collation: 2048,
            ..before.clone()
        };
        let change = client::ChangeUser::new(server, after.clone(), credential, tls);
        let Ok(Step::Write(packet, change)) = change.advance(&mut ReadBuffer::default()) else {
            panic!()
        };
        let login =
            server::ServerChangeUser::new(&packet[codec::HEADER..], &before, flavour, auth, tls)
                .unwrap();
        let (changed, request) = run(change, login, &state_changed(), 2);
        assert_eq!(changed.unwrap().status, status::AUTOCOMMIT | status::SESSION_STATE_CHANGED);
        assert_eq!(request.unwrap().params, after);
    }
    let change = client::ChangeUser::new(server, before.clone(), password("wrong"), true);
    let Ok(Step::Write(packet, change)) = change.advance(&mut ReadBuffer::default()) else {
        panic!()
    };
    let login = server::ServerChangeUser::new(
        &packet[codec::HEADER..],
        &before,
        Flavour::Mysql,
        password_auth("geheim"),
        true,
    )
    .unwrap();
    let (changed, request) = run(change, login, &OkPacket::default(), 2);
    assert!(matches!(request, Err(ProtocolError::Denied { .. })));
    assert!(matches!(changed, Err(ProtocolError::Refused(_))));
}

#[test]
fn pool_key_omits_process_attributes() {
    let other = LoginParams {
        attributes: vec![
            (b"program_name".to_vec(), b"mysql".to_vec()),
            (b"_pid".to_vec(), b"12".to_vec()),
        ],
        ..params()
    };
    assert_ne!(params(), other);
    assert_eq!(params().pool_key(), other.pool_key());
    assert_ne!(params().pool_key(), LoginParams { database: None, ..params() }.pool_key());
}
