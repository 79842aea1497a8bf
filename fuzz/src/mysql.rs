//! MySQL's and MariaDB's logins, from both sides, and the session remaining them.

use std::sync::{Arc, LazyLock};

use countersign_core::credentials::Secret;
use countersign_wire::exchange::{ClientTlsMode, Credential, TransportSecurity};
use countersign_wire::mysql::client::{self, ClientLogin};
use countersign_wire::mysql::greeting::{Flavour, Greeting};
use countersign_wire::mysql::server::{self, AuthMethod, LoginRequest, ServerLogin};
use countersign_wire::mysql::stream::{Next, SessionTracker};
use countersign_wire::mysql::{Capabilities, LoginParams, MysqlPassword, codec};
use zeroize::Zeroizing;

use crate::exchange::play;

const TOKEN: &str = "token-that-nobody-reads-along";

/// Longer than what is found by trying.
static PASSWORD: LazyLock<Option<Arc<MysqlPassword>>> = LazyLock::new(|| {
    Some(Arc::new(MysqlPassword::new(&Secret::new("a-password-that-nobody-guesses")?)))
});

/// What a client, or whoever reaches the port, says. The first byte chooses the config and the size of the pieces.
pub fn mysql_login(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let tls = [ClientTlsMode::Off, ClientTlsMode::Offered, ClientTlsMode::Required]
        .into_iter()
        .cycle()
        .nth(usize::from(choice % 3))
        .unwrap_or(ClientTlsMode::Off);
    let guarded = choice / 3 % 2 == 1;
    let flavour = if choice / 6 % 2 == 0 { Flavour::Mysql } else { Flavour::Mariadb };
    let ask = match &*PASSWORD {
        Some(password) if guarded => AuthMethod::Password(Arc::clone(password)),
        _ => AuthMethod::Trust,
    };
    let capabilities = Capabilities::FORWARDED.set(Capabilities::MYSQL, flavour == Flavour::Mysql);
    let greeting =
        Greeting { version: "8.4.0".to_owned(), flavour, capabilities, collation: 255, status: 2 };
    let played = play(
        ServerLogin::new(server::ServerConfig {
            greeting,
            tls,
            connection_id: 1,
            ask: ask.clone(),
        }),
        data,
        usize::from(choice / 12) + 1,
    );
    assert!(played.sent.len() < 4096, "a stranger is told a great deal");
    if let Some(Ok(LoginRequest { params, .. })) = played.result {
        assert!(!guarded, "somebody is let in without the password");
        assert!(
            tls != ClientTlsMode::Required || played.is_secure,
            "somebody is let in without TLS"
        );
        assert!(
            Capabilities::FORWARDED.with(Capabilities::PROTOCOL_41).has(params.capabilities),
            "what can't be carried is promised"
        );
        assert_eq!(params.pool_key(), params.pool_key().pool_key(), "a pool's key has two forms");
        let changed = server::ServerChangeUser::new(data, &params, flavour, ask, played.is_secure)
            .map(|change| play(change, data, usize::MAX).result);
        assert!(
            !matches!(changed, Ok(Some(Ok(request))) if request.params.capabilities != params.capabilities),
            "a change changes capabilities"
        );
    }
}

/// What a server, or whoever sits in its place, answers. The first byte chooses how the login is tried, and the size of the pieces.
pub fn mysql_dial(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let security = match choice % 3 {
        0 => TransportSecurity::Required,
        one => TransportSecurity::Plain { trusted: one == 1 },
    };
    let has_token = choice / 3 % 2 == 0;
    let credential = match Secret::new("password") {
        Some(password) if !has_token => Credential::Password(password),
        _ => Credential::Token(Zeroizing::new(TOKEN.to_owned())),
    };
    let params = LoginParams::new("jane", Some("orders".to_owned()));
    let config = client::ClientConfig { params, security, credential };
    let played = play(ClientLogin::new(config.clone()), data, usize::from(choice / 6) + 1);
    assert!(played.sent.len() < 64 * 1024, "a server is told a great deal");
    let told = played.sent.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes());
    assert!(
        !told || played.is_secure || security == TransportSecurity::Plain { trusted: true },
        "somebody could read the token"
    );
    let whole = play(ClientLogin::new(config), data, usize::MAX);
    match (played.result, whole.result) {
        (Some(Ok(one)), Some(Ok(other))) => {
            assert_eq!(one.ok, other.ok, "a server is understood differently when it is cut")
        }
        // TLS leaves out what is in the buffer, which differs.
        (Some(Ok(_)), None | Some(Err(_))) => {
            assert!(played.is_secure, "a server is understood differently when it is cut")
        }
        (Some(Err(error)), _) => {
            let said = data.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes());
            assert!(said || !error.to_string().contains(TOKEN), "an error shows the token");
        }
        _ => {}
    }
}

/// What both sides say once the login is over: it is understood the same however it is cut. The first byte chooses the
/// capabilities and the size of the pieces; then each byte says whose turn it is, and how much of what follows is said.
pub fn mysql_stream(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let capabilities = Capabilities::PROTOCOL_41
        .set(Capabilities::DEPRECATE_EOF, choice & 1 != 0)
        .set(Capabilities::OPTIONAL_METADATA, choice & 2 != 0)
        .set(Capabilities::QUERY_ATTRIBUTES, choice & 4 != 0);
    let (mut whole, mut cut) = (Talk::new(capabilities), Talk::new(capabilities));
    let size = usize::from(choice / 8) + 1;
    let mut rest = data;
    while let Some((turn, remaining)) = rest.split_first() {
        let (said, remaining) =
            remaining.split_at_checked(usize::from(turn / 2)).unwrap_or((remaining, &[]));
        rest = remaining;
        if said.is_empty() {
            continue;
        }
        let is_client = turn % 2 == 0;
        whole.hear(is_client, said);
        said.chunks(size).for_each(|piece| cut.hear(is_client, piece));
        assert_eq!(whole.seen(), cut.seen(), "a session is understood differently when it is cut");
        if whole.over {
            return;
        }
    }
    let _fields = codec::error_fields(&codec::with_explanation(data, "because"));
}

/// A session that is followed, and what is held of the client's.
struct Talk {
    tracker: SessionTracker,
    held: Vec<u8>,
    forwarded: usize,
    errands: usize,
    over: bool,
}

impl Talk {
    fn new(capabilities: Capabilities) -> Self {
        Self {
            tracker: SessionTracker::new(capabilities, 2),
            held: Vec::new(),
            forwarded: 0,
            errands: 0,
            over: false,
        }
    }

    fn hear(&mut self, is_client: bool, said: &[u8]) {
        if !is_client {
            self.tracker.answers(said);
            return;
        }
        self.held.extend_from_slice(said);
        while !self.over {
            let Ok(passage) = self.tracker.requests(&self.held) else {
                // What stood in front of it is not told.
                (self.over, self.forwarded) = (true, 0);
                return;
            };
            assert!(passage.forward <= self.held.len(), "more is forwarded than there is");
            self.held.drain(..passage.forward);
            self.forwarded += passage.forward;
            let length = match passage.then {
                Next::More => {
                    assert!(
                        self.held.len() < codec::HEADER + codec::MAX_LOGIN_PACKET,
                        "a great deal is held"
                    );
                    return;
                }
                Next::Quit => {
                    self.over = true;
                    return;
                }
                Next::ChangeUser { length } => length,
                Next::Kill(kill) => {
                    let packet = self.held.get(..kill.length).unwrap_or_default();
                    let number = u32::try_from(kill.connection).unwrap_or(u32::MAX);
                    let again = SessionTracker::new(Capabilities::NONE, 2)
                        .requests(&kill.replaced(packet, number));
                    assert!(again.is_ok(), "a KILL with another number is none");
                    kill.length
                }
            };
            assert!(
                length > 0 && length <= self.held.len(),
                "a packet is taken out that is not there"
            );
            self.held.drain(..length);
            self.errands += 1;
        }
    }

    /// What can be seen from outside.
    fn seen(&self) -> (usize, usize, bool, [bool; 3], Option<u16>) {
        let Self { tracker, .. } = self;
        let states = [tracker.is_idle(), tracker.has_quit_idle(), tracker.is_desynced()];
        assert!(!states.iter().all(|state| *state), "a session is everything at once");
        (self.forwarded, self.errands, self.over, states, tracker.status())
    }
}
