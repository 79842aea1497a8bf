//! What a server greets with, and nothing more.

use crate::exchange::{Exchange, Fault, Step};
use crate::inbox::Inbox;
use crate::mysql::Greeting;

/// Reads a server's greeting. The socket is then of no more use.
///
/// A server counts it as a failed login of the host: where it may be tried again and again, a login ([`super::Dial`]), which tells
/// the greeting too, is what sets that count back (`max_connect_errors`).
#[derive(Debug, Default)]
pub struct Greet(());

impl Greet {
    /// Begins.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Exchange for Greet {
    type Outcome = Greeting;

    fn advance(self, inbox: &mut Inbox) -> Result<Step<Self>, Fault> {
        let Some((greeted, total)) = super::read_greeting(inbox)? else {
            return Ok(Step::Read(self));
        };
        inbox.consume(total);
        Ok(Step::Done(Vec::new(), greeted.greeting))
    }
}
