//! Server side of the login: from the greeting to the client's authenticated login parameters.
//!
//! The user name is not authenticated: [`AuthMethod::Password`] is one password for all users.

mod authentication;
mod change_user;
mod error;
mod password_check;

use zeroize::Zeroizing;

use super::Capabilities;
use super::codec;
use super::greeting::{Greeting, HandshakeV10};
use super::handshake_response::{self, HandshakeResponse, SSL_REQUEST_LEN};
use crate::exchange::{AwaitTls, ClientTlsMode, Exchange, ProtocolError, Step, TlsInfo};
use crate::read_buffer::ReadBuffer;
pub use authentication::LoginRequest;
use authentication::{AuthStep, AuthSwitch, Nonce, authenticate, default_plugin, read_packet};
pub use change_user::ServerChangeUser;
use error::violation;
use password_check::AuthChecker;
pub use password_check::AuthMethod;

/// Configuration of the server side.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Greeting of the upstream server. Clients are offered those of its capabilities that can be
    /// forwarded.
    pub greeting: Greeting,
    /// TLS policy.
    pub tls: ClientTlsMode,
    /// Connection ID that the client receives.
    pub connection_id: u32,
    /// Required authentication.
    pub auth: AuthMethod,
}

impl ServerConfig {
    fn offered_capabilities(&self) -> Capabilities {
        let server = self.greeting.capabilities;
        // Without MySQL's bit, clients read the high 32 bits. MariaDB's servers set it for old
        // clients.
        let extended = server.mariadb() != 0;
        ((server & Capabilities::FORWARDED) | Capabilities::LOGIN)
            .set(Capabilities::MYSQL, !extended)
            .set(Capabilities::SSL, self.tls != ClientTlsMode::Off)
    }
}

/// Login of a client.
///
/// ```
/// use countersign_wire::exchange::ClientTlsMode;
/// use countersign_wire::mysql::server::{AuthMethod, ServerConfig, ServerLogin};
/// use countersign_wire::mysql::{Capabilities, Flavour, Greeting, codec};
/// use countersign_wire::{Exchange, ProtocolError, ReadBuffer, Step};
///
/// let login = ServerLogin::new(ServerConfig {
///     greeting: Greeting {
///         version: "8.4.0".to_owned(),
///         flavour: Flavour::Mysql,
///         capabilities: Capabilities::FORWARDED,
///         collation: 255,
///         status: 2,
///     },
///     tls: ClientTlsMode::Off,
///     connection_id: 7,
///     auth: AuthMethod::Trust,
/// });
/// let mut buffer = ReadBuffer::default();
/// let Step::Write(_greeting, login) = login.advance(&mut buffer)? else { panic!() };
///
/// // HandshakeResponse41: user, empty proof, database, plugin.
/// let mut response = Capabilities::LOGIN.mysql().to_le_bytes().to_vec();
/// response.resize(32, 0);
/// response.extend(b"jane\0\0orders\0caching_sha2_password\0");
/// buffer.push(&codec::packet(1, &response));
/// let Step::Done(_, request) = login.advance(&mut buffer)? else { panic!() };
/// assert_eq!((request.params.user.as_str(), request.sequence), ("jane", 2));
/// assert_eq!(request.params.database.as_deref(), Some("orders"));
/// # Ok::<_, ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct ServerLogin {
    config: ServerConfig,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing was sent.
    Start,
    /// The greeting was sent.
    Greeted(Channel, Nonce),
    /// An auth switch request was sent.
    AwaitProof(AuthSwitch),
}

/// Transport of the login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    Plaintext,
    Tls,
}

impl Channel {
    /// Returns the sequence number of the client's next packet. Within TLS it follows `SSLRequest`.
    fn sequence(self) -> u8 {
        match self {
            Self::Plaintext => 1,
            Self::Tls => 2,
        }
    }
}

impl ServerLogin {
    /// Creates a login that sends the greeting first.
    #[must_use]
    pub fn new(config: ServerConfig) -> Self {
        Self { config, state: State::Start }
    }

    fn send_greeting(self) -> Result<Step<Self>, ProtocolError> {
        let nonce = Nonce::random(0)?;
        let capabilities = self.config.offered_capabilities();
        let handshake = HandshakeV10 {
            greeting: Greeting { capabilities, ..self.config.greeting.clone() },
            connection_id: self.config.connection_id,
            nonce: nonce.0.clone(),
            plugin: default_plugin(self.config.greeting.flavour).to_owned(),
        };
        let bytes = Zeroizing::new(codec::packet(0, &handshake.encode()));
        Ok(Step::Write(bytes, Self { state: State::Greeted(Channel::Plaintext, nonce), ..self }))
    }

    fn on_handshake_response(
        self,
        channel: Channel,
        nonce: Nonce,
        buffer: &mut ReadBuffer,
    ) -> Result<Step<Self>, ProtocolError> {
        let next = channel.sequence().wrapping_add(1);
        let Some((payload, total)) = read_packet(buffer, channel.sequence())? else {
            return Ok(Step::Read(Self { state: State::Greeted(channel, nonce), ..self }));
        };
        let capabilities = client_capabilities(payload, next)?;
        if channel == Channel::Plaintext && capabilities.has(Capabilities::SSL) {
            let length = payload.len();
            return self.on_ssl_request(length, total, nonce, buffer);
        }
        let response = HandshakeResponse::parse(payload, self.config.offered_capabilities())
            .map_err(|malformed| error::malformed_login(&malformed, next))?;
        buffer.consume(total);
        if channel == Channel::Plaintext && self.config.tls == ClientTlsMode::Required {
            return Err(error::tls_required(&response.params.user, next));
        }
        let announced = default_plugin(self.config.greeting.flavour);
        let checker = AuthChecker {
            auth: self.config.auth.clone(),
            announced: Some(announced),
            fallback: announced,
            tls: channel == Channel::Tls,
        };
        let step = authenticate(checker, response, &nonce, next)?;
        Ok(self.step(step))
    }

    fn on_ssl_request(
        self,
        length: usize,
        total: usize,
        nonce: Nonce,
        buffer: &mut ReadBuffer,
    ) -> Result<Step<Self>, ProtocolError> {
        if self.config.tls == ClientTlsMode::Off {
            return Err(violation("the client requested TLS, which is not offered", 2));
        }
        if length != SSL_REQUEST_LEN {
            return Err(violation("the TLS request has a wrong length", 2));
        }
        // The request gets no response, so the TLS handshake may follow it immediately. All
        // remaining bytes belong to TLS.
        buffer.consume(total);
        Ok(Step::StartTls(Vec::new(), Box::new(TlsPending { config: self.config, nonce })))
    }

    fn step(self, step: AuthStep) -> Step<Self> {
        match step {
            AuthStep::Switch(bytes, next) => {
                Step::Write(Zeroizing::new(bytes), Self { state: State::AwaitProof(next), ..self })
            }
            AuthStep::Done(bytes, request) => Step::Done(bytes, request),
        }
    }
}

impl Exchange for ServerLogin {
    type Output = LoginRequest;

    fn advance(self, buffer: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        let Self { config, state } = self;
        let this = Self { config, state: State::Start };
        match state {
            State::Start => this.send_greeting(),
            State::Greeted(channel, nonce) => this.on_handshake_response(channel, nonce, buffer),
            State::AwaitProof(switch) => Ok(match switch.advance(buffer)? {
                Ok(step) => this.step(step),
                Err(switch) => Step::Read(Self { state: State::AwaitProof(switch), ..this }),
            }),
        }
    }
}

#[derive(Debug)]
struct TlsPending {
    config: ServerConfig,
    nonce: Nonce,
}

impl AwaitTls<ServerLogin> for TlsPending {
    fn established(self: Box<Self>, _: TlsInfo) -> ServerLogin {
        ServerLogin { config: self.config, state: State::Greeted(Channel::Tls, self.nonce) }
    }
}

/// Returns the capabilities in the client's first packet. Rejects protocols from before MySQL 4.1.
fn client_capabilities(payload: &[u8], sequence: u8) -> Result<Capabilities, ProtocolError> {
    let is_old = payload.first_chunk().is_some_and(|low| {
        u16::from_le_bytes(*low) & Capabilities::PROTOCOL_41.mysql() as u16 == 0
    });
    if is_old {
        return Err(error::old_protocol(sequence));
    }
    handshake_response::client_capabilities(payload)
        .ok_or_else(|| violation("the client's first packet is too short", sequence))
}

#[cfg(test)]
mod tests;
