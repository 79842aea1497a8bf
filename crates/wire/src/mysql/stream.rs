//! Where commands begin and answers end in a session that is handed through. Nothing is kept of it but the kinds of the commands
//! that wait for an answer, and the beginning of a packet that decides.

mod kill;
mod requests;
mod responses;

use std::collections::VecDeque;

use super::Capabilities;
use crate::exchange::ProtocolError;
pub use kill::Kill;
use requests::Requests;
use responses::Answers;

/// The most commands that wait for an answer at once; who sends more ahead isn't followed any longer.
pub const MAX_AWAITED: usize = 4096;

/// Both directions of a session behind its login.
#[derive(Debug)]
pub struct SessionTracker {
    shared: Shared,
    requests: Requests,
    answers: Answers,
}

/// What the one direction says to the other.
#[derive(Debug)]
struct Shared {
    capabilities: Capabilities,
    /// The kinds of commands that wait for an answer. The answer to the first may be under way.
    awaited: VecDeque<Kind>,
    course: Phase,
}

/// How the session goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The client sends commands.
    Commands,
    /// The server has asked for a file: the client sends it.
    Upload,
    /// The client has said that it goes.
    Over,
    /// Something is not as it is known here. All goes through, and nobody knows what it is.
    Lost,
}

/// How a command is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// By one packet: OK, EOF or ERR.
    Single,
    /// By one packet, whatever is in it.
    Text,
    /// By OK, ERR, rows, or a request for a file; and by more of them.
    Results,
    /// So too. A cursor may be opened, and then no rows follow.
    Execution,
    /// By a head that says how many descriptions follow.
    Prepared,
    /// By rows alone.
    Rows,
}

/// How much of a client's bytes goes on to the server, and what comes then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardPlan {
    /// So many bytes go on.
    pub forward: usize,
    /// What stands behind them.
    pub then: Next,
}

/// What stands behind what goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing, or the beginning of a packet of which too little is here to tell what it is: it is to be given again, with more
    /// behind it. That is at most as long as a login's packet ([`super::codec::MAX_LOGIN_PACKET`]).
    More,
    /// `COM_QUIT`, which is not to be forwarded, and nothing after it.
    Quit,
    /// `COM_CHANGE_USER`, whole: it is this long, its header included, and for [`super::login::Change`]. It waits for no answer of
    /// the server's. What is behind it is to be given again.
    ChangeUser {
        /// The packet's length.
        length: usize,
    },
    /// A `KILL`, whole, that is to be forwarded with the number of the server's in place of ours. What is behind it is to be given
    /// again.
    Kill(Kill),
}

impl SessionTracker {
    /// Begins behind a login, with the status that its OK had.
    #[must_use]
    pub fn new(capabilities: Capabilities, status: u16) -> Self {
        let compressed = capabilities.has_any(Capabilities::COMPRESS | Capabilities::ZSTD);
        let course = if compressed { Phase::Lost } else { Phase::Commands };
        let shared = Shared { capabilities, awaited: VecDeque::new(), course };
        Self { shared, requests: Requests::default(), answers: Answers::new(status) }
    }

    /// Goes over what the client sends.
    ///
    /// # Errors
    /// Where a `COM_CHANGE_USER` is longer than it can be.
    pub fn requests(&mut self, bytes: &[u8]) -> Result<ForwardPlan, ProtocolError> {
        self.requests.follow(&mut self.shared, bytes)
    }

    /// Goes over what the server sends, all of which is forwarded.
    pub fn answers(&mut self, bytes: &[u8]) {
        self.answers.follow(&mut self.shared, bytes);
    }

    /// Whether every command is answered, and no packet is under way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.shared.course == Phase::Commands
            && self.shared.awaited.is_empty()
            && self.requests.is_between()
            && self.answers.is_between()
    }

    /// Whether every command was answered when the client said that it goes: the session is of use to others.
    #[must_use]
    pub fn is_left_idle(&self) -> bool {
        self.shared.course == Phase::Over
            && self.shared.awaited.is_empty()
            && self.answers.is_between()
    }

    /// Whether it can't be followed any longer.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.shared.course == Phase::Lost
    }

    /// The status flags that the last answer had; `None` where that was an ERR, which has none.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.answers.status()
    }
}

impl Shared {
    fn lose(&mut self) {
        self.course = Phase::Lost;
        self.awaited = VecDeque::new();
    }

    fn await_answer(&mut self, kind: Kind) {
        if self.awaited.len() == MAX_AWAITED {
            self.lose();
        } else {
            self.awaited.push_back(kind);
        }
    }
}

#[cfg(test)]
mod tests;
