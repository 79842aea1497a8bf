//! Client side of the login, up to the first `ReadyForQuery`.

mod authentication;
mod session;

use zeroize::Zeroizing;

use super::StartupParams;
use super::codec::{self, MAX_LOGIN_MESSAGE};
pub use crate::exchange::Credential;
use crate::exchange::{AwaitTls, Exchange, ProtocolError, Step, TlsInfo, TransportSecurity};
use crate::read_buffer::ReadBuffer;
use authentication::{AuthStep, Authentication, Channel, Identity};
pub use session::Session;
use session::SessionBuilder;

/// Configuration of a login.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Parameters of the session. A server without protocol 3.2 may negotiate 3.0.
    pub startup: StartupParams,
    /// Required transport security.
    pub security: TransportSecurity,
    /// Credential of the user.
    pub credential: Credential,
}

/// Login to a server. SCRAM is bound to the TLS channel if the server offers it.
///
/// ```
/// use countersign_wire::exchange::TransportSecurity;
/// use countersign_wire::pg::client::{ClientConfig, ClientLogin, Credential};
/// use countersign_wire::pg::{CancelKey, StartupParams, codec};
/// use countersign_wire::{Exchange, ProtocolError, ReadBuffer, Step};
///
/// let startup = StartupParams {
///     minor: codec::LATEST_MINOR,
///     user: "jane".to_owned(),
///     database: None,
///     parameters: Vec::new(),
/// };
/// let security = TransportSecurity::Plain { trusted: true };
/// let config = ClientConfig { startup: startup.clone(), security, credential: Credential::None };
///
/// let mut buffer = ReadBuffer::default();
/// let login = ClientLogin::new(config);
/// let Step::Write(bytes, login) = login.advance(&mut buffer)? else { panic!() };
/// assert_eq!(*bytes, startup.encode());
///
/// // The server trusts the user, and sends its parameters and a cancel key.
/// let key = CancelKey { process_id: 7, secret: vec![0; 32] };
/// buffer.push(&codec::login_ok(&[("server_version".to_owned(), "18.1".to_owned())], &key));
/// let Step::Done(_, session) = login.advance(&mut buffer)? else { panic!() };
/// assert_eq!((session.key, session.status), (Some(key), b'I'));
/// # Ok::<_, ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct ClientLogin {
    config: ClientConfig,
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    /// `SSLRequest` was sent.
    TlsRequested,
    /// Ready to send the `StartupMessage`.
    Connected(Channel),
    /// The `StartupMessage` was sent, nothing was received yet.
    StartupSent(Channel, SessionBuilder),
    Authenticating(Authentication, SessionBuilder),
    /// `AuthenticationOk` was received.
    Authenticated(SessionBuilder),
}

impl ClientLogin {
    /// Creates a login.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        Self { config, state: State::Start }
    }

    fn start(self) -> Step<Self> {
        match self.config.security {
            TransportSecurity::Required => Step::Write(
                Zeroizing::new(codec::ssl_request()),
                Self { state: State::TlsRequested, ..self },
            ),
            TransportSecurity::Plain { trusted } => {
                self.send_startup(Channel::Plaintext { trusted })
            }
        }
    }

    fn on_ssl_response(self, buffer: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        let Some((response, rest)) = buffer.unread().split_first() else {
            return Ok(Step::Read(Self { state: State::TlsRequested, ..self }));
        };
        match response {
            // Data before the handshake may come from a man in the middle (CVE-2021-23222).
            b'S' if !rest.is_empty() => Err(ProtocolError::protocol(
                "the server sent unencrypted data before the TLS handshake: this is a bug of the \
                 server or a man-in-the-middle attack",
            )),
            b'S' => {
                buffer.consume(1);
                Ok(Step::StartTls(Vec::new(), Box::new(TlsPending(self.config))))
            }
            b'N' => Err(ProtocolError::unsupported(
                "the server does not support TLS, which is required: set ssl = on in \
                 postgresql.conf, or check that host and port are the database's",
            )),
            // The message is not authenticated before TLS, so it is not shown (CVE-2024-10977).
            b'E' => Err(ProtocolError::protocol(
                "the server answered the TLS request with an error: it may have reached its \
                 connection limit; see the server's log",
            )),
            _ => Err(ProtocolError::protocol(
                "the server did not answer the TLS request as PostgreSQL does: check host and port",
            )),
        }
    }

    fn send_startup(self, channel: Channel) -> Step<Self> {
        let session = SessionBuilder::new(self.config.startup.minor);
        let bytes = Zeroizing::new(self.config.startup.encode());
        Step::Write(bytes, Self { state: State::StartupSent(channel, session), ..self })
    }

    fn on_first_message(
        self,
        channel: Channel,
        session: SessionBuilder,
        buffer: &mut ReadBuffer,
    ) -> Result<Step<Self>, ProtocolError> {
        let unread = buffer.unread();
        if let Some(error) = session::v2_error(unread) {
            return Err(ProtocolError::Refused(error));
        }
        if unread.len() < codec::HEADER || session::is_partial_v2_error(unread) {
            return Ok(Step::Read(Self { state: State::StartupSent(channel, session), ..self }));
        }
        let authentication = Authentication::NotRequested(channel);
        Self { state: State::Authenticating(authentication, session), ..self }.advance(buffer)
    }

    fn authenticate(
        self,
        mut authentication: Authentication,
        mut session: SessionBuilder,
        buffer: &mut ReadBuffer,
    ) -> Result<Step<Self>, ProtocolError> {
        let Self { config, .. } = self;
        loop {
            let Some((kind, payload, total)) = codec::read_message(buffer, MAX_LOGIN_MESSAGE)?
            else {
                let state = State::Authenticating(authentication, session);
                return Ok(Step::Read(Self { config, state }));
            };
            session.count_message()?;
            let step = match kind {
                b'R' => {
                    let identity =
                        Identity { user: &config.startup.user, credential: &config.credential };
                    authentication.respond(identity, payload)?
                }
                b'v' => {
                    session.negotiate_version(&authentication, payload)?;
                    AuthStep::Wait(authentication)
                }
                kind => {
                    session.async_message(kind, payload)?;
                    AuthStep::Wait(authentication)
                }
            };
            buffer.consume(total);
            match step {
                AuthStep::Wait(next) => authentication = next,
                AuthStep::Send(bytes, next) => {
                    let state = State::Authenticating(next, session);
                    return Ok(Step::Write(bytes, Self { config, state }));
                }
                AuthStep::Done => {
                    return Self { config, state: State::Authenticated(session) }.advance(buffer);
                }
            }
        }
    }

    fn read_session(
        self,
        mut session: SessionBuilder,
        buffer: &mut ReadBuffer,
    ) -> Result<Step<Self>, ProtocolError> {
        loop {
            let Some((kind, payload, total)) = codec::read_message(buffer, MAX_LOGIN_MESSAGE)?
            else {
                return Ok(Step::Read(Self { state: State::Authenticated(session), ..self }));
            };
            session.count_message()?;
            let status = match (kind, payload) {
                (b'Z', [status @ (b'I' | b'T' | b'E')]) => Some(*status),
                (b'S', payload) => session.parameter_status(payload).map(|()| None)?,
                (b'K', payload) => session.backend_key_data(payload).map(|()| None)?,
                (kind, payload) => session.async_message(kind, payload).map(|()| None)?,
            };
            buffer.consume(total);
            if let Some(status) = status {
                return Ok(Step::Done(Vec::new(), session.ready(status)));
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
            State::Start => Ok(this.start()),
            State::TlsRequested => this.on_ssl_response(buffer),
            State::Connected(channel) => Ok(this.send_startup(channel)),
            State::StartupSent(channel, session) => this.on_first_message(channel, session, buffer),
            State::Authenticating(authentication, session) => {
                this.authenticate(authentication, session, buffer)
            }
            State::Authenticated(session) => this.read_session(session, buffer),
        }
    }
}

#[derive(Debug)]
struct TlsPending(ClientConfig);

impl AwaitTls<ClientLogin> for TlsPending {
    fn established(self: Box<Self>, tls: TlsInfo) -> ClientLogin {
        ClientLogin { config: self.0, state: State::Connected(Channel::Tls(tls)) }
    }
}

#[cfg(test)]
mod tests;
