//! Encoding and decoding of messages.

use crate::exchange::{ProtocolError, ServerError};
use crate::read_buffer::ReadBuffer;

use super::CancelKey;

/// Maximum length of a startup packet without its length field, in bytes
/// (`MAX_STARTUP_PACKET_LENGTH` in `libpq/pqcomm.h`).
pub const MAX_STARTUP: usize = 10_000;

/// Maximum length of a login message with type and length, in bytes: PostgreSQL's limit for a
/// password (`PG_MAX_AUTH_TOKEN_LENGTH`), and twice libpq's limit for an error (`MAX_ERRLEN`).
pub const MAX_LOGIN_MESSAGE: usize = 65_536;

/// Maximum length of a client's SASL message, in bytes (`PG_MAX_SASL_MESSAGE_LENGTH`).
pub const MAX_SASL_MESSAGE: usize = 1024;

/// Request code of `SSLRequest`.
pub const SSL_REQUEST: u32 = 80_877_103;

/// Request code of `GSSENCRequest`.
pub const GSSENC_REQUEST: u32 = 80_877_104;

/// Request code of `CancelRequest`.
pub const CANCEL_REQUEST: u32 = 80_877_102;

/// Supported major protocol version.
pub const MAJOR: u16 = 3;

/// Latest minor protocol version.
pub const LATEST_MINOR: u16 = 2;

/// ALPN name of PostgreSQL's protocol (`PG_ALPN_PROTOCOL`).
pub const ALPN: &[u8] = b"postgresql";

/// First byte of a TLS record with a `ClientHello` (RFC 8446, section 5.1). No valid packet length
/// starts with it.
pub const TLS_HANDSHAKE: u8 = 0x16;

/// SQLSTATE `protocol_violation`.
pub const PROTOCOL_VIOLATION: &str = "08P01";

/// SQLSTATE `feature_not_supported`.
pub const NOT_SUPPORTED: &str = "0A000";

/// SQLSTATE `invalid_authorization_specification`.
pub const INVALID_AUTHORIZATION: &str = "28000";

/// SQLSTATE `invalid_password`.
pub const INVALID_PASSWORD: &str = "28P01";

/// Length of a message's type and length fields, in bytes.
pub(super) const HEADER: usize = 5;

/// Encodes a message: type, length, payload.
#[must_use]
pub fn message(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.push(kind);
    bytes.extend_from_slice(&length(payload));
    bytes.extend_from_slice(payload);
    bytes
}

/// Encodes a startup packet, which has no type.
pub(super) fn packet(body: &[u8]) -> Vec<u8> {
    let mut bytes = length(body).to_vec();
    bytes.extend_from_slice(body);
    bytes
}

/// Encodes a length field, which counts itself. No caller's payload comes near to the limit of 32
/// bits.
fn length(payload: &[u8]) -> [u8; 4] {
    u32::try_from(payload.len()).unwrap_or(u32::MAX).saturating_add(4).to_be_bytes()
}

/// Appends a zero-terminated string. Zeros within `text` would end it early and are omitted.
pub(super) fn put_cstr(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(text.bytes().filter(|byte| *byte != 0));
    bytes.push(0);
}

/// Splits at the first zero, which belongs to neither part.
pub(super) fn get_cstr(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (text, rest) = bytes.split_at_checked(end)?;
    Some((text, rest.get(1..)?))
}

/// Returns the version number of protocol 3 with a minor version.
pub(super) const fn version(minor: u16) -> u32 {
    (MAJOR as u32) << 16 | minor as u32
}

/// Encodes `SSLRequest`.
#[must_use]
pub fn ssl_request() -> Vec<u8> {
    packet(&SSL_REQUEST.to_be_bytes())
}

/// Encodes `CancelRequest`.
#[must_use]
pub fn cancel_request(key: &CancelKey) -> Vec<u8> {
    packet(&[&CANCEL_REQUEST.to_be_bytes(), key.to_bytes().as_slice()].concat())
}

/// Encodes `Authentication…` with its code.
pub(super) fn authentication(code: u32, data: &[u8]) -> Vec<u8> {
    message(b'R', &[&code.to_be_bytes(), data].concat())
}

/// Encodes `AuthenticationOk`.
#[must_use]
pub fn authentication_ok() -> Vec<u8> {
    authentication(0, &[])
}

/// Encodes `ParameterStatus`.
#[must_use]
pub fn parameter_status(name: &str, value: &str) -> Vec<u8> {
    let mut payload = Vec::with_capacity(name.len() + value.len() + 2);
    put_cstr(&mut payload, name);
    put_cstr(&mut payload, value);
    message(b'S', &payload)
}

/// Encodes `BackendKeyData`.
#[must_use]
pub fn backend_key_data(key: &CancelKey) -> Vec<u8> {
    message(b'K', &key.to_bytes())
}

/// Encodes `ReadyForQuery` with a status: `I` outside of a transaction, `T` within one, `E` within
/// a failed one.
#[must_use]
pub fn ready_for_query(status: u8) -> Vec<u8> {
    message(b'Z', &[status])
}

/// Encodes `NegotiateProtocolVersion`: the whole version, as PostgreSQL sends it and libpq reads
/// it, and the unrecognised options.
pub(super) fn negotiate_protocol_version(minor: u16, options: &[String]) -> Vec<u8> {
    let count = u32::try_from(options.len()).unwrap_or(u32::MAX);
    let mut payload = [version(minor).to_be_bytes(), count.to_be_bytes()].concat();
    options.iter().for_each(|option| put_cstr(&mut payload, option));
    message(b'v', &payload)
}

/// Encodes `Query`: one or more SQL statements.
#[must_use]
pub fn query(sql: &str) -> Vec<u8> {
    let mut payload = Vec::with_capacity(sql.len() + 1);
    put_cstr(&mut payload, sql);
    message(b'Q', &payload)
}

/// Encodes `Terminate`.
#[must_use]
pub fn terminate() -> Vec<u8> {
    message(b'X', &[])
}

/// Encodes the end of a successful login: `AuthenticationOk`, the server's parameters, the cancel
/// key, and `ReadyForQuery` outside of a transaction.
#[must_use]
pub fn login_ok(parameters: &[(String, String)], key: &CancelKey) -> Vec<u8> {
    let mut bytes = authentication_ok();
    for (name, value) in parameters {
        bytes.extend_from_slice(&parameter_status(name, value));
    }
    bytes.extend_from_slice(&backend_key_data(key));
    bytes.extend_from_slice(&ready_for_query(b'I'));
    bytes
}

/// Encodes `ErrorResponse` with severity (`FATAL`, `ERROR`), SQLSTATE, message, detail and hint.
#[must_use]
pub fn error_response(
    severity: &str,
    code: &str,
    message: &str,
    detail: Option<&str>,
    hint: Option<&str>,
) -> Vec<u8> {
    let fields = [
        (b'S', Some(severity)),
        (b'V', Some(severity)),
        (b'C', Some(code)),
        (b'M', Some(message)),
        (b'D', detail),
        (b'H', hint),
    ];
    let mut payload = Vec::new();
    for (field, text) in fields.into_iter().filter_map(|(field, text)| Some((field, text?))) {
        put_field(&mut payload, field, text);
    }
    payload.push(0);
    self::message(b'E', &payload)
}

fn put_field(payload: &mut Vec<u8>, field: u8, text: &str) {
    payload.push(field);
    put_cstr(payload, text);
}

/// Encodes a server's `ErrorResponse` from its payload. Adds the detail and the hint if the server
/// sent none.
#[must_use]
pub fn with_explanation(payload: &[u8], detail: &str, hint: &str) -> Vec<u8> {
    let mut explained = Vec::with_capacity(payload.len() + detail.len() + hint.len() + 5);
    let (mut has_detail, mut has_hint) = (false, false);
    for (field, text) in fields(payload) {
        has_detail |= field == b'D';
        has_hint |= field == b'H';
        explained.push(field);
        explained.extend_from_slice(text);
        explained.push(0);
    }
    if !has_detail {
        put_field(&mut explained, b'D', detail);
    }
    if !has_hint {
        put_field(&mut explained, b'H', hint);
    }
    explained.push(0);
    message(b'E', &explained)
}

/// Iterates over the fields of an `ErrorResponse` or `NoticeResponse`: a letter and a string each.
/// Stops at a string without terminator.
fn fields(payload: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        let (field, tail) = rest.split_first().filter(|(field, _)| **field != 0)?;
        let (text, tail) = get_cstr(tail)?;
        rest = tail;
        Some((*field, text))
    })
}

/// Parses the payload of a server's `ErrorResponse`. Missing fields are empty.
#[must_use]
pub fn error_fields(payload: &[u8]) -> ServerError {
    let text = |wanted| {
        let found = fields(payload).find(|(field, _)| *field == wanted);
        found.map(|(_, text)| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
    };
    ServerError { code: text(b'C'), message: text(b'M'), payload: payload.to_vec() }
}

/// Message in a buffer: its type, its payload, and the number of bytes to consume.
pub type Received<'a> = (u8, &'a [u8], usize);

/// Returns the first message of the buffer if it is complete.
///
/// # Errors
/// If its length field is less than 4, or the whole message is longer than `max` bytes.
pub fn read_message(
    buffer: &ReadBuffer,
    max: usize,
) -> Result<Option<Received<'_>>, ProtocolError> {
    let Some((header, rest)) = buffer.unread().split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let [kind, length @ ..] = *header;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    let total = length.saturating_add(1);
    let Some(payload) = length.checked_sub(4).filter(|_| total <= max) else {
        let kind = char::from(kind).escape_default();
        return Err(ProtocolError::protocol(format!(
            "length {length} of message type '{kind}' is not between 4 and {}",
            max - 1
        )));
    };
    Ok(rest.get(..payload).map(|payload| (kind, payload, total)))
}

#[cfg(test)]
mod tests;
