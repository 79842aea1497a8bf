//! Asks a server to cancel the statement of a session.

use zeroize::Zeroizing;

use super::{CancelKey, codec};
use crate::exchange::{Exchange, Fault, Peer, Secure, Security, Step};
use crate::inbox::Inbox;

/// A `CancelRequest` on its way. Its outcome is that it was sent: a server closes the connection without a word.
#[derive(Debug)]
pub struct Recall {
    key: CancelKey,
    state: State,
}

#[derive(Debug)]
enum State {
    Begun(Security, bool),
    TlsAsked,
    Connected,
}

impl Recall {
    /// Begins. With `direct_tls`, TLS begins without asking.
    #[must_use]
    pub const fn new(key: CancelKey, security: Security, direct_tls: bool) -> Self {
        Self { key, state: State::Begun(security, direct_tls) }
    }
}

impl Exchange for Recall {
    type Outcome = ();

    fn advance(self, inbox: &mut Inbox) -> Result<Step<Self>, Fault> {
        match self.state {
            State::Begun(Security::Required, false) => Ok(Step::Write(
                Zeroizing::new(codec::tls_request()),
                Self { state: State::TlsAsked, ..self },
            )),
            State::Begun(Security::Required, true) => {
                Ok(Step::Secure(Vec::new(), Box::new(Securing(self.key))))
            }
            State::TlsAsked => match inbox.unread() {
                [] => Ok(Step::Read(self)),
                // What comes ahead of TLS may be put there by somebody in between (CVE-2021-23222).
                b"S" => {
                    inbox.consume(1);
                    Ok(Step::Secure(Vec::new(), Box::new(Securing(self.key))))
                }
                _ => Err(Fault::unsupported(
                    "the server offers no TLS to the request to cancel, and without TLS none is sent",
                )),
            },
            State::Begun(Security::Plain { .. }, _) | State::Connected => {
                Ok(Step::Done(codec::cancel_request(&self.key), ()))
            }
        }
    }
}

/// Waits for TLS.
#[derive(Debug)]
struct Securing(CancelKey);

impl Secure<Recall> for Securing {
    fn established(self: Box<Self>, _peer: Peer) -> Recall {
        Recall { key: self.0, state: State::Connected }
    }
}

#[cfg(test)]
mod tests;
