//! Takes a client in: from our greeting to where it is known who logs in, to which database, with which capabilities.
//!
//! The name that the client gives is nobody's proof: with [`Ask::Password`] there is one password for whoever comes.

mod change;
mod password_check;

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::auth_plugins::{self, CACHING_SHA2, NATIVE};
use super::codec::{self, ACCESS_DENIED, BAD_HANDSHAKE, OLD_PROTOCOL, TLS_REQUIRED, UNKNOWN_ERROR};
use super::greeting::{Flavour, Greeting, HandshakeV10};
use super::handshake_response::{self, HandshakeResponse, Malformed, TLS_REQUEST};
use super::{Capabilities, LoginParams, MysqlPassword};
use crate::exchange::{AwaitTls, ClientTlsMode, Exchange, ProtocolError, Step, TlsInfo};
use crate::read_buffer::ReadBuffer;
pub use change::ServerChangeUser;
use password_check::{AuthChecker, Verdict};

/// What a client has to prove.
#[derive(Debug, Clone)]
pub enum AuthMethod {
    /// Nothing: reaching the socket is enough.
    Trust,
    /// That it knows a password, by `caching_sha2_password` or `mysql_native_password`, or within TLS as it is.
    Password(Arc<MysqlPassword>),
}

/// How clients are taken in.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// What the server behind us greets with: a client is offered what of it can be carried.
    pub greeting: Greeting,
    /// Whether there is TLS.
    pub tls: ClientTlsMode,
    /// The connection's number in the client's eyes.
    pub connection_id: u32,
    /// What clients prove.
    pub ask: AuthMethod,
}

impl ServerConfig {
    fn offered(&self) -> Capabilities {
        let server = self.greeting.capabilities;
        // Without MySQL's bit a client looks for the high half; MariaDB's own set it where their clients are old.
        let extended = server.mariadb() != 0;
        ((server & Capabilities::FORWARDED) | Capabilities::LOGIN)
            .set(Capabilities::MYSQL, !extended)
            .set(Capabilities::SSL, self.tls != ClientTlsMode::Off)
    }
}

/// The plugin that a server of this flavour greets with: what most of its clients begin with.
fn announced(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Mysql => CACHING_SHA2,
        Flavour::Mariadb => NATIVE,
    }
}

/// Who came, for what. No OK is sent yet.
#[derive(Debug, PartialEq, Eq)]
pub struct LoginRequest {
    /// What it asks for.
    pub wish: LoginParams,
    /// The number of the packet that we send next: the OK ([`super::answer::welcome`]), or an ERR.
    pub sequence: u8,
}

/// A client's login, taken in.
#[derive(Debug)]
pub struct ServerLogin {
    settings: ServerConfig,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing has been said.
    Opening,
    /// Has greeted.
    Greeted(Line, Nonce),
    /// Has asked for another proof.
    Switched(Switched),
}

/// What carries the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Bare,
    Tls,
}

impl Line {
    /// The number of the client's first packet: the request for TLS was one too.
    fn sequence(self) -> u8 {
        match self {
            Self::Bare => 1,
            Self::Tls => 2,
        }
    }
}

/// What a proof is made of, so that it is good once.
struct Nonce(Vec<u8>);

impl Nonce {
    fn random(sequence: u8) -> Result<Self, ProtocolError> {
        auth_plugins::nonce().map(Self).map_err(|error| {
            let (number, sqlstate) = UNKNOWN_ERROR;
            let error_packet = codec::error_packet(
                sequence,
                number,
                sqlstate,
                "no random numbers for a nonce",
                Capabilities::PROTOCOL_41,
            );
            ProtocolError::Unsupported {
                detail: format!("the system gives no random numbers: {error}"),
                error_packet,
            }
        })
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce")
    }
}

/// Waits for a proof of another kind.
#[derive(Debug)]
struct Switched {
    wish: LoginParams,
    judge: AuthChecker,
    plugin: &'static str,
    nonce: Nonce,
    /// Of the packet that comes.
    sequence: u8,
}

/// What is done after a proof: another is asked for, or the client is in.
enum Turn {
    Ask(Vec<u8>, Switched),
    In(Vec<u8>, LoginRequest),
}

/// Judges a proof; `sequence` is the number of the packet that answers it.
fn judged(
    judge: AuthChecker,
    asked: HandshakeResponse,
    nonce: &Nonce,
    sequence: u8,
) -> Result<Turn, ProtocolError> {
    let may_switch = asked.capabilities.has(Capabilities::PLUGIN_AUTH);
    let plugin = asked.plugin.as_deref().unwrap_or(NATIVE);
    match judge.first(plugin, &asked.proof, &nonce.0, may_switch) {
        Verdict::Accept { fast } => Ok(admitted(asked.wish, fast, sequence)),
        Verdict::AuthSwitch(plugin) => {
            let nonce = Nonce::random(sequence)?;
            let request =
                [&[codec::EOF], plugin.as_bytes(), &[0], nonce.0.as_slice(), &[0]].concat();
            let switched = Switched {
                wish: asked.wish,
                judge,
                plugin,
                nonce,
                sequence: sequence.wrapping_add(1),
            };
            Ok(Turn::Ask(codec::packet(sequence, &request), switched))
        }
        Verdict::Reject => Err(denied(&asked.wish.user, &asked.proof, sequence)),
    }
}

impl Switched {
    /// Takes the other proof; `None` where it has not come.
    fn take(self, inbox: &mut ReadBuffer) -> Result<Result<Turn, Self>, ProtocolError> {
        let Some((payload, total)) = read(inbox, self.sequence)? else {
            return Ok(Err(self));
        };
        let Self { wish, judge, plugin, nonce, sequence } = self;
        let next = sequence.wrapping_add(1);
        let verdict = judge.last(plugin, payload, &nonce.0);
        let turn = match verdict {
            Verdict::Accept { fast } => Ok(admitted(wish, fast, next)),
            Verdict::AuthSwitch(_) | Verdict::Reject => Err(denied(&wish.user, payload, next)),
        };
        inbox.consume(total);
        turn.map(Ok)
    }
}

/// Lets the client in. One that has proved by `caching_sha2_password` waits for a word ahead of the OK (`fast_auth_success`).
fn admitted(wish: LoginParams, fast: bool, sequence: u8) -> Turn {
    if fast {
        let bytes = codec::packet(sequence, &[codec::MORE, auth_plugins::FAST]);
        return Turn::In(bytes, LoginRequest { wish, sequence: sequence.wrapping_add(1) });
    }
    Turn::In(Vec::new(), LoginRequest { wish, sequence })
}

impl ServerLogin {
    /// Begins.
    #[must_use]
    pub fn new(settings: ServerConfig) -> Self {
        Self { settings, state: State::Opening }
    }

    fn open(self) -> Result<Step<Self>, ProtocolError> {
        let nonce = Nonce::random(0)?;
        let Greeting { version, flavour, collation, status, .. } = self.settings.greeting.clone();
        let greeting =
            Greeting { version, flavour, capabilities: self.settings.offered(), collation, status };
        let plugin = announced(flavour).to_owned();
        let greeted = HandshakeV10 {
            greeting,
            connection_id: self.settings.connection_id,
            nonce: nonce.0.clone(),
            plugin,
        };
        let bytes = codec::packet(0, &greeted.encode());
        Ok(Step::Write(
            Zeroizing::new(bytes),
            Self { state: State::Greeted(Line::Bare, nonce), ..self },
        ))
    }

    fn greeted(
        self,
        line: Line,
        nonce: Nonce,
        inbox: &mut ReadBuffer,
    ) -> Result<Step<Self>, ProtocolError> {
        let sequence = line.sequence();
        let answer = sequence.wrapping_add(1);
        let Some((payload, total)) = read(inbox, sequence)? else {
            return Ok(Step::Read(Self { state: State::Greeted(line, nonce), ..self }));
        };
        let said = first_capabilities(payload, answer)?;
        if line == Line::Bare && said.has(Capabilities::SSL) {
            let length = payload.len();
            return self.tls_asked(length, total, nonce, inbox);
        }
        let asked = HandshakeResponse::parse(payload, self.settings.offered())
            .map_err(|malformed| malformed_login(&malformed, answer))?;
        inbox.consume(total);
        if line == Line::Bare && self.settings.tls == ClientTlsMode::Required {
            return Err(no_encryption(&asked.wish.user, answer));
        }
        let announced = announced(self.settings.greeting.flavour);
        let judge = AuthChecker {
            ask: self.settings.ask.clone(),
            announced: Some(announced),
            fallback: announced,
            tls: line == Line::Tls,
        };
        let turn = judged(judge, asked, &nonce, answer)?;
        Ok(self.step(turn))
    }

    fn tls_asked(
        self,
        length: usize,
        total: usize,
        nonce: Nonce,
        inbox: &mut ReadBuffer,
    ) -> Result<Step<Self>, ProtocolError> {
        if self.settings.tls == ClientTlsMode::Off {
            return Err(violation("the client asks for TLS, which is not offered here", 2));
        }
        if length != TLS_REQUEST {
            return Err(violation("the request for TLS holds more than one", 2));
        }
        // Nobody answers it, so TLS may have begun right behind it: the rest is for TLS, and for nobody else, whoever it is from.
        inbox.consume(total);
        Ok(Step::StartTls(Vec::new(), Box::new(Securing { settings: self.settings, nonce })))
    }

    fn step(self, turn: Turn) -> Step<Self> {
        match turn {
            Turn::Ask(bytes, switched) => Step::Write(
                Zeroizing::new(bytes),
                Self { state: State::Switched(switched), ..self },
            ),
            Turn::In(bytes, arrival) => Step::Done(bytes, arrival),
        }
    }
}

impl Exchange for ServerLogin {
    type Outcome = LoginRequest;

    fn advance(self, inbox: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        let Self { settings, state } = self;
        let this = Self { settings, state: State::Opening };
        match state {
            State::Opening => this.open(),
            State::Greeted(line, nonce) => this.greeted(line, nonce, inbox),
            State::Switched(switched) => Ok(match switched.take(inbox)? {
                Ok(turn) => this.step(turn),
                Err(switched) => Step::Read(Self { state: State::Switched(switched), ..this }),
            }),
        }
    }
}

/// Has been asked for TLS.
#[derive(Debug)]
struct Securing {
    settings: ServerConfig,
    nonce: Nonce,
}

impl AwaitTls<ServerLogin> for Securing {
    fn established(self: Box<Self>, _: TlsInfo) -> ServerLogin {
        ServerLogin { settings: self.settings, state: State::Greeted(Line::Tls, self.nonce) }
    }
}

/// A packet of the client.
fn read(inbox: &ReadBuffer, sequence: u8) -> Result<Option<(&[u8], usize)>, ProtocolError> {
    codec::read_packet(inbox, sequence)
        .map_err(|fault| violation(&fault.to_string(), sequence.wrapping_add(1)))
}

/// What the first packet says the client can do, where it is none from before 4.1.
fn first_capabilities(payload: &[u8], answer: u8) -> Result<Capabilities, ProtocolError> {
    let is_old = payload.first_chunk().is_some_and(|low| {
        u16::from_le_bytes(*low) & Capabilities::PROTOCOL_41.mysql() as u16 == 0
    });
    if is_old {
        let detail = "the client speaks a protocol from before MySQL 4.1";
        let (number, sqlstate) = OLD_PROTOCOL;
        // In MySQL's words. Such a client knows no SQLSTATE.
        let message = "Client does not support authentication protocol requested by server; consider upgrading MySQL client";
        let error_packet =
            codec::error_packet(answer, number, sqlstate, message, Capabilities::NONE);
        return Err(ProtocolError::Unsupported { detail: detail.to_owned(), error_packet });
    }
    handshake_response::capabilities_of(payload)
        .ok_or_else(|| violation("the client's first packet is too short", answer))
}

fn malformed_login(malformed: &Malformed, answer: u8) -> ProtocolError {
    match malformed {
        Malformed::Short => {
            violation("the client's login is malformed, or something in it is too long", answer)
        }
        Malformed::Text => {
            let detail = "the login holds a name that is not UTF-8: use names of users and databases that are";
            let (number, sqlstate) = BAD_HANDSHAKE;
            let error_packet =
                codec::error_packet(answer, number, sqlstate, detail, Capabilities::PROTOCOL_41);
            ProtocolError::Unsupported { detail: detail.to_owned(), error_packet }
        }
    }
}

fn no_encryption(user: &str, answer: u8) -> ProtocolError {
    let detail = format!("the client comes without TLS as user {user:?}, which is required here");
    let (number, sqlstate) = TLS_REQUIRED;
    let message = format!(
        "the proxy takes in nobody without TLS, and the connection of user '{user}' has none: set ssl-mode to REQUIRED"
    );
    ProtocolError::Denied {
        detail,
        error_packet: codec::error_packet(
            answer,
            number,
            sqlstate,
            &message,
            Capabilities::PROTOCOL_41,
        ),
    }
}

fn denied(user: &str, proof: &[u8], answer: u8) -> ProtocolError {
    let given = if matches!(proof, [] | [0]) { "NO" } else { "YES" };
    let (number, sqlstate) = ACCESS_DENIED;
    // In MySQL's words.
    let message = format!("Access denied for user '{user}' (using password: {given})");
    let error_packet =
        codec::error_packet(answer, number, sqlstate, &message, Capabilities::PROTOCOL_41);
    ProtocolError::Denied {
        detail: format!("a wrong password came with the user name {user:?}"),
        error_packet,
    }
}

/// What a client that breaks the protocol is told and what is logged are the same.
fn violation(detail: &str, answer: u8) -> ProtocolError {
    let (number, sqlstate) = BAD_HANDSHAKE;
    let error_packet = codec::error_packet(
        answer,
        number,
        sqlstate,
        &format!("Bad handshake: {detail}"),
        Capabilities::PROTOCOL_41,
    );
    ProtocolError::Protocol { detail: detail.to_owned(), error_packet }
}

#[cfg(test)]
mod tests;
