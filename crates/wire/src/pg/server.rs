//! Server side of the login: from the client's first byte to its authenticated startup parameters.
//!
//! The user name is not authenticated: [`AuthMethod::Password`] is one password for all users.

mod error;
mod sasl;
mod startup_packet;

use std::sync::Arc;

use zeroize::Zeroizing;

use super::codec;
pub use super::scram::ScramVerifier;
use super::{CancelKey, StartupParams};
pub use crate::exchange::ClientTlsMode;
use crate::exchange::{AwaitTls, Exchange, ProtocolError, Step, TlsInfo};
use crate::read_buffer::ReadBuffer;
use error::violation;
use sasl::{Challenge, Offer};
use startup_packet::{Packet, StartupMessage};

/// Authentication that clients must pass.
#[derive(Debug, Clone)]
pub enum AuthMethod {
    /// None: access to the socket is enough.
    Trust,
    /// A password, verified by SCRAM.
    Password(Arc<ScramVerifier>),
}

/// Configuration of the server side.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// TLS policy.
    pub tls: ClientTlsMode,
    /// Required authentication.
    pub auth: AuthMethod,
}

/// Request of a client's connection.
#[derive(Debug)]
pub enum StartupRequest {
    /// An authenticated login. The caller sends `AuthenticationOk` or an error.
    Login(StartupParams),
    /// Cancellation of a statement in the session with this key. It gets no response.
    Cancel(CancelKey),
}

/// Login of a client.
///
/// ```
/// use countersign_wire::pg::server::{AuthMethod, ClientTlsMode, ServerConfig, ServerLogin};
/// use countersign_wire::pg::server::StartupRequest;
/// use countersign_wire::{Exchange, ProtocolError, ReadBuffer, Step};
///
/// let config = ServerConfig { tls: ClientTlsMode::Required, auth: AuthMethod::Trust };
/// let mut buffer = ReadBuffer::default();
/// buffer.push(b"\0\0\0\x08\x04\xd2\x16\x2f"); // SSLRequest
/// let login = ServerLogin::new(config);
/// let Step::StartTls(bytes, login) = login.advance(&mut buffer)? else { panic!() };
/// assert_eq!(bytes, b"S");
///
/// let login = login.established(Default::default());
/// buffer.push(b"\0\0\0\x13\0\x03\0\0user\0jane\0\0"); // StartupMessage
/// let Step::Done(_, request) = login.advance(&mut buffer)? else { panic!() };
/// let StartupRequest::Login(params) = request else { panic!() };
/// assert_eq!(params.user, "jane");
/// # Ok::<_, ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct ServerLogin {
    config: ServerConfig,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing was received.
    Start,
    /// TLS was established without `SSLRequest`.
    DirectTls(TlsInfo),
    /// Expects a startup packet.
    AwaitPacket(Channel, EncryptionRequests),
    /// `AuthenticationSASL` was sent.
    SaslOffered(Offer),
    /// `AuthenticationSASLContinue` was sent.
    SaslChallenged(Challenge),
}

/// Transport of the login.
#[derive(Debug)]
enum Channel {
    Plaintext,
    Tls(TlsInfo),
}

/// Encryption requests that the client may still send before its `StartupMessage`: each at most
/// once.
#[derive(Debug, Clone, Copy)]
struct EncryptionRequests {
    ssl: bool,
    gss: bool,
}

impl EncryptionRequests {
    const ALL: Self = Self { ssl: true, gss: true };
    const NONE: Self = Self { ssl: false, gss: false };
}

impl ServerLogin {
    /// Creates a login that waits for the client's first byte.
    #[must_use]
    pub fn new(config: ServerConfig) -> Self {
        Self { config, state: State::Start }
    }

    fn offers_tls(&self) -> bool {
        self.config.tls != ClientTlsMode::Off
    }

    fn read_packet(
        self,
        buffer: &mut ReadBuffer,
        channel: Channel,
        allowed: EncryptionRequests,
    ) -> Result<Step<Self>, ProtocolError> {
        let Some((packet, length)) = startup_packet::read(buffer.unread())? else {
            return Ok(Step::Read(Self { state: State::AwaitPacket(channel, allowed), ..self }));
        };
        buffer.consume(length);
        match packet {
            Packet::SslRequest if allowed.ssl => {
                self.on_ssl_request(buffer, channel, EncryptionRequests { ssl: false, ..allowed })
            }
            Packet::GssEncRequest if allowed.gss => {
                require_empty(buffer, "GSSAPI encryption request")?;
                Ok(self.decline(channel, EncryptionRequests { gss: false, ..allowed }))
            }
            Packet::SslRequest | Packet::GssEncRequest => {
                Err(violation("the client requested encryption twice, or within TLS"))
            }
            Packet::CancelRequest(key) => Ok(Step::Done(Vec::new(), StartupRequest::Cancel(key))),
            Packet::Startup(message) => self.on_startup(channel, message),
        }
    }

    fn on_ssl_request(
        self,
        buffer: &ReadBuffer,
        channel: Channel,
        allowed: EncryptionRequests,
    ) -> Result<Step<Self>, ProtocolError> {
        // Data before the handshake may come from a man in the middle (CVE-2021-23222).
        require_empty(buffer, "SSL request")?;
        match channel {
            Channel::Plaintext if self.offers_tls() => Ok(Step::StartTls(
                b"S".to_vec(),
                Box::new(TlsPending { config: self.config, direct: false }),
            )),
            channel => Ok(self.decline(channel, allowed)),
        }
    }

    /// Declines an encryption request. The client may continue without it.
    fn decline(self, channel: Channel, allowed: EncryptionRequests) -> Step<Self> {
        let state = State::AwaitPacket(channel, allowed);
        Step::Write(Zeroizing::new(b"N".to_vec()), Self { state, ..self })
    }

    fn on_startup(
        self,
        channel: Channel,
        message: StartupMessage,
    ) -> Result<Step<Self>, ProtocolError> {
        let tls = match channel {
            Channel::Tls(tls) => Some(tls),
            Channel::Plaintext if self.config.tls == ClientTlsMode::Required => {
                return Err(error::tls_required(&message.params.user));
            }
            Channel::Plaintext => None,
        };
        let mut bytes = message.negotiation();
        match &self.config.auth {
            AuthMethod::Trust => Ok(Step::Done(bytes, StartupRequest::Login(message.params))),
            AuthMethod::Password(verifier) => {
                let offer = Offer {
                    params: message.params,
                    verifier: Arc::clone(verifier),
                    server_end_point: tls.and_then(|tls| tls.server_end_point),
                };
                bytes.extend(offer.mechanisms());
                let next = Self { state: State::SaslOffered(offer), ..self };
                Ok(Step::Write(Zeroizing::new(bytes), next))
            }
        }
    }
}

impl Exchange for ServerLogin {
    type Output = StartupRequest;

    fn advance(self, buffer: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        let Self { config, state } = self;
        let this = Self { config, state: State::Start };
        match state {
            State::Start => match buffer.unread().first() {
                None => Ok(Step::Read(this)),
                // Direct TLS, since PostgreSQL 17. The `ClientHello` stays in the buffer.
                Some(&codec::TLS_HANDSHAKE) if this.offers_tls() => Ok(Step::StartTls(
                    Vec::new(),
                    Box::new(TlsPending { config: this.config, direct: true }),
                )),
                Some(_) => this.read_packet(buffer, Channel::Plaintext, EncryptionRequests::ALL),
            },
            // PostgreSQL requires ALPN too: it prevents that a man in the middle redirects a client
            // of another protocol.
            State::DirectTls(tls) if tls.alpn_protocol.as_deref() != Some(codec::ALPN) => {
                Err(ProtocolError::protocol(
                    "the client started TLS directly without the ALPN protocol \"postgresql\"",
                ))
            }
            State::DirectTls(tls) => {
                this.read_packet(buffer, Channel::Tls(tls), EncryptionRequests::ALL)
            }
            State::AwaitPacket(channel, allowed) => this.read_packet(buffer, channel, allowed),
            State::SaslOffered(offer) => {
                let Some((kind, payload, total)) = read_sasl(buffer)? else {
                    return Ok(Step::Read(Self { state: State::SaslOffered(offer), ..this }));
                };
                let (bytes, challenge) = offer.on_initial_response(kind, payload)?;
                buffer.consume(total);
                let next = Self { state: State::SaslChallenged(challenge), ..this };
                Ok(Step::Write(Zeroizing::new(bytes), next))
            }
            State::SaslChallenged(challenge) => {
                let Some((kind, payload, total)) = read_sasl(buffer)? else {
                    return Ok(Step::Read(Self {
                        state: State::SaslChallenged(challenge),
                        ..this
                    }));
                };
                let (bytes, params) = challenge.on_response(kind, payload)?;
                buffer.consume(total);
                Ok(Step::Done(bytes, StartupRequest::Login(params)))
            }
        }
    }
}

/// Login that waits for TLS, after `SSLRequest` or a direct `ClientHello`.
#[derive(Debug)]
struct TlsPending {
    config: ServerConfig,
    direct: bool,
}

impl AwaitTls<ServerLogin> for TlsPending {
    fn established(self: Box<Self>, tls: TlsInfo) -> ServerLogin {
        let state = if self.direct {
            State::DirectTls(tls)
        } else {
            State::AwaitPacket(Channel::Tls(tls), EncryptionRequests::NONE)
        };
        ServerLogin { config: self.config, state }
    }
}

fn read_sasl(buffer: &ReadBuffer) -> Result<Option<codec::Received<'_>>, ProtocolError> {
    codec::read_message(buffer, codec::HEADER + codec::MAX_SASL_MESSAGE)
        .map_err(|error| violation(&error.to_string()))
}

fn require_empty(buffer: &ReadBuffer, request: &str) -> Result<(), ProtocolError> {
    if buffer.is_empty() { Ok(()) } else { Err(error::unencrypted_data(request)) }
}

#[cfg(test)]
mod tests;
