//! Encoding and decoding of packets and their fields.

use crate::exchange::ProtocolError;
use crate::read_buffer::ReadBuffer;

/// Length of a packet's header, in bytes: payload length and sequence number.
pub const HEADER: usize = 4;

/// Maximum length of a packet's payload, in bytes. A payload of this length continues in the next
/// packet ("MySQL Packets").
pub const MAX_PAYLOAD: usize = 0xff_ff_ff;

/// Maximum length of connection attributes, in bytes: the limit of
/// `performance_schema_session_connect_attrs_size`. Servers reject more.
pub const MAX_ATTRIBUTES: usize = 65_536;

/// Maximum length of a proof, in bytes. A token has about 2,000.
pub const MAX_PROOF: usize = 65_536;

/// Maximum length of a name, in bytes: a user name has up to 80 characters of up to four bytes.
pub const MAX_NAME: usize = 320;

/// Maximum length of a login packet's payload, in bytes: names, proof, attributes, and fixed
/// fields.
pub const MAX_LOGIN_PACKET: usize = MAX_PROOF + MAX_ATTRIBUTES + 4 * MAX_NAME;

/// First byte of an OK packet.
pub const OK: u8 = 0x00;

/// First byte of `AuthMoreData`.
pub const MORE_DATA: u8 = 0x01;

/// First byte of a request for a file (`LOCAL INFILE`), in place of a column count.
pub const LOCAL_FILE: u8 = 0xfb;

/// First byte of an EOF packet, of the OK packet that replaces it, and of `AuthSwitchRequest`.
pub const EOF: u8 = 0xfe;

/// First byte of an ERR packet.
pub const ERR: u8 = 0xff;

/// First bytes of commands ("Command Phase", `enum_server_command`).
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
    /// MariaDB only.
    pub const STMT_BULK_EXECUTE: u8 = 0xfa;
}

/// `ER_HANDSHAKE_ERROR` and its SQLSTATE.
pub const BAD_HANDSHAKE: (u16, &str) = (1043, "08S01");

/// `ER_ACCESS_DENIED_ERROR` and its SQLSTATE.
pub const ACCESS_DENIED: (u16, &str) = (1045, "28000");

/// `ER_NOT_SUPPORTED_AUTH_MODE` and its SQLSTATE, for protocols from before MySQL 4.1.
pub const OLD_PROTOCOL: (u16, &str) = (1251, "08004");

/// `ER_SECURE_TRANSPORT_REQUIRED` and its SQLSTATE.
pub const TLS_REQUIRED: (u16, &str) = (3159, "HY000");

/// `ER_UNKNOWN_ERROR` and its SQLSTATE.
pub const UNKNOWN_ERROR: (u16, &str) = (1105, "HY000");

/// Encodes a packet. No caller's payload comes near to the maximum length.
#[must_use]
pub fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    let [a, b, c, ..] = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
    bytes.extend([a, b, c, sequence]);
    bytes.extend_from_slice(payload);
    bytes
}

/// Encodes a command, which starts a sequence.
fn command_packet(command: u8, rest: &[u8]) -> Vec<u8> {
    packet(0, &[&[command], rest].concat())
}

/// Encodes `COM_QUIT`.
#[must_use]
pub fn quit() -> Vec<u8> {
    command_packet(command::QUIT, &[])
}

/// Encodes `COM_RESET_CONNECTION`.
#[must_use]
pub fn reset_connection() -> Vec<u8> {
    command_packet(command::RESET_CONNECTION, &[])
}

/// Encodes `COM_INIT_DB`.
#[must_use]
pub fn init_db(name: &str) -> Vec<u8> {
    command_packet(command::INIT_DB, name.as_bytes())
}

/// Encodes `COM_QUERY` without query attributes, in a session with these capabilities.
#[must_use]
pub fn query(sql: &str, capabilities: super::Capabilities) -> Vec<u8> {
    let attributes: &[u8] =
        if capabilities.has(super::Capabilities::QUERY_ATTRIBUTES) { &[0, 1] } else { &[] };
    command_packet(command::QUERY, &[attributes, sql.as_bytes()].concat())
}

/// Returns the payload of the first packet and the number of bytes to consume, if the packet is
/// complete.
///
/// # Errors
/// If it is longer than a login packet can be, or has another sequence number.
pub fn read_packet(
    buffer: &ReadBuffer,
    sequence: u8,
) -> Result<Option<(&[u8], usize)>, ProtocolError> {
    let Some((header, rest)) = buffer.unread().split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let (length, received) = parse_header(*header);
    if length > MAX_LOGIN_PACKET {
        return Err(ProtocolError::protocol(format!(
            "a login packet of {length} bytes exceeds the maximum of {MAX_LOGIN_PACKET} bytes"
        )));
    }
    if received != sequence {
        return Err(ProtocolError::protocol(format!(
            "packets are out of order: received number {received} instead of {sequence}"
        )));
    }
    Ok(rest.get(..length).map(|payload| (payload, HEADER + length)))
}

/// Returns payload length and sequence number.
pub(super) fn parse_header(header: [u8; HEADER]) -> (usize, u8) {
    let [a, b, c, sequence] = header;
    (usize::try_from(u32::from_le_bytes([a, b, c, 0])).unwrap_or(usize::MAX), sequence)
}

/// Appends a zero-terminated string. Zeros within `text` would end it early and are omitted.
pub(super) fn put_cstr(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(text.bytes().filter(|byte| *byte != 0));
    bytes.push(0);
}

/// Appends `int<lenenc>`.
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

/// Appends `string<lenenc>`.
pub(super) fn put_string(bytes: &mut Vec<u8>, string: &[u8]) {
    put_integer(bytes, u64::try_from(string.len()).unwrap_or(u64::MAX));
    bytes.extend_from_slice(string);
}

/// Unread part of a payload. Methods return `None` if fewer bytes are left than they read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    /// Reads `count` bytes.
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Reads `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
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

    /// Reads `int<lenenc>`. The markers of NULL and ERR are not integers.
    pub(super) fn integer(&mut self) -> Option<u64> {
        match self.u8()? {
            small @ 0..=250 => Some(small.into()),
            0xfc => self.u16().map(u64::from),
            0xfd => self.array().map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]).into()),
            0xfe => self.array().map(u64::from_le_bytes),
            _ => None,
        }
    }

    /// Reads `string<lenenc>`.
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.integer()?).ok()?;
        self.bytes(length)
    }

    /// Reads a zero-terminated string.
    pub(super) fn cstr(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = self.bytes(end)?;
        self.bytes(1)?;
        Some(text)
    }

    /// Reads a zero-terminated string, or else all bytes.
    pub(super) fn cstr_or_rest(&mut self) -> &'a [u8] {
        self.cstr().unwrap_or_else(|| std::mem::take(&mut self.0))
    }
}

#[cfg(test)]
mod tests;
