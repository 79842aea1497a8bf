//! Buffer of received bytes.

use std::fmt;

use zeroize::Zeroizing;

/// Received and not yet consumed bytes. They may contain passwords, so they are wiped on drop and
/// when the buffer grows.
#[derive(Default)]
pub struct ReadBuffer {
    bytes: Zeroizing<Vec<u8>>,
    consumed: usize,
}

impl ReadBuffer {
    /// Appends received bytes.
    pub fn push(&mut self, received: &[u8]) {
        if self.bytes.capacity() - self.bytes.len() < received.len() {
            self.grow(received.len());
        }
        self.bytes.extend_from_slice(received);
    }

    /// Moves the unread bytes to a larger allocation and drops the consumed ones. `Vec`'s own
    /// growth would leave an unwiped copy behind, and consumed bytes would stay as long as unread
    /// bytes follow them.
    fn grow(&mut self, additional: usize) {
        let unread = self.unread();
        let capacity = (unread.len() + additional).next_power_of_two();
        let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
        bytes.extend_from_slice(unread);
        *self = Self { bytes, consumed: 0 };
    }

    /// Returns the bytes that have not been consumed.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        self.bytes.get(self.consumed..).unwrap_or_default()
    }

    /// Consumes `count` bytes, or all bytes if there are fewer.
    pub fn consume(&mut self, count: usize) {
        self.consumed = self.bytes.len().min(self.consumed.saturating_add(count));
        if self.consumed == self.bytes.len() {
            // Each connection owns a buffer for its lifetime, so an empty one is freed.
            *self = Self::default();
        }
    }

    /// Returns true if all bytes are consumed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unread().is_empty()
    }
}

impl fmt::Debug for ReadBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadBuffer({} bytes)", self.unread().len())
    }
}

#[cfg(test)]
mod tests {
    use super::ReadBuffer;

    #[test]
    fn bytes_are_unread_until_consumed() {
        let mut buffer = ReadBuffer::default();
        buffer.push(b"one ");
        buffer.push(b"two");
        buffer.consume(4);
        assert_eq!(buffer.unread(), b"two");
        buffer.push(b" three");
        assert_eq!(buffer.unread(), b"two three");
        buffer.consume(usize::MAX);
        assert!(buffer.is_empty());
        assert_eq!(buffer.bytes.capacity(), 0, "an idle connection holds no memory");
    }

    /// A server that sends an endless stream, each piece with the start of the next message, must
    /// not fill the memory.
    #[test]
    fn consumed_bytes_are_freed() {
        let mut buffer = ReadBuffer::default();
        buffer.push(b"x");
        for _ in 0..10_000 {
            buffer.push(&[b'y'; 1000]);
            buffer.consume(1000);
            assert!(buffer.bytes.capacity() <= 4096, "{}", buffer.bytes.capacity());
        }
        assert_eq!(buffer.unread(), b"y");
    }

    #[test]
    fn debug_shows_no_content() {
        let mut buffer = ReadBuffer::default();
        buffer.push(b"hunter2");
        assert_eq!(format!("{buffer:?}"), "ReadBuffer(7 bytes)");
    }
}
