//! Percent-encoding as SigV4 has it: all but `A–Z a–z 0–9 - . _ ~`, in upper-case hexadecimal.

use std::borrow::Cow;

const UPPER: &[u8; 16] = b"0123456789ABCDEF";
const LOWER: &[u8; 16] = b"0123456789abcdef";

/// What stands for itself in a URI (RFC 3986, section 2.3).
const UNRESERVED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[allow(clippy::cast_possible_truncation, reason = "the loop ends at 255")]
        let character = byte as u8;
        table[byte] = character.is_ascii_alphanumeric() || matches!(character, b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    table
};

fn unreserved(byte: u8) -> bool {
    UNRESERVED.get(usize::from(byte)).copied().unwrap_or(false)
}

fn digit(digits: &[u8; 16], value: u8) -> u8 {
    digits.get(usize::from(value & 15)).copied().unwrap_or(b'0')
}

/// Appends `text` percent-encoded. Runs of unreserved characters are copied whole.
pub fn encode(out: &mut String, text: &str) {
    encode_but(out, text, |_| false);
}

/// Appends `text` percent-encoded, slashes left as they are.
pub fn encode_path(out: &mut String, text: &str) {
    encode_but(out, text, |byte| byte == b'/');
}

fn encode_but(out: &mut String, text: &str, keep: impl Fn(u8) -> bool) {
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| !unreserved(byte) && !keep(byte)) {
        let (plain, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(plain);
        let width = tail.chars().next().map_or(1, char::len_utf8);
        let (escaped, tail) = tail.split_at_checked(width).unwrap_or((tail, ""));
        for byte in escaped.bytes() {
            out.extend([b'%', digit(UPPER, byte >> 4), digit(UPPER, byte)].map(char::from));
        }
        rest = tail;
    }
    out.push_str(rest);
}

/// Undoes percent-encoding; `+` stays a plus. `None` where `%` is not followed by two hexadecimal digits, or the
/// result is not UTF-8.
#[must_use]
pub fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => nibble(bytes.next()?)? << 4 | nibble(bytes.next()?)?,
            other => other,
        });
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

/// Whether `text` is percent-encoded exactly as [`encode`] would have written it.
#[must_use]
pub fn is_canonical(text: &str) -> bool {
    let mut bytes = text.bytes();
    let upper = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
    while let Some(byte) = bytes.next() {
        if unreserved(byte) {
            continue;
        }
        match (byte, bytes.next(), bytes.next()) {
            (b'%', Some(high), Some(low)) if upper(high) && upper(low) => {
                if nibble(high).zip(nibble(low)).is_none_or(|(high, low)| unreserved(high << 4 | low)) {
                    return false;
                }
            }
            _ => return false,
        }
    }
    true
}

/// A SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn hex32(bytes: &[u8; 32]) -> [u8; 64] {
    let mut out = [b'0'; 64];
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        if let [high, low] = pair {
            (*high, *low) = (digit(LOWER, byte >> 4), digit(LOWER, *byte));
        }
    }
    out
}

/// Reads exactly 64 lower-case hexadecimal digits.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    let bytes = text.as_bytes();
    if bytes.len() != 64 || bytes.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(out)
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
