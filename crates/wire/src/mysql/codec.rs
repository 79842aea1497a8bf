//! Packets as bytes, both ways, and what they are made of.

use crate::exchange::ProtocolError;
use crate::read_buffer::ReadBuffer;

pub use super::response::{error_fields, error_packet, with_explanation};

/// The length and the sequence number of a packet, in bytes.
pub const HEADER: usize = 4;

/// The most that one packet holds behind its header, in bytes: what is that long goes on in the next ("MySQL Packets").
pub const MAX_PAYLOAD: usize = 0xff_ff_ff;

/// The most that connection attributes hold, in bytes (`performance_schema_session_connect_attrs_size` goes up to that, and a
/// server refuses more).
pub const MAX_ATTRIBUTES: usize = 65_536;

/// The most that a proof holds, in bytes: a token has some 2,000.
pub const MAX_PROOF: usize = 65_536;

/// The most that a name holds, in bytes: 80 characters are the most of a user's, of up to four bytes.
pub const MAX_NAME: usize = 320;

/// The most that a packet of a login holds behind its header, in bytes: names, proof, attributes, and what is between them.
pub const MAX_LOGIN_PACKET: usize = MAX_PROOF + MAX_ATTRIBUTES + 4 * MAX_NAME;

/// The first byte of an OK.
pub const OK: u8 = 0x00;

/// The first byte of what a proof needs more, of a server to its client (`AuthMoreData`).
pub const MORE: u8 = 0x01;

/// The first byte of a request for a file, in place of a count of columns.
pub const LOCAL_FILE: u8 = 0xfb;

/// The first byte of an EOF, of the OK that takes its place, and of a request for another proof (`AuthSwitchRequest`).
pub const EOF: u8 = 0xfe;

/// The first byte of an ERR.
pub const ERR: u8 = 0xff;

/// Commands: the first byte of a client's packet that begins one ("Command Phase", `enum_server_command`).
#[allow(missing_docs, reason = "their names are the protocol's")]
pub mod command {
    pub const QUIT: u8 = 0x01;
    pub const INIT_DB: u8 = 0x02;
    pub const QUERY: u8 = 0x03;
    pub const FIELD_LIST: u8 = 0x04;
    pub const CREATE_DB: u8 = 0x05;
    pub const DROP_DB: u8 = 0x06;
    pub const REFRESH: u8 = 0x07;
    pub const SHUTDOWN: u8 = 0x08;
    pub const STATISTICS: u8 = 0x09;
    pub const PROCESS_INFO: u8 = 0x0a;
    pub const PROCESS_KILL: u8 = 0x0c;
    pub const DEBUG: u8 = 0x0d;
    pub const PING: u8 = 0x0e;
    pub const CHANGE_USER: u8 = 0x11;
    pub const STMT_PREPARE: u8 = 0x16;
    pub const STMT_EXECUTE: u8 = 0x17;
    pub const STMT_SEND_LONG_DATA: u8 = 0x18;
    pub const STMT_CLOSE: u8 = 0x19;
    pub const STMT_RESET: u8 = 0x1a;
    pub const SET_OPTION: u8 = 0x1b;
    pub const STMT_FETCH: u8 = 0x1c;
    pub const RESET_CONNECTION: u8 = 0x1f;
    /// MariaDB's.
    pub const STMT_BULK_EXECUTE: u8 = 0xfa;
}

/// `ER_HANDSHAKE_ERROR` and its SQLSTATE.
pub const BAD_HANDSHAKE: (u16, &str) = (1043, "08S01");

/// `ER_ACCESS_DENIED_ERROR` and its SQLSTATE.
pub const ACCESS_DENIED: (u16, &str) = (1045, "28000");

/// `ER_NOT_SUPPORTED_AUTH_MODE` and its SQLSTATE: what speaks a protocol from before 4.1.
pub const OLD_PROTOCOL: (u16, &str) = (1251, "08004");

/// `ER_SECURE_TRANSPORT_REQUIRED` and its SQLSTATE.
pub const TLS_REQUIRED: (u16, &str) = (3159, "HY000");

/// `ER_UNKNOWN_ERROR` and its SQLSTATE.
pub const UNKNOWN_ERROR: (u16, &str) = (1105, "HY000");

/// A packet. Nothing that is built here comes near to what one packet can't hold.
#[must_use]
pub fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    let [a, b, c, ..] = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
    bytes.extend([a, b, c, sequence]);
    bytes.extend_from_slice(payload);
    bytes
}

/// A command, which begins a sequence.
fn begin(command: u8, rest: &[u8]) -> Vec<u8> {
    packet(0, &[&[command], rest].concat())
}

/// `COM_QUIT`.
#[must_use]
pub fn quit() -> Vec<u8> {
    begin(command::QUIT, &[])
}

/// `COM_PING`.
#[must_use]
pub fn ping() -> Vec<u8> {
    begin(command::PING, &[])
}

/// `COM_RESET_CONNECTION`.
#[must_use]
pub fn reset_connection() -> Vec<u8> {
    begin(command::RESET_CONNECTION, &[])
}

/// `COM_INIT_DB`.
#[must_use]
pub fn init_db(name: &str) -> Vec<u8> {
    begin(command::INIT_DB, name.as_bytes())
}

/// `COM_QUERY`: one statement of SQL, in a session with these capabilities. It has no attributes.
#[must_use]
pub fn query(sql: &str, capabilities: super::Capabilities) -> Vec<u8> {
    let none: &[u8] =
        if capabilities.has(super::Capabilities::QUERY_ATTRIBUTES) { &[0, 1] } else { &[] };
    begin(command::QUERY, &[none, sql.as_bytes()].concat())
}

/// The packet at the front of the inbox: its payload, and how much is to be consumed; if all of it is there.
///
/// # Errors
/// Where it is longer than a login's can be, or is not the one whose turn it is.
pub fn read_packet(
    inbox: &ReadBuffer,
    sequence: u8,
) -> Result<Option<(&[u8], usize)>, ProtocolError> {
    let Some((header, behind)) = inbox.unread().split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let (length, came) = header_of(*header);
    if length > MAX_LOGIN_PACKET {
        return Err(ProtocolError::protocol(format!(
            "a packet of a login says it is {length} bytes long; {MAX_LOGIN_PACKET} are the most"
        )));
    }
    if came != sequence {
        return Err(ProtocolError::protocol(format!(
            "packets are out of order: number {came} came in place of {sequence}"
        )));
    }
    Ok(behind.get(..length).map(|payload| (payload, HEADER + length)))
}

/// The length that a header gives, and its sequence number.
#[must_use]
pub(super) fn header_of(header: [u8; HEADER]) -> (usize, u8) {
    let [a, b, c, sequence] = header;
    (usize::try_from(u32::from_le_bytes([a, b, c, 0])).unwrap_or(usize::MAX), sequence)
}

/// A text and the zero behind it; zeros within it would end it early, and are left out.
pub(super) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(text.bytes().filter(|byte| *byte != 0));
    bytes.push(0);
}

/// `int<lenenc>`.
pub(super) fn put_integer(bytes: &mut Vec<u8>, value: u64) {
    let [a, b, c, ..] = value.to_le_bytes();
    match value {
        0..=250 => bytes.push(a),
        251..=0xffff => bytes.extend([0xfc, a, b]),
        0x1_0000..=0xff_ffff => bytes.extend([0xfd, a, b, c]),
        _ => {
            bytes.push(0xfe);
            bytes.extend(value.to_le_bytes());
        }
    }
}

/// `string<lenenc>`.
pub(super) fn put_string(bytes: &mut Vec<u8>, string: &[u8]) {
    put_integer(bytes, u64::try_from(string.len()).unwrap_or(u64::MAX));
    bytes.extend_from_slice(string);
}

/// What is left to read of a payload. Each `take` is `None` where there is less than it takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    /// So many bytes.
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// So many bytes, as an array.
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// `int<lenenc>`. What stands for NULL or an error is no integer.
    pub(super) fn integer(&mut self) -> Option<u64> {
        match self.u8()? {
            small @ 0..=250 => Some(small.into()),
            0xfc => self.u16().map(u64::from),
            0xfd => self.array().map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]).into()),
            0xfe => self.array().map(u64::from_le_bytes),
            _ => None,
        }
    }

    /// `string<lenenc>`.
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.integer()?).ok()?;
        self.bytes(length)
    }

    /// What stands before the next zero, which goes too.
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = self.bytes(end)?;
        self.bytes(1)?;
        Some(text)
    }

    /// What stands before the next zero, or else before the end.
    pub(super) fn text_or_rest(&mut self) -> &'a [u8] {
        self.text().unwrap_or_else(|| std::mem::take(&mut self.0))
    }
}

#[cfg(test)]
mod tests;
