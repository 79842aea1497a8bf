//! What ends a command or a login: OK and ERR.

use crate::exchange::ServerError;

use super::Capabilities;
use super::client::Session;
use super::codec::{self, Fields};

/// The most that an error's message holds, in bytes (`MYSQL_ERRMSG_SIZE`); its last byte is a zero in a client's memory.
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

/// An OK.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OkPacket {
    /// How many rows were changed.
    pub affected: u64,
    /// What `LAST_INSERT_ID()` gives.
    pub insert_id: u64,
    /// The session's status: see [`status`].
    pub status: u16,
    /// How many warnings there are.
    pub warnings: u16,
    /// A text for people.
    pub info: Vec<u8>,
    /// What changed in the session, as it came.
    pub changes: Vec<u8>,
}

impl OkPacket {
    /// From its payload, first byte and all, in a session with these capabilities.
    #[must_use]
    pub fn parse(payload: &[u8], capabilities: Capabilities) -> Option<Self> {
        let mut fields = Fields(
            payload.strip_prefix(&[codec::OK]).or_else(|| payload.strip_prefix(&[codec::EOF]))?,
        );
        let mut okay =
            Self { affected: fields.integer()?, insert_id: fields.integer()?, ..Self::default() };
        okay.status = fields.u16()?;
        okay.warnings = fields.u16()?;
        if capabilities.has(Capabilities::SESSION_TRACK) {
            // The server leaves an empty info out where nothing follows it.
            okay.info = if fields.0.is_empty() { Vec::new() } else { fields.string()?.to_vec() };
            if okay.status & status::SESSION_STATE_CHANGED != 0 {
                okay.changes = fields.string()?.to_vec();
            }
        } else {
            okay.info = fields.0.to_vec();
        }
        Some(okay)
    }

    /// Its payload, for whoever has these capabilities.
    #[must_use]
    pub fn encode(&self, capabilities: Capabilities) -> Vec<u8> {
        let tracks = capabilities.has(Capabilities::SESSION_TRACK)
            && self.status & status::SESSION_STATE_CHANGED != 0;
        let flags = if tracks { self.status } else { self.status & !status::SESSION_STATE_CHANGED };
        let mut payload = vec![codec::OK];
        codec::put_integer(&mut payload, self.affected);
        codec::put_integer(&mut payload, self.insert_id);
        payload.extend(flags.to_le_bytes());
        payload.extend(self.warnings.to_le_bytes());
        if !capabilities.has(Capabilities::SESSION_TRACK) {
            payload.extend_from_slice(&self.info);
        } else if tracks || !self.info.is_empty() {
            codec::put_string(&mut payload, &self.info);
        }
        if tracks {
            codec::put_string(&mut payload, &self.changes);
        }
        payload
    }
}

/// The OK that ends a client's login: what the server said to ours, as the client's capabilities have it.
///
/// A text in it is left out: MariaDB from 11.3 on proves there that its certificate is its own, and the client sees another.
#[must_use]
pub fn login_ok(session: &Session, sequence: u8, client: Capabilities) -> Vec<u8> {
    let said = OkPacket::parse(&session.ok, session.capabilities).unwrap_or_default();
    let okay = OkPacket { info: Vec::new(), status: session.status, ..said };
    codec::packet(sequence, &okay.encode(client))
}

/// ERR: number, SQLSTATE of five characters, and what people read, cut where it is too long.
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
    payload.extend_from_slice(cut(message, MAX_MESSAGE - 1).as_bytes());
    codec::packet(sequence, &payload)
}

/// As much of a text as has room, whole characters.
fn cut(text: &str, room: usize) -> &str {
    text.get(..text.floor_char_boundary(room)).unwrap_or_default()
}

/// What stands in an ERR: its number, its SQLSTATE where it has one, its message.
type Parts<'a> = (u16, Option<&'a [u8]>, &'a [u8]);

fn parts(payload: &[u8]) -> Option<Parts<'_>> {
    let mut fields = Fields(payload.strip_prefix(&[codec::ERR])?);
    let number = fields.u16()?;
    let mut marked = fields;
    match (marked.u8(), marked.bytes(5)) {
        (Some(b'#'), Some(sqlstate)) => Some((number, Some(sqlstate), marked.0)),
        _ => Some((number, None, fields.0)),
    }
}

/// What a server's ERR says, from its payload. One that can't be read has neither code nor message.
#[must_use]
pub fn error_fields(payload: &[u8]) -> ServerError {
    let (code, message) = match parts(payload) {
        Some((number, sqlstate, message)) => {
            let sqlstate = String::from_utf8_lossy(sqlstate.unwrap_or(b"HY000"));
            (format!("{number} ({sqlstate})"), String::from_utf8_lossy(message).into_owned())
        }
        None => (String::new(), String::new()),
    };
    ServerError { code, message, payload: payload.to_vec() }
}

/// The number of a server's error, from its payload.
#[must_use]
pub fn error_number(payload: &[u8]) -> Option<u16> {
    parts(payload).map(|(number, ..)| number)
}

/// A server's ERR with an explanation behind its message, cut where the two have no room. What isn't an ERR stays as it is.
#[must_use]
pub fn with_explanation(payload: &[u8], text: &str) -> Vec<u8> {
    let Some((_, _, message)) = parts(payload) else {
        return payload.to_vec();
    };
    let room = (MAX_MESSAGE - 1).saturating_sub(message.len() + 2);
    let explanation = cut(text, room);
    if explanation.is_empty() {
        return payload.to_vec();
    }
    [payload, b": ", explanation.as_bytes()].concat()
}

/// An ERR without a SQLSTATE, as servers send it ahead of a login, with one: so a client that has logged in expects it.
#[must_use]
pub fn with_sqlstate(payload: &[u8], capabilities: Capabilities) -> Vec<u8> {
    match parts(payload) {
        Some((number, None, message)) => {
            let message = String::from_utf8_lossy(message);
            let packet = error_packet(0, number, sqlstate_of(number), &message, capabilities);
            packet.get(codec::HEADER..).unwrap_or_default().to_vec()
        }
        _ => payload.to_vec(),
    }
}

/// The SQLSTATE of what comes ahead of a login ("Server Error Message Reference").
fn sqlstate_of(number: u16) -> &'static str {
    match number {
        1040 => "08004",
        1203 | 1226 => "42000",
        _ => "HY000",
    }
}

#[cfg(test)]
mod tests;
