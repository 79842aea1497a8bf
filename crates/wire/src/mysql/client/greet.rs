//! What a server greets with, and nothing more.

use crate::exchange::{Exchange, ProtocolError, Step};
use crate::mysql::Greeting;
use crate::read_buffer::ReadBuffer;

/// Reads a server's greeting. The socket is then of no more use.
///
/// A server counts it as a failed login of the host: where it may be tried again and again, a login ([`super::ClientLogin`]), which tells
/// the greeting too, is what sets that count back (`max_connect_errors`).
#[derive(Debug, Default)]
pub struct ReadGreeting(());

impl ReadGreeting {
    /// Begins.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Exchange for ReadGreeting {
    type Outcome = Greeting;

    fn advance(self, inbox: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        let Some((greeted, total)) = super::read_greeting(inbox)? else {
            return Ok(Step::Read(self));
        };
        inbox.consume(total);
        Ok(Step::Done(Vec::new(), greeted.greeting))
    }
}
