//! Our login against our dial, in memory; and the bytes of other people's.

use std::sync::Arc;

use countersign_core::credentials::Secret;
use zeroize::Zeroizing;

use super::client::{ClientLogin, Session};
use super::greeting::HandshakeV10;
use super::response::{OkPacket, error_number, status};
use super::server::{AuthMethod, LoginRequest, ServerLogin};
use super::*;
use crate::exchange::{
    AwaitTls, ClientTlsMode, Credential, Exchange, ProtocolError, Step, TlsInfo, TransportSecurity,
};
use crate::read_buffer::ReadBuffer;

/// Bytes from hexadecimal digits; white space parts them.
pub(super) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A greeting of MySQL 9.7.4, as it came.
pub(super) const MYSQL_97: &str = "0a392e372e342d32001000000044103817652e185100ffffff0200ffdf1500000000000000000000072b6e3e77774f0a250a5618\
     0063616368696e675f736861325f70617373776f726400";

/// A greeting of MariaDB 10.11.19, as it came.
pub(super) const MARIADB_1011: &str = "0a352e352e352d31302e31312e31392d4d6172696144422d302b6465623132753100250000007a212f6b4e24675a00feff080200ff8115\
     0000000000001d0000006d355e5d3531365c4e4e2156006d7973716c5f6e61746976655f70617373776f726400";

pub(super) fn greeting(digits: &str) -> Greeting {
    HandshakeV10::parse(&hex(digits)).unwrap().greeting
}

pub(super) fn password(text: &str) -> Credential {
    Credential::Password(Secret::new(text).unwrap())
}

pub(super) fn ask(text: &str) -> AuthMethod {
    AuthMethod::Password(Arc::new(MysqlPassword::new(&Secret::new(text).unwrap())))
}

pub(super) fn token() -> Credential {
    Credential::Token(Zeroizing::new(format!(
        "db.example:3306/?Action=connect&X-Amz-Signature={}",
        "0".repeat(1500)
    )))
}

enum State<E: Exchange> {
    Going(E),
    Securing(Box<dyn AwaitTls<E>>),
    Over(Result<E::Outcome, ProtocolError>),
}

/// One side of a login, what has come to it, and what it has sent.
struct End<E: Exchange> {
    state: Option<State<E>>,
    inbox: ReadBuffer,
    sent: Vec<u8>,
}

impl<E: Exchange> End<E> {
    fn new(exchange: E) -> Self {
        let mut end = Self {
            state: Some(State::Going(exchange)),
            inbox: ReadBuffer::default(),
            sent: Vec::new(),
        };
        end.go();
        end
    }

    fn go(&mut self) {
        while let Some(State::Going(exchange)) =
            self.state.take_if(|state| matches!(state, State::Going(_)))
        {
            let (state, waits) = match exchange.advance(&mut self.inbox) {
                Ok(Step::Read(next)) => (State::Going(next), true),
                Ok(Step::Write(bytes, next)) => {
                    self.sent.extend_from_slice(&bytes);
                    (State::Going(next), false)
                }
                Ok(Step::StartTls(bytes, next)) => {
                    self.sent.extend(bytes);
                    (State::Securing(next), true)
                }
                Ok(Step::Done(bytes, outcome)) => {
                    self.sent.extend(bytes);
                    (State::Over(Ok(outcome)), true)
                }
                Err(fault) => {
                    self.sent.extend_from_slice(fault.error_packet());
                    (State::Over(Err(fault)), true)
                }
            };
            self.state = Some(state);
            if waits {
                return;
            }
        }
    }

    fn take(&mut self, bytes: &[u8], chunk: usize) {
        for part in bytes.chunks(chunk) {
            self.inbox.push(part);
            self.go();
        }
    }

    fn secured(&mut self) {
        match self.state.take() {
            Some(State::Securing(next)) => {
                self.state = Some(State::Going(next.established(TlsInfo::default())))
            }
            state => self.state = state,
        }
        self.go();
    }

    fn is_securing(&self) -> bool {
        matches!(self.state, Some(State::Securing(_)))
    }

    fn outcome(self) -> Result<E::Outcome, ProtocolError> {
        match self.state {
            Some(State::Over(outcome)) => outcome,
            _ => Err(ProtocolError::protocol("it waits for ever")),
        }
    }
}

/// Lets both talk until neither says more; whoever is let in gets this OK.
pub(super) fn talk<C: Exchange, S: Exchange<Outcome = LoginRequest>>(
    client: C,
    server: S,
    ok: &OkPacket,
    chunk: usize,
) -> (Result<C::Outcome, ProtocolError>, Result<LoginRequest, ProtocolError>) {
    let (mut client, mut server) = (End::new(client), End::new(server));
    let mut welcomed = false;
    loop {
        let (asked, answered) =
            (std::mem::take(&mut client.sent), std::mem::take(&mut server.sent));
        server.take(&asked, chunk);
        client.take(&answered, chunk);
        if client.is_securing() && server.is_securing() {
            client.secured();
            server.secured();
        }
        if let (false, Some(State::Over(Ok(arrival)))) = (welcomed, &server.state) {
            welcomed = true;
            server
                .sent
                .extend(codec::packet(arrival.sequence, &ok.encode(arrival.wish.capabilities)));
        }
        if client.sent.is_empty() && server.sent.is_empty() {
            return (client.outcome(), server.outcome());
        }
    }
}

fn settings(digits: &str, tls: ClientTlsMode, ask: AuthMethod) -> server::ServerConfig {
    server::ServerConfig { greeting: greeting(digits), tls, connection_id: 7, ask }
}

fn wish() -> LoginParams {
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

fn changed() -> OkPacket {
    let status = status::AUTOCOMMIT | status::SESSION_STATE_CHANGED;
    OkPacket { status, changes: b"\x01\x07\x06orders".to_vec(), ..OkPacket::default() }
}

type Both = (Result<Session, ProtocolError>, Result<LoginRequest, ProtocolError>);

fn meet(
    digits: &str,
    tls: ClientTlsMode,
    security: TransportSecurity,
    ask: AuthMethod,
    credential: Credential,
    chunk: usize,
) -> Both {
    let dial = ClientLogin::new(client::ClientConfig { wish: wish(), security, credential });
    talk(dial, ServerLogin::new(settings(digits, tls, ask)), &changed(), chunk)
}

const LINES: [(ClientTlsMode, TransportSecurity); 5] = [
    (ClientTlsMode::Off, TransportSecurity::Plain { trusted: false }),
    (ClientTlsMode::Off, TransportSecurity::Plain { trusted: true }),
    (ClientTlsMode::Offered, TransportSecurity::Plain { trusted: true }),
    (ClientTlsMode::Offered, TransportSecurity::Required),
    (ClientTlsMode::Required, TransportSecurity::Required),
];

#[test]
fn whoever_knows_the_password_is_let_in_with_all_it_asked_for() {
    for (digits, (tls, security), chunk) in
        [MYSQL_97, MARIADB_1011].into_iter().flat_map(|digits| {
            LINES
                .into_iter()
                .flat_map(move |line| [1, 5, usize::MAX].map(|chunk| (digits, line, chunk)))
        })
    {
        let (session, arrival) =
            meet(digits, tls, security, ask("geheim"), password("geheim"), chunk);
        let (session, arrival) = (session.unwrap(), arrival.unwrap());
        let carried = greeting(digits).capabilities | Capabilities::PROTOCOL_41;
        assert_eq!(
            arrival.wish,
            LoginParams { capabilities: wish().capabilities & carried, ..wish() }
        );
        assert_eq!(session.connection_id, 7);
        assert_eq!(
            session.capabilities.has(Capabilities::SSL),
            security == TransportSecurity::Required
        );
        assert_eq!(session.status, status::AUTOCOMMIT | status::SESSION_STATE_CHANGED);
        assert_eq!(OkPacket::parse(&session.ok, session.capabilities), Some(changed()));
        assert_eq!(session.greeting.version, greeting(digits).version);
    }
}

#[test]
fn whoever_does_not_is_kept_out_and_told_so() {
    for (digits, (tls, security)) in
        [MYSQL_97, MARIADB_1011].into_iter().flat_map(|digits| LINES.map(|line| (digits, line)))
    {
        for (credential, said) in [(password("geheimer"), "YES"), (Credential::None, "NO")] {
            let (session, arrival) = meet(digits, tls, security, ask("geheim"), credential, 7);
            assert!(matches!(arrival, Err(ProtocolError::Denied { .. })), "{arrival:?}");
            let Err(ProtocolError::Refused(error)) = session else { panic!("{session:?}") };
            assert_eq!(error.code, "1045 (28000)");
            assert_eq!(
                error.message,
                format!("Access denied for user 'jané' (using password: {said})")
            );
        }
    }
}

#[test]
fn where_nothing_is_asked_everybody_is_let_in() {
    for (digits, (tls, security)) in
        [MYSQL_97, MARIADB_1011].into_iter().flat_map(|digits| LINES.map(|line| (digits, line)))
    {
        for credential in [password("any"), Credential::None] {
            let (session, arrival) = meet(digits, tls, security, AuthMethod::Trust, credential, 3);
            session.unwrap();
            assert_eq!(arrival.unwrap().wish.user, "jané");
        }
    }
}

#[test]
fn a_token_goes_out_as_it_is_and_only_where_nobody_reads_along() {
    for (tls, security) in LINES {
        let (session, _) = meet(MYSQL_97, tls, security, AuthMethod::Trust, token(), usize::MAX);
        match security {
            TransportSecurity::Plain { trusted: false } => {
                assert!(matches!(session, Err(ProtocolError::Unsupported { .. })), "{session:?}")
            }
            _ => assert!(session.is_ok(), "{session:?}"),
        }
        let (session, _) = meet(MYSQL_97, tls, security, ask("geheim"), token(), usize::MAX);
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
fn tls_is_there_or_there_is_no_login() {
    let (session, _) = meet(
        MYSQL_97,
        ClientTlsMode::Off,
        TransportSecurity::Required,
        AuthMethod::Trust,
        token(),
        usize::MAX,
    );
    assert!(
        matches!(&session, Err(ProtocolError::Unsupported { detail, .. }) if detail.contains("no TLS")),
        "{session:?}"
    );
    let plain = TransportSecurity::Plain { trusted: true };
    let (session, arrival) = meet(
        MYSQL_97,
        ClientTlsMode::Required,
        plain,
        AuthMethod::Trust,
        password("x"),
        usize::MAX,
    );
    assert!(matches!(arrival, Err(ProtocolError::Denied { .. })), "{arrival:?}");
    assert!(
        matches!(&session, Err(ProtocolError::Refused(error)) if error_number(&error.payload) == Some(3159)),
        "{session:?}"
    );
}

#[test]
fn a_client_is_not_promised_what_another_server_lacks() {
    let wish = LoginParams { capabilities: Capabilities::QUERY_ATTRIBUTES, ..wish() };
    let dial = ClientLogin::new(client::ClientConfig {
        wish,
        security: TransportSecurity::Plain { trusted: true },
        credential: password("x"),
    });
    let login = ServerLogin::new(settings(MARIADB_1011, ClientTlsMode::Off, AuthMethod::Trust));
    let (session, _) = talk(dial, login, &OkPacket::default(), usize::MAX);
    assert!(
        matches!(&session, Err(ProtocolError::Unsupported { detail, .. }) if detail.contains("QUERY_ATTRIBUTES")),
        "{session:?}"
    );
}

#[test]
fn users_are_changed_in_a_session_that_stands() {
    let server = Capabilities::FORWARDED | Capabilities::LOGIN;
    let before = LoginParams {
        capabilities: Capabilities::FORWARDED.with(Capabilities::PROTOCOL_41),
        ..wish()
    };
    for (flavour, asks, credential, tls) in [
        (Flavour::Mysql, ask("geheim"), password("geheim"), true),
        (Flavour::Mariadb, ask("geheim"), password("geheim"), false),
        (Flavour::Mysql, AuthMethod::Trust, password("any"), false),
        (Flavour::Mariadb, AuthMethod::Trust, Credential::None, false),
    ] {
        let after = LoginParams {
            user: "joe".to_owned(),
            database: None,
            collation: 2048,
            ..before.clone()
        };
        let change = client::ChangeUser::with(server, after.clone(), credential, tls, false);
        let Ok(Step::Write(packet, change)) = change.advance(&mut ReadBuffer::default()) else {
            panic!()
        };
        let login =
            server::ServerChangeUser::new(&packet[codec::HEADER..], &before, flavour, asks, tls)
                .unwrap();
        let (changed, arrival) = talk(change, login, &changed(), 2);
        assert_eq!(changed.unwrap().status, status::AUTOCOMMIT | status::SESSION_STATE_CHANGED);
        assert_eq!(arrival.unwrap().wish, after);
    }
    let change = client::ChangeUser::with(server, before.clone(), password("wrong"), true, false);
    let Ok(Step::Write(packet, change)) = change.advance(&mut ReadBuffer::default()) else {
        panic!()
    };
    let login = server::ServerChangeUser::new(
        &packet[codec::HEADER..],
        &before,
        Flavour::Mysql,
        ask("geheim"),
        true,
    )
    .unwrap();
    let (changed, arrival) = talk(change, login, &OkPacket::default(), 2);
    assert!(matches!(arrival, Err(ProtocolError::Denied { .. })));
    assert!(matches!(changed, Err(ProtocolError::Refused(_))));
}

#[test]
fn what_differs_between_processes_is_not_of_a_pools_key() {
    let other = LoginParams {
        attributes: vec![
            (b"program_name".to_vec(), b"mysql".to_vec()),
            (b"_pid".to_vec(), b"12".to_vec()),
        ],
        ..wish()
    };
    assert_ne!(wish(), other);
    assert_eq!(wish().pool_key(), other.pool_key());
    assert_ne!(wish().pool_key(), LoginParams { database: None, ..wish() }.pool_key());
}
