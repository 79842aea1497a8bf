//! What has come from the socket and is not yet consumed.

use zeroize::Zeroizing;

/// Received bytes. Wiped on drop: passwords pass through.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Zeroizing<Vec<u8>>,
    taken: usize,
}

impl Inbox {
    /// Adds what has come.
    pub fn push(&mut self, received: &[u8]) {
        self.bytes.extend_from_slice(received);
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
