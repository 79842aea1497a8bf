//! Packets of the server's stream, reduced to their heads.

use crate::mysql::codec::{self, HEADER, MAX_PAYLOAD, OK};

/// Maximum length of the head of a payload, in bytes: an OK packet up to its status flags. The head
/// of a prepared statement is shorter.
const MAX_HEAD: usize = 21;

/// Position in a stream of packets.
#[derive(Debug, Default)]
pub(super) struct PacketReader {
    /// Bytes before the next header.
    body_left: usize,
    /// The next packet continues the payload of the previous one.
    is_continuation: bool,
    /// Start of a packet that arrives in parts.
    partial: [u8; HEADER + MAX_HEAD],
    partial_len: usize,
}

/// First bytes of a packet.
#[derive(Debug)]
pub(super) struct Head {
    /// Length of the payload in this packet.
    pub(super) length: usize,
    bytes: [u8; MAX_HEAD],
}

impl Head {
    /// Returns the first [`MAX_HEAD`] bytes of the payload, or all of it if it is shorter.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length.min(MAX_HEAD)).unwrap_or_default()
    }

    /// Returns the first byte of the payload.
    pub(super) fn first(&self) -> Option<u8> {
        self.bytes().first().copied()
    }
}

/// Result of parsing the start of a packet.
enum Parsed {
    Incomplete,
    Irrelevant,
    Head(Head),
}

impl PacketReader {
    /// Returns true at the start of a packet.
    pub(super) fn is_at_packet(&self) -> bool {
        self.body_left == 0 && !self.is_continuation && self.partial_len == 0
    }

    /// Consumes bytes up to the end of the next relevant head, or all bytes. Packets that continue
    /// a payload, and those whose first byte is not relevant, are skipped; an empty payload counts
    /// as [`OK`].
    #[inline]
    pub(super) fn next_head(
        &mut self,
        rest: &mut &[u8],
        is_relevant: impl Fn(u8) -> bool,
    ) -> Option<Head> {
        loop {
            let skipped = self.body_left.min(rest.len());
            self.body_left -= skipped;
            *rest = rest.get(skipped..).unwrap_or_default();
            if rest.is_empty() {
                return None;
            }
            let parsed = if self.partial_len > 0 {
                self.continue_partial(rest, &is_relevant)
            } else {
                let parsed = self.parse(rest, &is_relevant);
                let consumed = if let Parsed::Incomplete = parsed {
                    self.partial_len = rest.len();
                    self.partial.iter_mut().zip(*rest).for_each(|(slot, byte)| *slot = *byte);
                    rest.len()
                } else {
                    HEADER
                };
                *rest = rest.get(consumed..).unwrap_or_default();
                parsed
            };
            if let Parsed::Head(head) = parsed {
                return Some(head);
            }
        }
    }

    /// Appends one byte to a packet that arrives in parts.
    fn continue_partial(&mut self, rest: &mut &[u8], is_relevant: &impl Fn(u8) -> bool) -> Parsed {
        let (Some((byte, tail)), Some(slot)) =
            (rest.split_first(), self.partial.get_mut(self.partial_len))
        else {
            *rest = &[];
            return Parsed::Incomplete;
        };
        *slot = *byte;
        *rest = tail;
        self.partial_len += 1;
        let partial = self.partial;
        let parsed = self.parse(partial.get(..self.partial_len).unwrap_or_default(), is_relevant);
        if !matches!(parsed, Parsed::Incomplete) {
            self.body_left = self.body_left.saturating_sub(self.partial_len - HEADER);
            self.partial_len = 0;
        }
        parsed
    }

    /// Parses a packet from its header. If it is complete enough, enters its body.
    #[inline]
    fn parse(&mut self, bytes: &[u8], is_relevant: &impl Fn(u8) -> bool) -> Parsed {
        let Some((header, payload)) = bytes.split_first_chunk::<HEADER>() else {
            return Parsed::Incomplete;
        };
        let (length, _) = codec::parse_header(*header);
        let mut parsed = Parsed::Irrelevant;
        if !self.is_continuation {
            // The bytes after an empty packet do not belong to it.
            let Some(first) = (if length == 0 { Some(&OK) } else { payload.first() }) else {
                return Parsed::Incomplete;
            };
            if is_relevant(*first) {
                let Some(head) = payload.get(..length.min(MAX_HEAD)) else {
                    return Parsed::Incomplete;
                };
                let mut bytes = [0; MAX_HEAD];
                bytes.iter_mut().zip(head).for_each(|(slot, byte)| *slot = *byte);
                parsed = Parsed::Head(Head { length, bytes });
            }
        }
        self.body_left = length;
        self.is_continuation = length == MAX_PAYLOAD;
        parsed
    }
}
