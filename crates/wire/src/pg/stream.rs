//! Message boundaries of a forwarded session. The trackers keep no data except a partially received
//! header.

use crate::sql;

/// Maximum value of a length field, in bytes (`MaxAllocSize`, PostgreSQL's limit in both
/// directions).
pub const MAX_MESSAGE: u32 = 1 << 30;

/// Tracker of the client's messages after the login.
///
/// ```
/// use countersign_wire::pg::codec;
/// use countersign_wire::pg::stream::{BackendTracker, ForwardPlan, FrontendTracker};
///
/// let (mut frontend, mut backend) = (FrontendTracker::default(), BackendTracker::default());
/// assert_eq!(frontend.observe(&codec::query("SELECT 1")), ForwardPlan::All);
/// assert_eq!(frontend.expected_ready(), 1);
///
/// // The server has answered all requests, and is outside of a transaction.
/// backend.observe(&codec::ready_for_query(b'I'));
/// assert_eq!((backend.received_ready(), backend.status()), (1, Some(b'I')));
///
/// // A pooled server connection must not receive the client's Terminate.
/// assert_eq!(frontend.observe(&codec::terminate()), ForwardPlan::Until(0));
/// ```
#[derive(Debug, Default)]
pub struct FrontendTracker {
    framing: Framing,
    expected_ready: u64,
    messages: u64,
    terminated: bool,
    exclusive_ddl: bool,
}

/// Part of the client's bytes to forward to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardPlan {
    /// All bytes.
    All,
    /// The first bytes. A `Terminate` starts after them; it and everything after it is not
    /// forwarded.
    Until(usize),
}

impl FrontendTracker {
    /// Scans bytes that the client sent.
    pub fn observe(&mut self, bytes: &[u8]) -> ForwardPlan {
        if self.terminated {
            return ForwardPlan::Until(0);
        }
        let mut rest = bytes;
        loop {
            // Checked at the first byte: the rest of the header may be missing, and this byte is
            // not to be forwarded.
            if self.framing.is_at_message(&mut rest) && rest.first() == Some(&b'X') {
                self.terminated = true;
                return ForwardPlan::Until(bytes.len() - rest.len());
            }
            match self.framing.next_message(&mut rest) {
                Some(kind) => {
                    self.messages += 1;
                    self.expected_ready += u64::from(matches!(kind, b'Q' | b'S' | b'F'));
                    self.exclusive_ddl |= statement(kind, rest).is_some_and(sql::is_exclusive_ddl);
                }
                None => return ForwardPlan::All,
            }
        }
    }

    /// Returns true if the client has sent nothing, not even part of a message, except `Terminate`.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        matches!(self.framing, Framing::Body(0)) && self.messages == 0
    }

    /// Returns true if the client has sent `DROP`, `ALTER` or `CREATE DATABASE` since the last
    /// call. The server rejects these while other sessions use the database. A statement that
    /// starts with a comment, or whose first words are split between two reads, is not detected.
    pub fn take_exclusive_ddl_flag(&mut self) -> bool {
        std::mem::take(&mut self.exclusive_ddl)
    }

    /// Returns the maximum number of `ReadyForQuery` that the server sends in response: one for
    /// each `Query`, `Sync` and `FunctionCall`. Returns `u64::MAX` if message boundaries are lost.
    ///
    /// The server sends fewer if it skips messages: a `Sync` within `COPY … FROM STDIN`, and
    /// everything from an error to the next `Sync`.
    #[must_use]
    pub fn expected_ready(&self) -> u64 {
        if let Framing::Desynced = self.framing { u64::MAX } else { self.expected_ready }
    }
}

/// Returns the received part of a statement's SQL text, from the body of a `Query` or `Parse`.
fn statement(kind: u8, body: &[u8]) -> Option<&[u8]> {
    match kind {
        b'Q' => Some(body),
        // The text follows the name of the prepared statement.
        b'P' => body.splitn(2, |byte| *byte == 0).nth(1),
        _ => None,
    }
}

/// Tracker of the server's messages after the login.
#[derive(Debug, Default)]
pub struct BackendTracker {
    framing: Framing,
    received_ready: u64,
    ready: Ready,
}

#[derive(Debug, Default, Clone, Copy)]
enum Ready {
    /// A response is incomplete, or none was received yet.
    #[default]
    No,
    /// The header of a `ReadyForQuery` was received, its status was not.
    StatusPending,
    /// A `ReadyForQuery` with this status was received, and since then only asynchronous messages.
    Yes(u8),
}

impl BackendTracker {
    /// Scans bytes that the server sent.
    pub fn observe(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        loop {
            self.read_status(rest);
            match self.framing.next_message(&mut rest) {
                Some(b'Z') => self.ready = Ready::StatusPending,
                // `NotificationResponse`, `NoticeResponse` and `ParameterStatus` are asynchronous.
                Some(b'A' | b'N' | b'S') => {}
                Some(_) => self.ready = Ready::No,
                None => return,
            }
        }
    }

    /// Reads the status of a `ReadyForQuery`, which is the only byte of its body.
    fn read_status(&mut self, rest: &[u8]) {
        let (Ready::StatusPending, Some(status)) = (self.ready, rest.first()) else {
            return;
        };
        if let Framing::Body(1) = self.framing {
            self.ready = Ready::Yes(*status);
            self.received_ready += 1;
        } else {
            self.framing = Framing::Desynced;
        }
    }

    /// Returns the number of received `ReadyForQuery`.
    #[must_use]
    pub fn received_ready(&self) -> u64 {
        self.received_ready
    }

    /// Returns the status of the last `ReadyForQuery` if only complete asynchronous messages
    /// followed it: `I` outside of a transaction, `T` within one, `E` within a failed one. Compare
    /// [`FrontendTracker::expected_ready`] to detect requests that the server has not answered yet.
    #[must_use]
    pub fn status(&self) -> Option<u8> {
        match (self.ready, &self.framing) {
            (
                Ready::Yes(status @ (b'I' | b'T' | b'E')),
                Framing::Header { count: 0, .. } | Framing::Body(0),
            ) => Some(status),
            _ => None,
        }
    }
}

/// Position in a stream of messages.
#[derive(Debug)]
enum Framing {
    /// Within a header, of which `count` bytes were received.
    Header { received: [u8; 5], count: usize },
    /// This many bytes before the next header.
    Body(usize),
    /// A length field was invalid: message boundaries are unknown from here on.
    Desynced,
}

impl Default for Framing {
    fn default() -> Self {
        Self::Body(0)
    }
}

impl Framing {
    /// Skips the rest of a body. Returns true if `rest` is then at the start of a message.
    #[inline]
    fn is_at_message(&mut self, rest: &mut &[u8]) -> bool {
        let Self::Body(left) = self else { return false };
        let skipped = (*left).min(rest.len());
        *left -= skipped;
        *rest = rest.get(skipped..).unwrap_or_default();
        *left == 0
    }

    /// Consumes bytes up to the end of the next header and returns its message type, or `None` if
    /// `rest` ends before.
    #[inline]
    fn next_message(&mut self, rest: &mut &[u8]) -> Option<u8> {
        if self.is_at_message(rest) {
            if let Some((header, body)) = rest.split_first_chunk() {
                *rest = body;
                return self.enter(*header);
            }
            if rest.is_empty() {
                return None;
            }
            *self = Self::Header { received: [0; 5], count: 0 };
        }
        self.continue_header(rest)
    }

    /// Continues a header that arrives in parts.
    fn continue_header(&mut self, rest: &mut &[u8]) -> Option<u8> {
        let Self::Header { received, count } = self else {
            return None;
        };
        while let Some(slot) = received.get_mut(*count) {
            let (byte, tail) = rest.split_first()?;
            *slot = *byte;
            *count += 1;
            *rest = tail;
        }
        let header = *received;
        self.enter(header)
    }

    #[inline]
    fn enter(&mut self, header: [u8; 5]) -> Option<u8> {
        let [kind, length @ ..] = header;
        let length = u32::from_be_bytes(length);
        if !(4..=MAX_MESSAGE).contains(&length) {
            *self = Self::Desynced;
            return None;
        }
        *self = Self::Body(usize::try_from(length - 4).unwrap_or(usize::MAX));
        Some(kind)
    }
}

#[cfg(test)]
mod tests;
