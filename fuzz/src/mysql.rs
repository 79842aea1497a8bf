//! MySQL's and MariaDB's logins from both sides, and the session after them.

use std::sync::{Arc, LazyLock};

use countersign_core::credentials::Secret;
use countersign_wire::exchange::ClientTlsMode;
use countersign_wire::mysql::client::{self, ClientLogin};
use countersign_wire::mysql::greeting::{Flavour, Greeting};
use countersign_wire::mysql::server::{self, AuthMethod, LoginRequest, ServerLogin};
use countersign_wire::mysql::stream::{Next, SessionTracker};
use countersign_wire::mysql::{Capabilities, LoginParams, MysqlPassword, codec, response};

use crate::exchange::{client_tls_mode, credential, play, transport_security};

/// Password that is too long for a fuzzer to find.
static PASSWORD: LazyLock<Option<Arc<MysqlPassword>>> = LazyLock::new(|| {
    Some(Arc::new(MysqlPassword::new(&Secret::new("a-password-that-is-not-guessed")?)))
});

/// Bytes of a client. The first byte chooses the configuration and the size of the pieces.
pub fn mysql_server(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let tls = client_tls_mode(*choice);
    let requires_password = choice / 3 % 2 == 1;
    let flavour = if choice / 6 % 2 == 0 { Flavour::Mysql } else { Flavour::Mariadb };
    let auth = match &*PASSWORD {
        Some(password) if requires_password => AuthMethod::Password(Arc::clone(password)),
        _ => AuthMethod::Trust,
    };
    let capabilities = Capabilities::FORWARDED.set(Capabilities::MYSQL, flavour == Flavour::Mysql);
    let greeting =
        Greeting { version: "8.4.0".to_owned(), flavour, capabilities, collation: 255, status: 2 };
    let config = server::ServerConfig { greeting, tls, connection_id: 1, auth: auth.clone() };
    let played = play(ServerLogin::new(config), data, usize::from(choice / 12) + 1);
    assert!(played.sent.len() < 4096, "the server sent too much");
    if let Some(Ok(LoginRequest { params, .. })) = played.result {
        assert!(!requires_password, "a login succeeded without the password");
        assert!(
            tls != ClientTlsMode::Required || played.is_secure,
            "a login succeeded without TLS"
        );
        assert!(
            Capabilities::FORWARDED.with(Capabilities::PROTOCOL_41).has(params.capabilities),
            "a login has capabilities that cannot be forwarded"
        );
        assert_eq!(params.pool_key(), params.pool_key().pool_key(), "a pool key has two forms");
        let changed = server::ServerChangeUser::new(data, &params, flavour, auth, played.is_secure)
            .map(|change| play(change, data, usize::MAX).result);
        if let Ok(Some(Ok(request))) = changed {
            assert!(
                request.params.capabilities == params.capabilities,
                "a change of the user changed the capabilities"
            );
        }
    }
}

/// Bytes of a server. The first byte chooses the configuration and the size of the pieces.
pub fn mysql_client(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let security = transport_security(*choice);
    let params = LoginParams::new("jane", Some("orders".to_owned()));
    let config = client::ClientConfig { params, security, credential: credential(choice / 3) };
    let split = play(ClientLogin::new(config.clone()), data, usize::from(choice / 6) + 1);
    split.assert_token_is_secret(security, data);
    let whole = play(ClientLogin::new(config), data, usize::MAX);
    match (split.result, whole.result) {
        (Some(Ok(split)), Some(Ok(whole))) => {
            assert_eq!(split.ok, whole.ok, "splitting the server's bytes changes the result");
        }
        // The simulated handshake drops buffered bytes, whose number depends on the pieces.
        (Some(Ok(_)), None | Some(Err(_))) => {
            assert!(split.is_secure, "splitting the server's bytes changes the result");
        }
        _ => {}
    }
}

/// Bytes of both sides after the login: splitting them changes nothing. The first byte chooses the
/// capabilities and the size of the pieces. After it, a byte names the side and the number of bytes
/// that follow.
pub fn mysql_stream(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let capabilities = Capabilities::PROTOCOL_41
        .set(Capabilities::DEPRECATE_EOF, choice & 1 != 0)
        .set(Capabilities::OPTIONAL_METADATA, choice & 2 != 0)
        .set(Capabilities::QUERY_ATTRIBUTES, choice & 4 != 0);
    let (mut whole, mut split) = (Session::new(capabilities), Session::new(capabilities));
    let size = usize::from(choice / 8) + 1;
    let mut rest = data;
    while let Some((turn, tail)) = rest.split_first() {
        let (bytes, tail) = tail.split_at_checked(usize::from(turn / 2)).unwrap_or((tail, &[]));
        rest = tail;
        if bytes.is_empty() {
            continue;
        }
        let is_client = turn % 2 == 0;
        whole.receive(is_client, bytes);
        bytes.chunks(size).for_each(|piece| split.receive(is_client, piece));
        assert_eq!(whole.observed(), split.observed(), "splitting the bytes changes the result");
        if whole.is_over {
            return;
        }
    }
    let _fields = response::error_fields(&response::with_explanation(data, "explanation"));
}

/// A tracked session, and the client's bytes that are not forwarded yet.
struct Session {
    tracker: SessionTracker,
    held: Vec<u8>,
    forwarded: usize,
    intercepted: usize,
    is_over: bool,
}

impl Session {
    fn new(capabilities: Capabilities) -> Self {
        Self {
            tracker: SessionTracker::new(capabilities, 2),
            held: Vec::new(),
            forwarded: 0,
            intercepted: 0,
            is_over: false,
        }
    }

    fn receive(&mut self, is_client: bool, bytes: &[u8]) {
        if !is_client {
            self.tracker.observe_server(bytes);
            return;
        }
        self.held.extend_from_slice(bytes);
        while !self.is_over {
            let Ok(plan) = self.tracker.observe_client(&self.held) else {
                // An error does not report the number of bytes before it.
                (self.is_over, self.forwarded) = (true, 0);
                return;
            };
            assert!(plan.forward <= self.held.len(), "more bytes are forwarded than there are");
            self.held.drain(..plan.forward);
            self.forwarded += plan.forward;
            let length = match plan.then {
                Next::More => {
                    assert!(
                        self.held.len() < codec::HEADER + codec::MAX_LOGIN_PACKET,
                        "too many bytes are held"
                    );
                    return;
                }
                Next::Quit => {
                    self.is_over = true;
                    return;
                }
                Next::ChangeUser { length } => length,
                Next::Kill(kill) => {
                    let packet = self.held.get(..kill.length).unwrap_or_default();
                    let connection_id = u32::try_from(kill.connection_id).unwrap_or(u32::MAX);
                    let again = SessionTracker::new(Capabilities::NONE, 2)
                        .observe_client(&kill.with_connection_id(packet, connection_id));
                    assert!(again.is_ok(), "a KILL with another connection ID is invalid");
                    kill.length
                }
            };
            assert!(length > 0 && length <= self.held.len(), "an intercepted packet is missing");
            self.held.drain(..length);
            self.intercepted += 1;
        }
    }

    /// Returns the observable state.
    fn observed(&self) -> (usize, usize, bool, [bool; 3], Option<u16>) {
        let Self { tracker, .. } = self;
        let states = [tracker.is_idle(), tracker.has_quit_idle(), tracker.is_desynced()];
        assert!(!states.iter().all(|state| *state), "exclusive states at once");
        (self.forwarded, self.intercepted, self.is_over, states, tracker.status())
    }
}
