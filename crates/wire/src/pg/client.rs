//! Logs in to a server: from the first byte to `ReadyForQuery`.

mod authentication;
mod session;

use zeroize::Zeroizing;

use super::codec::{self, MAX_LOGIN_MESSAGE};
use super::{CancelKey, StartupParams};
pub use crate::exchange::Credential;
use crate::exchange::{AwaitTls, Exchange, ProtocolError, Step, TlsInfo, TransportSecurity};
use crate::read_buffer::ReadBuffer;
use authentication::{AuthStep, Authentication};
use session::SessionBuilder;

/// Whether SCRAM is bound to the channel, as libpq's `channel_binding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Where the server offers it.
    Prefer,
    /// Or else the login fails.
    Require,
    /// Never.
    Disable,
}

/// How to log in.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Who logs in to what. A server that knows no protocol 3.2 may speak 3.0 instead.
    pub startup: StartupParams,
    /// Whether there is TLS.
    pub security: TransportSecurity,
    /// Whether TLS begins at once, without asking: since PostgreSQL 17.
    pub direct_tls: bool,
    /// What is proved.
    pub credential: Credential,
    /// Whether SCRAM is bound to the channel.
    pub channel_binding: ChannelBinding,
}

/// A session that waits for its first statement.
#[derive(Debug)]
pub struct Session {
    /// The minor version that is spoken: 0 or 2.
    pub minor: u16,
    /// The server's parameters, in the order of their coming, each name once.
    pub parameters: Vec<(String, String)>,
    /// What cancels a statement, where the server gives it.
    pub key: Option<CancelKey>,
    /// `NoticeResponse` messages as they came, the first 64 KiB of them.
    pub notices: Vec<u8>,
    /// Of `ReadyForQuery`: `I`, `T` or `E`.
    pub status: u8,
}

/// A login to a server.
#[derive(Debug)]
pub struct ClientLogin {
    settings: ClientConfig,
    state: State,
}

#[derive(Debug)]
enum State {
    Begun,
    /// Has asked for TLS.
    TlsAsked,
    /// Will send the `StartupMessage`.
    Connected(Line),
    /// Has sent it, and waits for the first message.
    Introduced(Line, SessionBuilder),
    /// Proves who it is.
    Authenticating(Authentication, SessionBuilder),
    /// Is let in, and hears of the session.
    Opening(SessionBuilder),
}

/// What carries the bytes.
#[derive(Debug, Clone)]
enum Line {
    Bare { trusted: bool },
    Tls(TlsInfo),
}

impl ClientLogin {
    /// Begins.
    #[must_use]
    pub fn new(settings: ClientConfig) -> Self {
        Self { settings, state: State::Begun }
    }

    fn begin(self) -> Step<Self> {
        match self.settings.security {
            TransportSecurity::Required if self.settings.direct_tls => {
                Step::StartTls(Vec::new(), Box::new(Securing(self.settings)))
            }
            TransportSecurity::Required => Step::Write(
                Zeroizing::new(codec::tls_request()),
                Self { state: State::TlsAsked, ..self },
            ),
            TransportSecurity::Plain { trusted } => self.introduce(Line::Bare { trusted }),
        }
    }

    fn tls_answered(self, inbox: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        let Some((answer, behind)) = inbox.unread().split_first() else {
            return Ok(Step::Read(Self { state: State::TlsAsked, ..self }));
        };
        match answer {
            // What comes ahead of TLS may be put there by somebody in between (CVE-2021-23222).
            b'S' if !behind.is_empty() => Err(ProtocolError::protocol(
                "the server sends unencrypted data behind its yes to TLS: it is broken, or somebody is in between",
            )),
            b'S' => {
                inbox.consume(1);
                Ok(Step::StartTls(Vec::new(), Box::new(Securing(self.settings))))
            }
            b'N' => Err(ProtocolError::unsupported(
                "the server offers no TLS, and without TLS no login is tried: turn it on (ssl = on), or look whether the host and \
                 the port are the database's",
            )),
            // Whose words these are nobody knows before TLS, so they are shown to nobody (CVE-2024-10977).
            b'E' => Err(ProtocolError::protocol(
                "the server answers the request for TLS with an error: it may have no room for one more connection; its log says more",
            )),
            _ => Err(ProtocolError::protocol(
                "the server does not answer the request for TLS as PostgreSQL does: look at the host and the port",
            )),
        }
    }

    fn introduce(self, line: Line) -> Step<Self> {
        let opened = SessionBuilder::new(self.settings.startup.minor);
        let bytes = Zeroizing::new(self.settings.startup.encode());
        Step::Write(bytes, Self { state: State::Introduced(line, opened), ..self })
    }

    fn introduced(
        self,
        line: Line,
        opened: SessionBuilder,
        inbox: &mut ReadBuffer,
    ) -> Result<Step<Self>, ProtocolError> {
        let unread = inbox.unread();
        if let Some(error) = session::old_error(unread) {
            return Err(ProtocolError::Refused(error));
        }
        if unread.len() < codec::HEADER || session::may_be_old_error(unread) {
            return Ok(Step::Read(Self { state: State::Introduced(line, opened), ..self }));
        }
        let authentication = Authentication::Unasked(line);
        Self { state: State::Authenticating(authentication, opened), ..self }.advance(inbox)
    }

    fn authenticating(
        self,
        authentication: Authentication,
        mut opened: SessionBuilder,
        inbox: &mut ReadBuffer,
    ) -> Result<Step<Self>, ProtocolError> {
        let Self { settings, .. } = self;
        let mut authentication = authentication;
        loop {
            let Some((kind, payload, total)) = codec::read_message(inbox, MAX_LOGIN_MESSAGE)?
            else {
                return Ok(Step::Read(Self {
                    settings,
                    state: State::Authenticating(authentication, opened),
                }));
            };
            opened.count()?;
            let turn = match kind {
                b'R' => authentication.turn(&settings, payload)?,
                b'v' => {
                    opened.negotiate(&authentication, payload)?;
                    AuthStep::Wait(authentication)
                }
                kind => {
                    opened.aside(kind, payload)?;
                    AuthStep::Wait(authentication)
                }
            };
            inbox.consume(total);
            match turn {
                AuthStep::Wait(next) => authentication = next,
                AuthStep::Send(bytes, next) => {
                    return Ok(Step::Write(
                        bytes,
                        Self { settings, state: State::Authenticating(next, opened) },
                    ));
                }
                AuthStep::Over => {
                    return Self { settings, state: State::Opening(opened) }.advance(inbox);
                }
            }
        }
    }

    fn opening(
        self,
        mut opened: SessionBuilder,
        inbox: &mut ReadBuffer,
    ) -> Result<Step<Self>, ProtocolError> {
        loop {
            let Some((kind, payload, total)) = codec::read_message(inbox, MAX_LOGIN_MESSAGE)?
            else {
                return Ok(Step::Read(Self { state: State::Opening(opened), ..self }));
            };
            opened.count()?;
            let ready = match (kind, payload) {
                (b'Z', [status @ (b'I' | b'T' | b'E')]) => Some(*status),
                (b'S', payload) => opened.parameter(payload).map(|()| None)?,
                (b'K', payload) => opened.key(payload).map(|()| None)?,
                (kind, payload) => opened.aside(kind, payload).map(|()| None)?,
            };
            inbox.consume(total);
            if let Some(status) = ready {
                return Ok(Step::Done(Vec::new(), opened.ready(status)));
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
            State::Begun => Ok(this.begin()),
            State::TlsAsked => this.tls_answered(inbox),
            // As libpq demands it: whoever takes TLS without being asked may be another service.
            State::Connected(Line::Tls(peer))
                if this.settings.direct_tls && peer.protocol.as_deref() != Some(codec::ALPN) =>
            {
                Err(ProtocolError::protocol(
                    "the server takes TLS without being asked, but not for PostgreSQL (ALPN): look at the host and the port, or let \
                     TLS be asked for",
                ))
            }
            State::Connected(line) => Ok(this.introduce(line)),
            State::Introduced(line, opened) => this.introduced(line, opened, inbox),
            State::Authenticating(authentication, opened) => {
                this.authenticating(authentication, opened, inbox)
            }
            State::Opening(opened) => this.opening(opened, inbox),
        }
    }
}

/// Waits for TLS.
#[derive(Debug)]
struct Securing(ClientConfig);

impl AwaitTls<ClientLogin> for Securing {
    fn established(self: Box<Self>, peer: TlsInfo) -> ClientLogin {
        ClientLogin { settings: self.0, state: State::Connected(Line::Tls(peer)) }
    }
}

#[cfg(test)]
mod tests;
