//! `KILL`, which names a session by the number that it was told: ours.

use std::ops::Range;

use crate::mysql::codec::{self, HEADER, command};
use crate::mysql::{Capabilities, codec::Fields};
use crate::sql::word;

/// The longest packet that is looked at for a `KILL`, in bytes: the statement is short, and what may stand in front of it is too.
pub(super) const MAX_KILL: usize = 1024;

/// The end of a session or of its statement, asked for from another: `KILL [HARD | SOFT] [CONNECTION | QUERY] n` with white space and
/// comments in front, or `COM_PROCESS_KILL`.
///
/// A `KILL` behind other statements, of an expression, of a user, or with attributes of a query, is none: the server takes it as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// The number that it names.
    pub connection: u64,
    /// The length of the packet, its header included.
    pub length: usize,
    /// Where the number stands in the payload.
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Digits(Range<usize>),
    /// The four bytes behind the command.
    Binary,
}

impl Kill {
    /// In the payload of a `COM_QUERY` or a `COM_PROCESS_KILL`.
    pub(super) fn find(payload: &[u8], capabilities: Capabilities) -> Option<Self> {
        let length = HEADER + payload.len();
        let (command, mut text) = payload.split_first()?;
        if *command == command::PROCESS_KILL {
            let connection = u32::from_le_bytes(text.try_into().ok()?).into();
            return Some(Self { connection, length, place: Place::Binary });
        }
        if capabilities.has(Capabilities::QUERY_ATTRIBUTES) {
            text = text.strip_prefix(&[0, 1])?;
        }
        let digits = statement(text)?;
        let start = payload.len() - digits.len();
        let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, behind) = digits.split_at_checked(count)?;
        let connection = str::from_utf8(digits).ok()?.parse().ok()?;
        let ends = behind.trim_ascii_start().first().is_none_or(|byte| *byte == b';');
        ends.then_some(Self { connection, length, place: Place::Digits(start..start + count) })
    }

    /// The packet, as it came, with another session's number.
    #[must_use]
    pub fn replaced(&self, packet: &[u8], connection: u32) -> Vec<u8> {
        let payload = packet.get(HEADER..).unwrap_or_default();
        match &self.place {
            Place::Binary => codec::packet(
                0,
                &[&[command::PROCESS_KILL], connection.to_le_bytes().as_slice()].concat(),
            ),
            Place::Digits(digits) => {
                let front = payload.get(..digits.start).unwrap_or_default();
                let behind = payload.get(digits.end..).unwrap_or_default();
                codec::packet(0, &[front, connection.to_string().as_bytes(), behind].concat())
            }
        }
    }
}

/// What stands behind the words of a `KILL`.
fn statement(text: &[u8]) -> Option<&[u8]> {
    let mut rest = word(blank(text)?, b"KILL")?;
    for options in [[b"HARD".as_slice(), b"SOFT"], [b"CONNECTION", b"QUERY"]] {
        rest = options.iter().find_map(|option| word(rest, option)).unwrap_or(rest);
    }
    Some(rest)
}

/// What stands behind white space and comments, but those that are run (`/*!`).
fn blank(text: &[u8]) -> Option<&[u8]> {
    let mut rest = Fields(text.trim_ascii_start());
    loop {
        let behind = if let Some(comment) = rest.0.strip_prefix(b"/*") {
            if comment.first() == Some(&b'!') || comment.starts_with(b"M!") {
                return None;
            }
            let end = comment.windows(2).position(|pair| pair == b"*/")?;
            comment.get(end + 2..)?
        } else if rest.0.starts_with(b"#") || rest.0.starts_with(b"-- ") {
            let end = rest.0.iter().position(|byte| *byte == b'\n')?;
            rest.0.get(end + 1..)?
        } else {
            return Some(rest.0);
        };
        rest = Fields(behind.trim_ascii_start());
    }
}
