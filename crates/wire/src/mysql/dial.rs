//! Logs in to a server: from its greeting to its OK.

mod authentication;
mod change;
mod greet;

use zeroize::Zeroizing;

use super::codec::{self, ERR};
use super::greeting::{Greeted, Greeting};
use super::{Capabilities, Wish, answer, wish};
pub use crate::exchange::Credential;
use crate::exchange::{Exchange, Fault, Peer, Secure, Security, Step};
use crate::inbox::Inbox;
use authentication::{Authentication, Identity, Line, Turn};
pub use change::{Change, Changed};
pub use greet::Greet;

/// How to log in.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who logs in to what, as whoever is promised which capabilities. A server that lacks one of [`Capabilities::FRAMING`] is not
    /// logged in to.
    pub wish: Wish,
    /// Whether there is TLS.
    pub security: Security,
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
pub struct Dial {
    settings: Settings,
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
    greeted: Greeted,
    capabilities: Capabilities,
}

impl Dial {
    /// Begins.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, state: State::Begun }
    }

    fn begin(self, inbox: &mut Inbox) -> Result<Step<Self>, Fault> {
        let Some((greeted, total)) = read_greeting(inbox)? else {
            return Ok(Step::Read(self));
        };
        let tls = self.settings.security == Security::Required;
        let capabilities = agreed(&self.settings.wish, greeted.greeting.capabilities, tls)?;
        let opened = Opened { greeted, capabilities };
        match self.settings.security {
            Security::Required => {
                // Whoever offers TLS says nothing more before it is asked for; what comes ahead may be put there by somebody in between.
                if inbox.unread().len() != total {
                    return Err(Fault::protocol(
                        "the server sends unencrypted data behind its greeting: it is broken, or somebody is in between",
                    ));
                }
                inbox.consume(total);
                let bytes =
                    codec::packet(1, &wish::tls_request(&self.settings.wish, capabilities)?);
                Ok(Step::Write(
                    Zeroizing::new(bytes),
                    Self { state: State::TlsAsked(opened), ..self },
                ))
            }
            Security::Plain { trusted } => {
                inbox.consume(total);
                self.introduce(Line::Bare { trusted }, opened)
            }
        }
    }

    fn introduce(self, line: Line, opened: Opened) -> Result<Step<Self>, Fault> {
        let sequence = line.sequence();
        let identity = Identity {
            credential: self.settings.credential.clone(),
            user: self.settings.wish.user.clone(),
            line,
        };
        let (authentication, proof) = Authentication::begin(identity, &opened.greeted, sequence)?;
        let payload = wish::response(
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
        inbox: &mut Inbox,
    ) -> Result<Step<Self>, Fault> {
        match authentication.advance(inbox)? {
            Turn::Read(next) => {
                Ok(Step::Read(Self { state: State::Authenticating(next, opened), ..self }))
            }
            Turn::Send(bytes, next) => {
                Ok(Step::Write(bytes, Self { state: State::Authenticating(next, opened), ..self }))
            }
            Turn::Over(ok) => {
                let Opened { greeted: Greeted { greeting, connection_id, .. }, capabilities } =
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

impl Exchange for Dial {
    type Outcome = Session;

    fn advance(self, inbox: &mut Inbox) -> Result<Step<Self>, Fault> {
        let Self { settings, state } = self;
        let this = Self { settings, state: State::Begun };
        match state {
            State::Begun => this.begin(inbox),
            State::TlsAsked(opened) => {
                Ok(Step::Secure(Vec::new(), Box::new(Securing { settings: this.settings, opened })))
            }
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
    settings: Settings,
    opened: Opened,
}

impl Secure<Dial> for Securing {
    fn established(self: Box<Self>, _: Peer) -> Dial {
        Dial { settings: self.settings, state: State::Connected(Line::Tls, self.opened) }
    }
}

/// What is asked of a server that offers this.
fn agreed(wish: &Wish, server: Capabilities, tls: bool) -> Result<Capabilities, Fault> {
    if !server.has(Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION) {
        return Err(Fault::unsupported(
            "the server speaks a protocol from before MySQL 4.1: upgrade it",
        ));
    }
    if tls && !server.has(Capabilities::SSL) {
        return Err(Fault::unsupported(
            "the server offers no TLS, and without TLS no login is tried: give it a certificate and a key (ssl_cert, ssl_key), or look \
             whether the host and the port are the database's",
        ));
    }
    let missing = (wish.capabilities & Capabilities::FRAMING).without(server);
    if missing != Capabilities::NONE {
        return Err(Fault::unsupported(format!(
            "the server lacks what the client was promised ({missing:?}): it is another version than the one before it; connect again"
        )));
    }
    let database = wish.database.is_some();
    let wished = (wish.capabilities & Capabilities::CARRIED) | Capabilities::LOGIN;
    let agreed =
        (wished & server).set(Capabilities::CONNECT_WITH_DB, database).set(Capabilities::SSL, tls);
    // MySQL's bit is there where the other side can't read the high half.
    Ok(agreed.set(Capabilities::MYSQL, server.has(Capabilities::MYSQL)))
}

/// The packet that a server begins with, and its length, if all of it is there.
fn read_greeting(inbox: &Inbox) -> Result<Option<(Greeted, usize)>, Fault> {
    let stranger = || {
        Fault::protocol(
            "the server does not greet as MySQL or MariaDB does: look at the host and the port",
        )
    };
    let Some((payload, total)) = codec::read_packet(inbox, 0).map_err(|_| stranger())? else {
        return Ok(None);
    };
    if payload.first() == Some(&ERR) {
        // It speaks before it knows whether we know of SQLSTATEs.
        let payload = answer::with_sqlstate(payload, Capabilities::PROTOCOL_41);
        return Err(Fault::Refused(codec::error_fields(&payload)));
    }
    let greeted = Greeted::parse(payload).ok_or_else(stranger)?;
    Ok(Some((greeted, total)))
}

/// The status in an OK.
fn status_of(ok: &[u8], capabilities: Capabilities) -> Result<u16, Fault> {
    let okay = answer::Okay::parse(ok, capabilities);
    okay.map(|okay| okay.status).ok_or_else(|| Fault::protocol("the server's OK is malformed"))
}

#[cfg(test)]
mod tests;
