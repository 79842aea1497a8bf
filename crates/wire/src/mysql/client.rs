//! Client side of the login, from the server's greeting to its OK packet.

mod authentication;
mod change_user;

use zeroize::Zeroizing;

use super::codec::{self, ERR};
use super::greeting::{Greeting, HandshakeV10};
use super::{Capabilities, LoginParams, handshake_response, response};
pub use crate::exchange::Credential;
use crate::exchange::{AwaitTls, Exchange, ProtocolError, Step, TlsInfo, TransportSecurity};
use crate::read_buffer::ReadBuffer;
use authentication::{AuthStep, Authentication, Identity};
pub use change_user::{ChangeUser, UserChanged};

/// Configuration of a login.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Parameters of the session. The login fails if the server lacks one of the requested
    /// capabilities in
    /// [`Capabilities::FRAMING`].
    pub params: LoginParams,
    /// Required transport security.
    pub security: TransportSecurity,
    /// Credential of the user.
    pub credential: Credential,
}

/// Session that is ready for its first command.
#[derive(Debug)]
pub struct Session {
    /// Greeting of the server.
    pub greeting: Greeting,
    /// Connection ID, which `KILL` takes.
    pub connection_id: u32,
    /// Capabilities that both sides agreed on.
    pub capabilities: Capabilities,
    /// Payload of the server's OK packet.
    pub ok: Vec<u8>,
    /// Status flags of the OK packet.
    pub status: u16,
}

/// Login to a server.
///
/// ```
/// use countersign_wire::exchange::{ClientTlsMode, TransportSecurity};
/// use countersign_wire::mysql::client::{ClientConfig, ClientLogin, Credential};
/// use countersign_wire::mysql::response::OkPacket;
/// use countersign_wire::mysql::server::{AuthMethod, ServerConfig, ServerLogin};
/// use countersign_wire::mysql::{Capabilities, Flavour, Greeting, LoginParams, codec};
/// use countersign_wire::{Exchange, ProtocolError, ReadBuffer, Step};
///
/// let config = ClientConfig {
///     params: LoginParams::new("jane", None),
///     security: TransportSecurity::Plain { trusted: true },
///     credential: Credential::None,
/// };
/// // The server side of this crate stands for a server.
/// let server = ServerLogin::new(ServerConfig {
///     greeting: Greeting {
///         version: "11.4.2-MariaDB".to_owned(),
///         flavour: Flavour::Mariadb,
///         capabilities: Capabilities::FORWARDED,
///         collation: 45,
///         status: 2,
///     },
///     tls: ClientTlsMode::Off,
///     connection_id: 7,
///     auth: AuthMethod::Trust,
/// });
/// let (mut to_client, mut to_server) = (ReadBuffer::default(), ReadBuffer::default());
///
/// let Step::Write(greeting, server) = server.advance(&mut to_server)? else { panic!() };
/// to_client.push(&greeting);
/// let login = ClientLogin::new(config);
/// let Step::Write(response, login) = login.advance(&mut to_client)? else { panic!() };
/// to_server.push(&response);
/// let Step::Done(_, request) = server.advance(&mut to_server)? else { panic!() };
/// assert_eq!(request.params.user, "jane");
///
/// let ok = OkPacket::default().encode(request.params.capabilities);
/// to_client.push(&codec::packet(request.sequence, &ok));
/// let Step::Done(_, session) = login.advance(&mut to_client)? else { panic!() };
/// assert_eq!(session.connection_id, 7);
/// # Ok::<_, ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct ClientLogin {
    config: ClientConfig,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing was received.
    Start,
    /// `SSLRequest` was sent.
    TlsRequested(Handshake),
    /// Ready to send `HandshakeResponse41`.
    Connected(Channel, Handshake),
    Authenticating(Authentication, Handshake),
}

/// Greeting of the server, and the capabilities of the session.
#[derive(Debug)]
struct Handshake {
    server: HandshakeV10,
    capabilities: Capabilities,
}

/// Transport of the login.
#[derive(Debug, Clone, Copy)]
enum Channel {
    Plaintext { trusted: bool },
    Tls,
}

impl Channel {
    /// Returns the sequence number of `HandshakeResponse41`, which follows `SSLRequest` within TLS.
    fn sequence(self) -> u8 {
        match self {
            Self::Plaintext { .. } => 1,
            Self::Tls => 2,
        }
    }

    fn allows_clear_text(self) -> bool {
        matches!(self, Self::Tls | Self::Plaintext { trusted: true })
    }
}

impl ClientLogin {
    /// Creates a login that waits for the server's greeting.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        Self { config, state: State::Start }
    }

    fn on_greeting(self, buffer: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        let Some((server, total)) = read_greeting(buffer)? else {
            return Ok(Step::Read(self));
        };
        let tls = self.config.security == TransportSecurity::Required;
        let capabilities = negotiate(&self.config.params, server.greeting.capabilities, tls)?;
        let handshake = Handshake { server, capabilities };
        match self.config.security {
            TransportSecurity::Required => {
                // The server waits for SSLRequest. Data after its greeting may come from a man in
                // the middle.
                if buffer.unread().len() != total {
                    return Err(ProtocolError::protocol(
                        "the server sent unencrypted data before the TLS handshake: this is a bug \
                         of the server or a man-in-the-middle attack",
                    ));
                }
                buffer.consume(total);
                let request = handshake_response::ssl_request(&self.config.params, capabilities)?;
                let bytes = Zeroizing::new(codec::packet(1, &request));
                let state = State::TlsRequested(handshake);
                Ok(Step::Write(bytes, Self { state, ..self }))
            }
            TransportSecurity::Plain { trusted } => {
                buffer.consume(total);
                self.send_handshake_response(Channel::Plaintext { trusted }, handshake)
            }
        }
    }

    fn send_handshake_response(
        self,
        channel: Channel,
        handshake: Handshake,
    ) -> Result<Step<Self>, ProtocolError> {
        let sequence = channel.sequence();
        let identity = Identity {
            credential: self.config.credential.clone(),
            user: self.config.params.user.clone(),
            allows_clear_text: channel.allows_clear_text(),
        };
        let (authentication, proof) = Authentication::start(identity, &handshake.server, sequence)?;
        let payload = handshake_response::encode(
            &self.config.params,
            handshake.capabilities,
            authentication.plugin(),
            &proof,
        )?;
        let bytes = Zeroizing::new(codec::packet(sequence, &payload));
        let state = State::Authenticating(authentication, handshake);
        Ok(Step::Write(bytes, Self { state, ..self }))
    }

    fn authenticate(
        self,
        authentication: Authentication,
        handshake: Handshake,
        buffer: &mut ReadBuffer,
    ) -> Result<Step<Self>, ProtocolError> {
        match authentication.advance(buffer)? {
            AuthStep::Read(next) => {
                Ok(Step::Read(Self { state: State::Authenticating(next, handshake), ..self }))
            }
            AuthStep::Send(bytes, next) => {
                let state = State::Authenticating(next, handshake);
                Ok(Step::Write(bytes, Self { state, ..self }))
            }
            AuthStep::Done(ok) => {
                let Handshake { server, capabilities } = handshake;
                let HandshakeV10 { greeting, connection_id, .. } = server;
                let status = response::ok_status(&ok, capabilities)?;
                let session = Session { greeting, connection_id, capabilities, ok, status };
                Ok(Step::Done(Vec::new(), session))
            }
        }
    }
}

impl Exchange for ClientLogin {
    type Output = Session;

    fn advance(self, buffer: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        let Self { config, state } = self;
        let this = Self { config, state: State::Start };
        match state {
            State::Start => this.on_greeting(buffer),
            State::TlsRequested(handshake) => Ok(Step::StartTls(
                Vec::new(),
                Box::new(TlsPending { config: this.config, handshake }),
            )),
            State::Connected(channel, handshake) => {
                this.send_handshake_response(channel, handshake)
            }
            State::Authenticating(authentication, handshake) => {
                this.authenticate(authentication, handshake, buffer)
            }
        }
    }
}

#[derive(Debug)]
struct TlsPending {
    config: ClientConfig,
    handshake: Handshake,
}

impl AwaitTls<ClientLogin> for TlsPending {
    fn established(self: Box<Self>, _: TlsInfo) -> ClientLogin {
        let state = State::Connected(Channel::Tls, self.handshake);
        ClientLogin { config: self.config, state }
    }
}

/// Reads a server's greeting. The connection cannot be used afterwards.
///
/// The server counts it as a failed connection of the host (`max_connect_errors`); a successful
/// [`ClientLogin`], which returns the greeting too, resets that count.
#[derive(Debug, Default)]
pub struct ReadGreeting(());

impl ReadGreeting {
    /// Creates an exchange that waits for the greeting.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Exchange for ReadGreeting {
    type Output = Greeting;

    fn advance(self, buffer: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        let Some((server, total)) = read_greeting(buffer)? else {
            return Ok(Step::Read(self));
        };
        buffer.consume(total);
        Ok(Step::Done(Vec::new(), server.greeting))
    }
}

/// Returns the capabilities of the session, given those of the server.
fn negotiate(
    params: &LoginParams,
    server: Capabilities,
    tls: bool,
) -> Result<Capabilities, ProtocolError> {
    if !server.has(Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION) {
        return Err(ProtocolError::unsupported(
            "the server uses the protocol from before MySQL 4.1, which is not supported: upgrade \
             the server",
        ));
    }
    if tls && !server.has(Capabilities::SSL) {
        return Err(ProtocolError::unsupported(
            "the server does not support TLS, which is required: set ssl_cert and ssl_key on the \
             server, or check that host and port are the database's",
        ));
    }
    let missing = (params.capabilities & Capabilities::FRAMING).without(server);
    if missing != Capabilities::NONE {
        return Err(ProtocolError::unsupported(format!(
            "the server lacks capabilities that the client was offered ({missing:?}): its version \
             differs from the previous server's; connect again"
        )));
    }
    let requested = (params.capabilities & Capabilities::FORWARDED) | Capabilities::LOGIN;
    Ok((requested & server)
        .set(Capabilities::CONNECT_WITH_DB, params.database.is_some())
        .set(Capabilities::SSL, tls)
        // MySQL's bit is set if the other side does not read the high 32 bits.
        .set(Capabilities::MYSQL, server.has(Capabilities::MYSQL)))
}

/// Parses the server's greeting if it is complete, and returns it with the number of bytes to
/// consume.
fn read_greeting(buffer: &ReadBuffer) -> Result<Option<(HandshakeV10, usize)>, ProtocolError> {
    let other_protocol = || {
        ProtocolError::protocol(
            "the server's greeting is not MySQL's or MariaDB's: check host and port",
        )
    };
    let Some((payload, total)) = codec::read_packet(buffer, 0).map_err(|_| other_protocol())?
    else {
        return Ok(None);
    };
    if payload.first() == Some(&ERR) {
        // The server does not know yet that the client understands SQLSTATEs, so it omits it.
        let payload = response::with_sqlstate(payload, Capabilities::PROTOCOL_41);
        return Err(ProtocolError::Refused(response::error_fields(&payload)));
    }
    Ok(Some((HandshakeV10::parse(payload).ok_or_else(other_protocol)?, total)))
}

#[cfg(test)]
mod tests;
