//! Message boundaries of a forwarded session. The tracker keeps the kinds of unanswered commands
//! and at most the head of one packet.

mod kill;
mod packet_reader;
mod requests;
mod responses;
mod state;

use super::Capabilities;
use super::codec::EOF;
use crate::exchange::ProtocolError;
pub use kill::Kill;
use packet_reader::PacketReader;
use requests::Requests;
pub use requests::{ForwardPlan, Next};
use responses::Responses;
use state::{Phase, SharedState};

pub use state::MAX_PENDING;

/// Tracker of both directions of a session after the login.
///
/// ```
/// use countersign_wire::mysql::response::OkPacket;
/// use countersign_wire::mysql::stream::{ForwardPlan, Next, SessionTracker};
/// use countersign_wire::mysql::{Capabilities, codec};
///
/// let capabilities = Capabilities::PROTOCOL_41;
/// let mut tracker = SessionTracker::new(capabilities, 2);
/// let query = codec::query("DO 1", capabilities);
/// let plan = tracker.observe_client(&query)?;
/// assert_eq!(plan, ForwardPlan { forward: query.len(), then: Next::More });
/// assert!(!tracker.is_idle());
///
/// tracker.observe_server(&codec::packet(1, &OkPacket::default().encode(capabilities)));
/// assert!(tracker.is_idle());
///
/// // A pooled server connection must not receive the client's COM_QUIT.
/// assert_eq!(tracker.observe_client(&codec::quit())?.then, Next::Quit);
/// # Ok::<_, countersign_wire::ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct SessionTracker {
    shared: SharedState,
    requests: Requests,
    packets: PacketReader,
    responses: Responses,
}

impl SessionTracker {
    /// Creates a tracker after a login, with the status flags of its OK packet.
    #[must_use]
    pub fn new(capabilities: Capabilities, status: u16) -> Self {
        Self {
            shared: SharedState::new(capabilities),
            requests: Requests::default(),
            packets: PacketReader::default(),
            responses: Responses::new(status),
        }
    }

    /// Scans bytes that the client sent.
    ///
    /// # Errors
    /// [`ProtocolError::Protocol`] if a `COM_CHANGE_USER` is longer than a login packet can be.
    pub fn observe_client(&mut self, bytes: &[u8]) -> Result<ForwardPlan, ProtocolError> {
        self.requests.scan(&mut self.shared, bytes)
    }

    /// Scans bytes that the server sent, all of which are forwarded.
    pub fn observe_server(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while self.shared.phase != Phase::Desynced {
            // Most packets are rows, of which only the first byte is inspected.
            let is_within_rows = self.responses.is_within_rows();
            let is_relevant = |first: u8| !is_within_rows || first >= EOF;
            let Some(head) = self.packets.next_head(&mut rest, is_relevant) else {
                return;
            };
            self.responses.on_packet(&mut self.shared, &head);
        }
    }

    /// Returns true if every command is answered, and no packet is incomplete.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.shared.phase == Phase::Commands
            && self.requests.is_at_packet()
            && self.has_no_pending_response()
    }

    /// Returns true if the client has sent `COM_QUIT` and every command before it is answered: the
    /// server connection can be reused.
    #[must_use]
    pub fn has_quit_idle(&self) -> bool {
        self.shared.phase == Phase::Quit && self.has_no_pending_response()
    }

    fn has_no_pending_response(&self) -> bool {
        self.shared.pending.is_empty()
            && self.packets.is_at_packet()
            && self.responses.is_at_start()
    }

    /// Returns true if message boundaries are unknown: all bytes are forwarded, and the session is
    /// never idle again.
    #[must_use]
    pub fn is_desynced(&self) -> bool {
        self.shared.phase == Phase::Desynced
    }

    /// Returns the status flags of the last response. `None` after an ERR packet, which has none.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.responses.status()
    }
}

#[cfg(test)]
mod tests;
