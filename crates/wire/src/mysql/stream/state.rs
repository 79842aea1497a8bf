//! State that both directions of a session share.

use std::collections::VecDeque;

use crate::mysql::Capabilities;

/// Maximum number of unanswered commands. A session with more is not tracked any longer.
pub const MAX_PENDING: usize = 4096;

#[derive(Debug)]
pub(super) struct SharedState {
    pub(super) capabilities: Capabilities,
    /// Expected responses. The first may be incomplete.
    pub(super) pending: VecDeque<ResponseKind>,
    pub(super) phase: Phase,
}

/// Phase of the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The client sends commands.
    Commands,
    /// The client sends the file that the server requested.
    Upload,
    /// The client has sent `COM_QUIT`.
    Quit,
    /// Message boundaries are unknown. Everything is forwarded.
    Desynced,
}

/// Form of a command's response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseKind {
    /// One packet: OK, EOF or ERR.
    Single,
    /// One packet with any content.
    Text,
    /// One or more results: OK, rows, or a request for a file. ERR ends them.
    Results,
    /// As `Results`, but if a cursor is opened, no rows follow the columns.
    Execution,
    /// Head of a prepared statement, and the definitions that it counts.
    Prepared,
    /// Rows without column definitions before them.
    Rows,
}

impl SharedState {
    pub(super) fn new(capabilities: Capabilities) -> Self {
        let is_compressed = capabilities.has_any(Capabilities::COMPRESS | Capabilities::ZSTD);
        let phase = if is_compressed { Phase::Desynced } else { Phase::Commands };
        Self { capabilities, pending: VecDeque::new(), phase }
    }

    pub(super) fn desync(&mut self) {
        self.phase = Phase::Desynced;
        self.pending = VecDeque::new();
    }

    pub(super) fn expect_response(&mut self, kind: ResponseKind) {
        if self.pending.len() == MAX_PENDING {
            self.desync();
        } else {
            self.pending.push_back(kind);
        }
    }
}
