//! Asks a server to cancel the statement of a session.

use zeroize::Zeroizing;

use super::{CancelKey, codec};
use crate::exchange::{AwaitTls, Exchange, ProtocolError, Step, TlsInfo, TransportSecurity};
use crate::read_buffer::ReadBuffer;

/// A `CancelRequest` on its way. Its outcome is that it was sent: a server closes the connection without a word.
#[derive(Debug)]
pub struct CancelRequest {
    key: CancelKey,
    state: State,
}

#[derive(Debug)]
enum State {
    Begun(TransportSecurity, bool),
    TlsAsked,
    Connected,
}

impl CancelRequest {
    /// Begins. With `direct_tls`, TLS begins without asking.
    #[must_use]
    pub const fn new(key: CancelKey, security: TransportSecurity, direct_tls: bool) -> Self {
        Self { key, state: State::Begun(security, direct_tls) }
    }
}

impl Exchange for CancelRequest {
    type Outcome = ();

    fn advance(self, inbox: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        match self.state {
            State::Begun(TransportSecurity::Required, false) => Ok(Step::Write(
                Zeroizing::new(codec::tls_request()),
                Self { state: State::TlsAsked, ..self },
            )),
            State::Begun(TransportSecurity::Required, true) => {
                Ok(Step::StartTls(Vec::new(), Box::new(Securing(self.key))))
            }
            State::TlsAsked => match inbox.unread() {
                [] => Ok(Step::Read(self)),
                // What comes ahead of TLS may be put there by somebody in between (CVE-2021-23222).
                b"S" => {
                    inbox.consume(1);
                    Ok(Step::StartTls(Vec::new(), Box::new(Securing(self.key))))
                }
                _ => Err(ProtocolError::unsupported(
                    "the server offers no TLS to the request to cancel, and without TLS none is sent",
                )),
            },
            State::Begun(TransportSecurity::Plain { .. }, _) | State::Connected => {
                Ok(Step::Done(codec::cancel_request(&self.key), ()))
            }
        }
    }
}

/// Waits for TLS.
#[derive(Debug)]
struct Securing(CancelKey);

impl AwaitTls<CancelRequest> for Securing {
    fn established(self: Box<Self>, _peer: TlsInfo) -> CancelRequest {
        CancelRequest { key: self.0, state: State::Connected }
    }
}

#[cfg(test)]
mod tests;
