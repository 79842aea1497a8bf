//! Percent-encoding of SigV4: all bytes but `A–Z a–z 0–9 - . _ ~`, in upper-case hexadecimal.

use std::borrow::Cow;

use crate::credentials::wipe;

const UPPER: &[u8; 16] = b"0123456789ABCDEF";
const LOWER: &[u8; 16] = b"0123456789abcdef";

/// Encoding of a byte: its one or three characters, and their number.
type Encoded = [u8; 4];

const QUERY: [Encoded; 256] = encodings(false);
const PATH: [Encoded; 256] = encodings(true);

/// Builds a table that escapes all bytes but the unreserved ones of RFC 3986, section 2.3, and
/// optionally slashes.
#[allow(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which rejects an index out of bounds"
)]
const fn encodings(slashes: bool) -> [Encoded; 256] {
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

fn encoding(table: &[Encoded; 256], byte: u8) -> Encoded {
    table.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Unreserved bytes, in a separate table: parsing a token mostly searches for the first byte that
/// is not.
#[allow(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which rejects an index out of bounds"
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
    encode_with(out, text, &QUERY);
}

/// Appends `text` percent-encoded, except for slashes.
pub fn encode_path(out: &mut String, text: &str) {
    encode_with(out, text, &PATH);
}

/// Number of bytes encoded at a time.
const CHUNK: usize = 256;

/// Copies all four bytes of each encoding and advances by its length. That avoids a branch whose
/// mispredictions would dominate the cost of encoding the Base64 of a session token.
fn encode_with(out: &mut String, text: &str, table: &[Encoded; 256]) {
    if text.bytes().all(|byte| matches!(encoding(table, byte), [.., 1])) {
        return out.push_str(text);
    }
    let mut buffer = [0; 3 * CHUNK + 1];
    for chunk in text.as_bytes().chunks(CHUNK) {
        let mut end = 0;
        for byte in chunk {
            let encoding @ [.., length] = encoding(table, *byte);
            if let Some(room) = buffer.get_mut(end..end + encoding.len()) {
                room.copy_from_slice(&encoding);
            }
            end += usize::from(length);
        }
        out.push_str(
            buffer
                .get(..end)
                .and_then(|buffer| std::str::from_utf8(buffer).ok())
                .unwrap_or_default(),
        );
    }
    wipe(&mut buffer);
}

/// Decodes percent-encoding; `+` stays a plus. Returns `None` if `%` is not followed by two
/// hexadecimal digits, or the result is not UTF-8.
#[must_use]
pub fn decode(text: &str) -> Option<Cow<'_, str>> {
    Decoded::new(text).map(|reading| reading.text)
}

/// Splits `text` before the first byte that needs escaping.
pub(crate) fn split_plain(text: &str) -> (&str, &str) {
    text.split_at_checked(plain(text.as_bytes())).unwrap_or((text, ""))
}

/// Number of leading bytes that need no escaping.
fn plain(text: &[u8]) -> usize {
    text.iter().position(|byte| !unreserved(*byte)).unwrap_or(text.len())
}

/// A percent-encoded text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EncodedText<'a> {
    pub(crate) text: &'a str,
    /// True if no byte needs escaping.
    pub(crate) plain: bool,
}

impl<'a> EncodedText<'a> {
    /// Splits `text` at the first `end`, an ASCII byte. The second part is `None` without an `end`.
    pub(crate) fn split(end: u8, text: &'a str) -> (Self, Option<&'a str>) {
        // Most parts of a token need no escaping, so the first byte that does is `end`.
        let (plain, tail) = split_plain(text);
        match tail.as_bytes().first() {
            None => (Self { text: plain, plain: true }, None),
            Some(byte) if *byte == end => (Self { text: plain, plain: true }, tail.get(1..)),
            Some(_) => {
                let (text, after) = text
                    .split_once(char::from(end))
                    .map_or((text, None), |(text, after)| (text, Some(after)));
                (Self { text, plain: false }, after)
            }
        }
    }

    /// `None` as in [`decode`].
    pub(crate) fn decode(self) -> Option<Decoded<'a>> {
        if self.plain {
            Some(Decoded { text: Cow::Borrowed(self.text), canonical: true })
        } else {
            Decoded::new(self.text)
        }
    }
}

/// Decoded text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decoded<'a> {
    /// The decoded text.
    pub(crate) text: Cow<'a, str>,
    /// True if the input is exactly what [`encode`] writes.
    pub(crate) canonical: bool,
}

impl<'a> Decoded<'a> {
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

/// Formats a SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn hex32(bytes: &[u8; 32]) -> [u8; 64] {
    // Computed, not looked up: the compiler vectorizes it for sixteen bytes at a time.
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

/// Parses exactly 64 lower-case hexadecimal digits.
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

/// Value of each hexadecimal digit; other bytes have a value above 15.
#[allow(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which rejects an index out of bounds"
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
