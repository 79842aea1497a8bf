//! Percent-encoding as SigV4 has it: all but `A–Z a–z 0–9 - . _ ~`, in upper-case hexadecimal.

use std::borrow::Cow;

use crate::credentials::wipe;

const UPPER: &[u8; 16] = b"0123456789ABCDEF";
const LOWER: &[u8; 16] = b"0123456789abcdef";

/// How a byte is spelled: the one or three characters of it, and their number.
type Spelling = [u8; 4];

const QUERY: [Spelling; 256] = spellings(false);
const PATH: [Spelling; 256] = spellings(true);

/// All bytes but those that stand for themselves in a URI (RFC 3986, section 2.3), and on request slashes, are escaped.
#[allow(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which refuses an index out of bounds"
)]
const fn spellings(slashes: bool) -> [Spelling; 256] {
    let mut table = [[0; 4]; 256];
    let mut byte = 0;
    while byte < 256 {
        let character = byte as u8;
        let plain = character.is_ascii_alphanumeric()
            || matches!(character, b'-' | b'.' | b'_' | b'~')
            || (slashes && character == b'/');
        table[byte] = if plain {
            [character, 0, 0, 1]
        } else {
            [b'%', UPPER[byte >> 4], UPPER[byte & 15], 3]
        };
        byte += 1;
    }
    table
}

fn spelling(table: &[Spelling; 256], byte: u8) -> Spelling {
    table.get(usize::from(byte)).copied().unwrap_or_default()
}

/// What stands for itself, in a table of its own: most of reading a token is looking for the first byte that doesn't.
#[allow(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which refuses an index out of bounds"
)]
const UNRESERVED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = QUERY[byte][3] == 1;
        byte += 1;
    }
    table
};

fn unreserved(byte: u8) -> bool {
    UNRESERVED.get(usize::from(byte)).copied().unwrap_or(false)
}

/// Appends `text` percent-encoded.
pub fn encode(out: &mut String, text: &str) {
    spell(out, text, &QUERY);
}

/// Appends `text` percent-encoded, slashes left as they are.
pub fn encode_path(out: &mut String, text: &str) {
    spell(out, text, &PATH);
}

/// How many bytes are spelled at a time.
const CHUNK: usize = 256;

/// Copies each spelling whole, and lets its length decide where the next one goes: there is no branch to be mispredicted,
/// which is most of what escaping the Base64 of a session token would cost.
fn spell(out: &mut String, text: &str, table: &[Spelling; 256]) {
    if text.bytes().all(|byte| matches!(spelling(table, byte), [.., 1])) {
        return out.push_str(text);
    }
    let mut spelled = [0; 3 * CHUNK + 1];
    for chunk in text.as_bytes().chunks(CHUNK) {
        let mut end = 0;
        for byte in chunk {
            let spelling @ [.., length] = spelling(table, *byte);
            if let Some(room) = spelled.get_mut(end..end + spelling.len()) {
                room.copy_from_slice(&spelling);
            }
            end += usize::from(length);
        }
        out.push_str(
            spelled
                .get(..end)
                .and_then(|spelled| std::str::from_utf8(spelled).ok())
                .unwrap_or_default(),
        );
    }
    wipe(&mut spelled);
}

/// Undoes percent-encoding; `+` stays a plus. `None` where `%` is not followed by two hexadecimal digits, or the
/// result is not UTF-8.
#[must_use]
pub fn decode(text: &str) -> Option<Cow<'_, str>> {
    Reading::new(text).map(|reading| reading.text)
}

/// What stands before the first byte that needs escaping, and the rest.
pub(crate) fn split_plain(text: &str) -> (&str, &str) {
    text.split_at_checked(plain(text.as_bytes())).unwrap_or((text, ""))
}

/// How many bytes at the start need no escaping.
fn plain(text: &[u8]) -> usize {
    text.iter().position(|byte| !unreserved(*byte)).unwrap_or(text.len())
}

/// A piece of percent-encoded text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written<'a> {
    pub(crate) text: &'a str,
    /// Whether nothing in it needs escaping.
    pub(crate) plain: bool,
}

impl<'a> Written<'a> {
    /// What stands before the first `end`, which is ASCII, and what stands behind it, if it is there.
    pub(crate) fn before(end: u8, text: &'a str) -> (Self, Option<&'a str>) {
        // Nearly all of a token needs no escaping: what ends that is the end.
        let (plain, tail) = split_plain(text);
        match tail.as_bytes().first() {
            None => (Self { text: plain, plain: true }, None),
            Some(byte) if *byte == end => (Self { text: plain, plain: true }, tail.get(1..)),
            Some(_) => {
                let (text, behind) = text
                    .split_once(char::from(end))
                    .map_or((text, None), |(text, behind)| (text, Some(behind)));
                (Self { text, plain: false }, behind)
            }
        }
    }

    /// `None` as in [`decode`].
    pub(crate) fn read(self) -> Option<Reading<'a>> {
        if self.plain {
            Some(Reading { text: Cow::Borrowed(self.text), canonical: true })
        } else {
            Reading::new(self.text)
        }
    }
}

/// Percent-encoded text, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading<'a> {
    /// What it says.
    pub(crate) text: Cow<'a, str>,
    /// Whether it is written exactly as [`encode`] writes it.
    pub(crate) canonical: bool,
}

impl<'a> Reading<'a> {
    /// `None` as in [`decode`].
    fn new(text: &'a str) -> Option<Self> {
        if plain(text.as_bytes()) == text.len() {
            return Some(Self { text: Cow::Borrowed(text), canonical: true });
        }
        let mut out = Vec::with_capacity(text.len());
        let mut canonical = true;
        let mut rest = text.as_bytes();
        loop {
            let (run, tail) = rest.split_at_checked(plain(rest))?;
            out.extend_from_slice(run);
            let (byte, after) = match tail {
                [b'%', high, low, after @ ..] => {
                    let byte = nibble(*high)? << 4 | nibble(*low)?;
                    canonical &= !(high.is_ascii_lowercase()
                        || low.is_ascii_lowercase()
                        || unreserved(byte));
                    (byte, after)
                }
                [b'%', ..] => return None,
                [] => break,
                [byte, after @ ..] => {
                    canonical = false;
                    (*byte, after)
                }
            };
            out.push(byte);
            rest = after;
        }
        Some(Self { text: Cow::Owned(String::from_utf8(out).ok()?), canonical })
    }
}

/// A SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn hex32(bytes: &[u8; 32]) -> [u8; 64] {
    // Reckoned, not looked up: that is done for sixteen bytes at a time.
    let digit = |value: u8| value + if value < 10 { b'0' } else { b'a' - 10 };
    let mut out = [[0; 2]; 32];
    for (pair, byte) in out.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
    out.as_flattened().try_into().unwrap_or([b'0'; 64])
}

/// Appends a SHA-256 in lower-case hexadecimal.
pub(super) fn push_hex(out: &mut String, bytes: &[u8; 32]) {
    out.push_str(std::str::from_utf8(&hex32(bytes)).unwrap_or_default());
}

/// Reads exactly 64 lower-case hexadecimal digits.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let (digits, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let mut out = [0; 32];
    let upper = text.bytes().fold(false, |upper, digit| upper | digit.is_ascii_uppercase());
    if digits.len() != out.len() || upper {
        return None;
    }
    for (byte, [high, low]) in out.iter_mut().zip(digits) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(out)
}

/// What each hexadecimal digit stands for; nothing above 15 is one.
#[allow(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which refuses an index out of bounds"
)]
const NIBBLES: [u8; 256] = {
    let mut table = [u8::MAX; 256];
    let mut value = 0;
    while value < 16 {
        table[UPPER[value] as usize] = value as u8;
        table[LOWER[value] as usize] = value as u8;
        value += 1;
    }
    table
};

fn nibble(digit: u8) -> Option<u8> {
    NIBBLES.get(usize::from(digit)).copied().filter(|value| *value < 16)
}

#[cfg(test)]
mod tests;
