//! What has come from the socket and is not yet consumed.

use std::fmt;

use zeroize::Zeroizing;

/// Received bytes. Wiped on drop, and when they are moved to where there is more room: passwords pass through.
#[derive(Default)]
pub struct ReadBuffer {
    bytes: Zeroizing<Vec<u8>>,
    taken: usize,
}

impl ReadBuffer {
    /// Adds what has come.
    pub fn push(&mut self, received: &[u8]) {
        if self.bytes.capacity() - self.bytes.len() < received.len() {
            self.make_room(received.len());
        }
        self.bytes.extend_from_slice(received);
    }

    /// Moves what is unread to the front of a larger place. A vector that grows by itself would leave a copy behind that nobody
    /// wipes, and what is consumed would stay in it as long as something is always unread.
    fn make_room(&mut self, more: usize) {
        let unread = self.unread();
        let mut roomy =
            Zeroizing::new(Vec::with_capacity((unread.len() + more).next_power_of_two()));
        roomy.extend_from_slice(unread);
        *self = Self { bytes: roomy, taken: 0 };
    }

    /// What has not been consumed.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// Consumes so many bytes; more than there are is all of them.
    pub fn consume(&mut self, count: usize) {
        self.taken = self.bytes.len().min(self.taken.saturating_add(count));
        if self.taken == self.bytes.len() {
            // Freed rather than kept: a connection holds this for as long as it lives.
            *self = Self::default();
        }
    }

    /// Whether everything is consumed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unread().is_empty()
    }
}

impl fmt::Debug for ReadBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inbox({} bytes)", self.unread().len())
    }
}

#[cfg(test)]
mod tests;
