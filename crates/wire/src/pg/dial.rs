//! Logs in to a server: from the first byte to `ReadyForQuery`.

mod authentication;
mod session;

use zeroize::Zeroizing;

use super::codec::{self, MAX_LOGIN_MESSAGE};
use super::{CancelKey, Startup};
pub use crate::exchange::Credential;
use crate::exchange::{Exchange, Fault, Peer, Secure, Security, Step};
use crate::inbox::Inbox;
use authentication::{Authentication, Turn};
use session::Opened;

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
pub struct Settings {
    /// Who logs in to what. A server that knows no protocol 3.2 may speak 3.0 instead.
    pub startup: Startup,
    /// Whether there is TLS.
    pub security: Security,
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
pub struct Dial {
    settings: Settings,
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
    Introduced(Line, Opened),
    /// Proves who it is.
    Authenticating(Authentication, Opened),
    /// Is let in, and hears of the session.
    Opening(Opened),
}

/// What carries the bytes.
#[derive(Debug, Clone)]
enum Line {
    Bare { trusted: bool },
    Tls(Peer),
}

impl Dial {
    /// Begins.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, state: State::Begun }
    }

    fn begin(self) -> Step<Self> {
        match self.settings.security {
            Security::Required if self.settings.direct_tls => {
                Step::Secure(Vec::new(), Box::new(Securing(self.settings)))
            }
            Security::Required => Step::Write(
                Zeroizing::new(codec::tls_request()),
                Self { state: State::TlsAsked, ..self },
            ),
            Security::Plain { trusted } => self.introduce(Line::Bare { trusted }),
        }
    }

    fn tls_answered(self, inbox: &mut Inbox) -> Result<Step<Self>, Fault> {
        let Some((answer, behind)) = inbox.unread().split_first() else {
            return Ok(Step::Read(Self { state: State::TlsAsked, ..self }));
        };
        match answer {
            // What comes ahead of TLS may be put there by somebody in between (CVE-2021-23222).
            b'S' if !behind.is_empty() => Err(Fault::protocol(
                "the server sends unencrypted data behind its yes to TLS: it is broken, or somebody is in between",
            )),
            b'S' => {
                inbox.consume(1);
                Ok(Step::Secure(Vec::new(), Box::new(Securing(self.settings))))
            }
            b'N' => Err(Fault::unsupported(
                "the server offers no TLS, and without TLS no login is tried: turn it on (ssl = on), or look whether the host and \
                 the port are the database's",
            )),
            // Whose words these are nobody knows before TLS, so they are shown to nobody (CVE-2024-10977).
            b'E' => Err(Fault::protocol(
                "the server answers the request for TLS with an error: it may have no room for one more connection; its log says more",
            )),
            _ => Err(Fault::protocol(
                "the server does not answer the request for TLS as PostgreSQL does: look at the host and the port",
            )),
        }
    }

    fn introduce(self, line: Line) -> Step<Self> {
        let opened = Opened::new(self.settings.startup.minor);
        let bytes = Zeroizing::new(self.settings.startup.encode());
        Step::Write(bytes, Self { state: State::Introduced(line, opened), ..self })
    }

    fn introduced(
        self,
        line: Line,
        opened: Opened,
        inbox: &mut Inbox,
    ) -> Result<Step<Self>, Fault> {
        let unread = inbox.unread();
        if let Some(error) = session::old_error(unread) {
            return Err(Fault::Refused(error));
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
        mut opened: Opened,
        inbox: &mut Inbox,
    ) -> Result<Step<Self>, Fault> {
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
                    Turn::Wait(authentication)
                }
                kind => {
                    opened.aside(kind, payload)?;
                    Turn::Wait(authentication)
                }
            };
            inbox.consume(total);
            match turn {
                Turn::Wait(next) => authentication = next,
                Turn::Send(bytes, next) => {
                    return Ok(Step::Write(
                        bytes,
                        Self { settings, state: State::Authenticating(next, opened) },
                    ));
                }
                Turn::Over => {
                    return Self { settings, state: State::Opening(opened) }.advance(inbox);
                }
            }
        }
    }

    fn opening(self, mut opened: Opened, inbox: &mut Inbox) -> Result<Step<Self>, Fault> {
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

impl Exchange for Dial {
    type Outcome = Session;

    fn advance(self, inbox: &mut Inbox) -> Result<Step<Self>, Fault> {
        let Self { settings, state } = self;
        let this = Self { settings, state: State::Begun };
        match state {
            State::Begun => Ok(this.begin()),
            State::TlsAsked => this.tls_answered(inbox),
            // As libpq demands it: whoever takes TLS without being asked may be another service.
            State::Connected(Line::Tls(peer))
                if this.settings.direct_tls && peer.protocol.as_deref() != Some(codec::ALPN) =>
            {
                Err(Fault::protocol(
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
struct Securing(Settings);

impl Secure<Dial> for Securing {
    fn established(self: Box<Self>, peer: Peer) -> Dial {
        Dial { settings: self.0, state: State::Connected(Line::Tls(peer)) }
    }
}

#[cfg(test)]
mod tests;
