//! Logs in to a server: from its greeting to its OK.

mod authentication;
mod change;
mod greet;

use zeroize::Zeroizing;

use super::codec::{self, ERR};
use super::greeting::{Greeting, HandshakeV10};
use super::{Capabilities, LoginParams, handshake_response, response};
pub use crate::exchange::Credential;
use crate::exchange::{AwaitTls, Exchange, ProtocolError, Step, TlsInfo, TransportSecurity};
use crate::read_buffer::ReadBuffer;
use authentication::{Authentication, Identity, Line, Turn};
pub use change::{ChangeUser, UserChanged};
pub use greet::ReadGreeting;

/// How to log in.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Who logs in to what, as whoever is promised which capabilities. A server that lacks one of [`Capabilities::FRAMING`] is not
    /// logged in to.
    pub wish: LoginParams,
    /// Whether there is TLS.
    pub security: TransportSecurity,
    /// What is proved.
    pub credential: Credential,
}

/// A session that waits for its first command.
#[derive(Debug)]
pub struct Session {
    /// What the server greeted with.
    pub greeting: Greeting,
    /// The session's number, which `KILL` takes.
    pub connection_id: u32,
    /// What both sides can do.
    pub capabilities: Capabilities,
    /// The payload of the server's OK.
    pub ok: Vec<u8>,
    /// The status of the session, as the OK has it.
    pub status: u16,
}

/// A login to a server.
#[derive(Debug)]
pub struct ClientLogin {
    settings: ClientConfig,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The server has not said anything.
    Begun,
    /// Has asked for TLS.
    TlsAsked(Opened),
    /// Will log in.
    Connected(Line, Opened),
    /// Proves who it is.
    Authenticating(Authentication, Opened),
}

/// What is known of the session.
#[derive(Debug)]
struct Opened {
    greeted: HandshakeV10,
    capabilities: Capabilities,
}

impl ClientLogin {
    /// Begins.
    #[must_use]
    pub fn new(settings: ClientConfig) -> Self {
        Self { settings, state: State::Begun }
    }

    fn begin(self, inbox: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        let Some((greeted, total)) = read_greeting(inbox)? else {
            return Ok(Step::Read(self));
        };
        let tls = self.settings.security == TransportSecurity::Required;
        let capabilities = agreed(&self.settings.wish, greeted.greeting.capabilities, tls)?;
        let opened = Opened { greeted, capabilities };
        match self.settings.security {
            TransportSecurity::Required => {
                // Whoever offers TLS says nothing more before it is asked for; what comes ahead may be put there by somebody in between.
                if inbox.unread().len() != total {
                    return Err(ProtocolError::protocol(
                        "the server sends unencrypted data behind its greeting: it is broken, or somebody is in between",
                    ));
                }
                inbox.consume(total);
                let bytes = codec::packet(
                    1,
                    &handshake_response::tls_request(&self.settings.wish, capabilities)?,
                );
                Ok(Step::Write(
                    Zeroizing::new(bytes),
                    Self { state: State::TlsAsked(opened), ..self },
                ))
            }
            TransportSecurity::Plain { trusted } => {
                inbox.consume(total);
                self.introduce(Line::Bare { trusted }, opened)
            }
        }
    }

    fn introduce(self, line: Line, opened: Opened) -> Result<Step<Self>, ProtocolError> {
        let sequence = line.sequence();
        let identity = Identity {
            credential: self.settings.credential.clone(),
            user: self.settings.wish.user.clone(),
            line,
        };
        let (authentication, proof) = Authentication::begin(identity, &opened.greeted, sequence)?;
        let payload = handshake_response::response(
            &self.settings.wish,
            opened.capabilities,
            authentication.plugin(),
            &proof,
        )?;
        let bytes = Zeroizing::new(codec::packet(sequence, &payload));
        Ok(Step::Write(
            bytes,
            Self { state: State::Authenticating(authentication, opened), ..self },
        ))
    }

    fn authenticating(
        self,
        authentication: Authentication,
        opened: Opened,
        inbox: &mut ReadBuffer,
    ) -> Result<Step<Self>, ProtocolError> {
        match authentication.advance(inbox)? {
            Turn::Read(next) => {
                Ok(Step::Read(Self { state: State::Authenticating(next, opened), ..self }))
            }
            Turn::Send(bytes, next) => {
                Ok(Step::Write(bytes, Self { state: State::Authenticating(next, opened), ..self }))
            }
            Turn::Over(ok) => {
                let Opened { greeted: HandshakeV10 { greeting, connection_id, .. }, capabilities } =
                    opened;
                let status = status_of(&ok, capabilities)?;
                Ok(Step::Done(
                    Vec::new(),
                    Session { greeting, connection_id, capabilities, ok, status },
                ))
            }
        }
    }
}

impl Exchange for ClientLogin {
    type Outcome = Session;

    fn advance(self, inbox: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        let Self { settings, state } = self;
        let this = Self { settings, state: State::Begun };
        match state {
            State::Begun => this.begin(inbox),
            State::TlsAsked(opened) => Ok(Step::StartTls(
                Vec::new(),
                Box::new(Securing { settings: this.settings, opened }),
            )),
            State::Connected(line, opened) => this.introduce(line, opened),
            State::Authenticating(authentication, opened) => {
                this.authenticating(authentication, opened, inbox)
            }
        }
    }
}

/// Waits for TLS.
#[derive(Debug)]
struct Securing {
    settings: ClientConfig,
    opened: Opened,
}

impl AwaitTls<ClientLogin> for Securing {
    fn established(self: Box<Self>, _: TlsInfo) -> ClientLogin {
        ClientLogin { settings: self.settings, state: State::Connected(Line::Tls, self.opened) }
    }
}

/// What is asked of a server that offers this.
fn agreed(
    wish: &LoginParams,
    server: Capabilities,
    tls: bool,
) -> Result<Capabilities, ProtocolError> {
    if !server.has(Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION) {
        return Err(ProtocolError::unsupported(
            "the server speaks a protocol from before MySQL 4.1: upgrade it",
        ));
    }
    if tls && !server.has(Capabilities::SSL) {
        return Err(ProtocolError::unsupported(
            "the server offers no TLS, and without TLS no login is tried: give it a certificate and a key (ssl_cert, ssl_key), or look \
             whether the host and the port are the database's",
        ));
    }
    let missing = (wish.capabilities & Capabilities::FRAMING).without(server);
    if missing != Capabilities::NONE {
        return Err(ProtocolError::unsupported(format!(
            "the server lacks what the client was promised ({missing:?}): it is another version than the one before it; connect again"
        )));
    }
    let database = wish.database.is_some();
    let wished = (wish.capabilities & Capabilities::FORWARDED) | Capabilities::LOGIN;
    let agreed =
        (wished & server).set(Capabilities::CONNECT_WITH_DB, database).set(Capabilities::SSL, tls);
    // MySQL's bit is there where the other side can't read the high half.
    Ok(agreed.set(Capabilities::MYSQL, server.has(Capabilities::MYSQL)))
}

/// The packet that a server begins with, and its length, if all of it is there.
fn read_greeting(inbox: &ReadBuffer) -> Result<Option<(HandshakeV10, usize)>, ProtocolError> {
    let stranger = || {
        ProtocolError::protocol(
            "the server does not greet as MySQL or MariaDB does: look at the host and the port",
        )
    };
    let Some((payload, total)) = codec::read_packet(inbox, 0).map_err(|_| stranger())? else {
        return Ok(None);
    };
    if payload.first() == Some(&ERR) {
        // It speaks before it knows whether we know of SQLSTATEs.
        let payload = response::with_sqlstate(payload, Capabilities::PROTOCOL_41);
        return Err(ProtocolError::Refused(codec::error_fields(&payload)));
    }
    let greeted = HandshakeV10::parse(payload).ok_or_else(stranger)?;
    Ok(Some((greeted, total)))
}

/// The status in an OK.
fn status_of(ok: &[u8], capabilities: Capabilities) -> Result<u16, ProtocolError> {
    let okay = response::OkPacket::parse(ok, capabilities);
    okay.map(|okay| okay.status)
        .ok_or_else(|| ProtocolError::protocol("the server's OK is malformed"))
}

#[cfg(test)]
mod tests;
