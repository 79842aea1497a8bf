//! OK and ERR packets, which end commands and logins.

use crate::exchange::{ProtocolError, ServerError};

use super::Capabilities;
use super::codec::{self, Fields};

/// Maximum length of an error message, in bytes (`MYSQL_ERRMSG_SIZE`), with the terminating zero in
/// the client's memory.
pub const MAX_MESSAGE: usize = 512;

/// Status flags of a session ("SERVER_STATUS_flags_enum").
#[allow(missing_docs, reason = "their names are the protocol's")]
pub mod status {
    pub const IN_TRANSACTION: u16 = 1;
    pub const AUTOCOMMIT: u16 = 1 << 1;
    pub const MORE_RESULTS: u16 = 1 << 3;
    pub const CURSOR_EXISTS: u16 = 1 << 6;
    pub const LAST_ROW_SENT: u16 = 1 << 7;
    pub const SESSION_STATE_CHANGED: u16 = 1 << 14;
}

/// OK packet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OkPacket {
    /// Number of affected rows.
    pub affected_rows: u64,
    /// Result of `LAST_INSERT_ID()`.
    pub last_insert_id: u64,
    /// Status flags: see [`status`].
    pub status: u16,
    /// Number of warnings.
    pub warnings: u16,
    /// Human-readable information.
    pub info: Vec<u8>,
    /// Session state changes, as received.
    pub session_state: Vec<u8>,
}

impl OkPacket {
    /// Parses a payload, from its first byte, in a session with these capabilities.
    #[must_use]
    pub fn parse(payload: &[u8], capabilities: Capabilities) -> Option<Self> {
        let mut fields = Fields(
            payload.strip_prefix(&[codec::OK]).or_else(|| payload.strip_prefix(&[codec::EOF]))?,
        );
        let mut ok = Self {
            affected_rows: fields.integer()?,
            last_insert_id: fields.integer()?,
            ..Self::default()
        };
        ok.status = fields.u16()?;
        ok.warnings = fields.u16()?;
        if capabilities.has(Capabilities::SESSION_TRACK) {
            // The server omits an empty info if nothing follows it.
            ok.info = if fields.0.is_empty() { Vec::new() } else { fields.string()?.to_vec() };
            if ok.status & status::SESSION_STATE_CHANGED != 0 {
                ok.session_state = fields.string()?.to_vec();
            }
        } else {
            ok.info = fields.0.to_vec();
        }
        Some(ok)
    }

    /// Encodes the payload for a session with these capabilities.
    #[must_use]
    pub fn encode(&self, capabilities: Capabilities) -> Vec<u8> {
        let has_state = capabilities.has(Capabilities::SESSION_TRACK)
            && self.status & status::SESSION_STATE_CHANGED != 0;
        let flags =
            if has_state { self.status } else { self.status & !status::SESSION_STATE_CHANGED };
        let mut payload = vec![codec::OK];
        codec::put_integer(&mut payload, self.affected_rows);
        codec::put_integer(&mut payload, self.last_insert_id);
        payload.extend(flags.to_le_bytes());
        payload.extend(self.warnings.to_le_bytes());
        if !capabilities.has(Capabilities::SESSION_TRACK) {
            payload.extend_from_slice(&self.info);
        } else if has_state || !self.info.is_empty() {
            codec::put_string(&mut payload, &self.info);
        }
        if has_state {
            codec::put_string(&mut payload, &self.session_state);
        }
        payload
    }
}

/// Returns the status flags in the payload of an OK packet.
pub(super) fn ok_status(ok: &[u8], capabilities: Capabilities) -> Result<u16, ProtocolError> {
    OkPacket::parse(ok, capabilities)
        .map(|ok| ok.status)
        .ok_or_else(|| ProtocolError::protocol("the server's OK packet is malformed"))
}

/// Encodes the OK packet that ends a client's login, from the payload of the server's and the
/// capabilities of both sessions.
///
/// Its info is omitted: MariaDB 11.3 and later prove there that the server's certificate is
/// authentic, but the client sees another certificate.
#[must_use]
pub fn forward_ok(ok: &[u8], server: Capabilities, sequence: u8, client: Capabilities) -> Vec<u8> {
    let ok = OkPacket::parse(ok, server).unwrap_or_default();
    codec::packet(sequence, &OkPacket { info: Vec::new(), ..ok }.encode(client))
}

/// Encodes an ERR packet. SQLSTATE is padded or cut to five characters, and the message is cut at
/// its maximum length.
#[must_use]
pub fn error_packet(
    sequence: u8,
    number: u16,
    sqlstate: &str,
    message: &str,
    capabilities: Capabilities,
) -> Vec<u8> {
    let mut payload = vec![codec::ERR];
    payload.extend(number.to_le_bytes());
    if capabilities.has(Capabilities::PROTOCOL_41) {
        payload.push(b'#');
        payload.extend(sqlstate.bytes().chain(std::iter::repeat(b'0')).take(5));
    }
    payload.extend_from_slice(truncate(message, MAX_MESSAGE - 1).as_bytes());
    codec::packet(sequence, &payload)
}

/// Truncates a text to at most `length` bytes at a character boundary.
fn truncate(text: &str, length: usize) -> &str {
    text.get(..text.floor_char_boundary(length)).unwrap_or_default()
}

/// Number, SQLSTATE if present, and message of an ERR packet.
type ErrFields<'a> = (u16, Option<&'a [u8]>, &'a [u8]);

fn err_fields(payload: &[u8]) -> Option<ErrFields<'_>> {
    let mut fields = Fields(payload.strip_prefix(&[codec::ERR])?);
    let number = fields.u16()?;
    let mut marked = fields;
    match (marked.u8(), marked.bytes(5)) {
        (Some(b'#'), Some(sqlstate)) => Some((number, Some(sqlstate), marked.0)),
        _ => Some((number, None, fields.0)),
    }
}

/// Parses the payload of a server's ERR packet. Code and message of a malformed one are empty.
#[must_use]
pub fn error_fields(payload: &[u8]) -> ServerError {
    let (code, message) = match err_fields(payload) {
        Some((number, sqlstate, message)) => {
            let sqlstate = String::from_utf8_lossy(sqlstate.unwrap_or(b"HY000"));
            (format!("{number} ({sqlstate})"), String::from_utf8_lossy(message).into_owned())
        }
        None => (String::new(), String::new()),
    };
    ServerError { code, message, payload: payload.to_vec() }
}

/// Appends an explanation to the message of a server's ERR packet, cut at the maximum length.
/// Returns other payloads unchanged.
#[must_use]
pub fn with_explanation(payload: &[u8], text: &str) -> Vec<u8> {
    let Some((_, _, message)) = err_fields(payload) else {
        return payload.to_vec();
    };
    let room = (MAX_MESSAGE - 1).saturating_sub(message.len() + 2);
    let explanation = truncate(text, room);
    if explanation.is_empty() {
        return payload.to_vec();
    }
    [payload, b": ", explanation.as_bytes()].concat()
}

/// Adds the SQLSTATE to an ERR packet without one. Servers omit it before the login, but clients
/// expect it after.
#[must_use]
pub fn with_sqlstate(payload: &[u8], capabilities: Capabilities) -> Vec<u8> {
    match err_fields(payload) {
        Some((number, None, message)) => {
            let message = String::from_utf8_lossy(message);
            let packet = error_packet(0, number, sqlstate_of(number), &message, capabilities);
            packet.get(codec::HEADER..).unwrap_or_default().to_vec()
        }
        _ => payload.to_vec(),
    }
}

/// Returns the SQLSTATE of an error that occurs before the login ("Server Error Message
/// Reference").
fn sqlstate_of(number: u16) -> &'static str {
    match number {
        1040 => "08004",
        1203 | 1226 => "42000",
        _ => "HY000",
    }
}

#[cfg(test)]
mod tests;
