//! Messages as bytes, both ways.

use crate::exchange::{ProtocolError, ServerError};
use crate::read_buffer::ReadBuffer;

use super::CancelKey;

/// The most a packet without a kind holds behind its length, in bytes (`MAX_STARTUP_PACKET_LENGTH` in `libpq/pqcomm.h`).
pub const MAX_STARTUP: usize = 10_000;

/// The most a message of a login holds, its kind and length included, in bytes: as many as PostgreSQL takes of a password
/// (`PG_MAX_AUTH_TOKEN_LENGTH`), and twice what libpq takes of an error (`MAX_ERRLEN`).
pub const MAX_LOGIN_MESSAGE: usize = 65_536;

/// The most that a client's SASL message holds, in bytes (`PG_MAX_SASL_MESSAGE_LENGTH`).
pub const MAX_SASL_MESSAGE: usize = 1024;

/// `SSLRequest`.
pub const TLS_REQUEST: u32 = 80_877_103;

/// `GSSENCRequest`.
pub const GSS_REQUEST: u32 = 80_877_104;

/// `CancelRequest`.
pub const CANCEL_REQUEST: u32 = 80_877_102;

/// The only major version there is.
pub const MAJOR: u16 = 3;

/// The newest minor version.
pub const NEWEST_MINOR: u16 = 2;

/// PostgreSQL's name in ALPN (`PG_ALPN_PROTOCOL`).
pub const ALPN: &[u8] = b"postgresql";

/// The first byte of a TLS record that holds a `ClientHello` (RFC 8446, section 5.1): no length of a packet begins so.
pub const TLS_HANDSHAKE: u8 = 0x16;

/// SQLSTATE `protocol_violation`.
pub const PROTOCOL_VIOLATION: &str = "08P01";

/// SQLSTATE `feature_not_supported`.
pub const NOT_SUPPORTED: &str = "0A000";

/// SQLSTATE `invalid_authorization_specification`.
pub const INVALID_AUTHORIZATION: &str = "28000";

/// SQLSTATE `invalid_password`.
pub const INVALID_PASSWORD: &str = "28P01";

/// The kind and length of a message, in bytes.
pub(super) const HEADER: usize = 5;

/// A message: its kind, the length, the payload.
#[must_use]
pub fn message(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.push(kind);
    bytes.extend_from_slice(&length(payload));
    bytes.extend_from_slice(payload);
    bytes
}

/// A packet of the beginning, which has no kind.
pub(super) fn packet(body: &[u8]) -> Vec<u8> {
    let mut bytes = length(body).to_vec();
    bytes.extend_from_slice(body);
    bytes
}

/// The length counts itself. Nothing that is built here comes near to what it can't say.
fn length(payload: &[u8]) -> [u8; 4] {
    u32::try_from(payload.len()).unwrap_or(u32::MAX).saturating_add(4).to_be_bytes()
}

/// A text and the zero behind it; zeros within it would end it early, and are left out.
pub(super) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(text.bytes().filter(|byte| *byte != 0));
    bytes.push(0);
}

/// What stands before the next zero, and what behind it.
pub(super) fn take_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (text, rest) = bytes.split_at_checked(end)?;
    Some((text, rest.get(1..)?))
}

/// Protocol 3 in a minor version.
pub(super) const fn version(minor: u16) -> u32 {
    (MAJOR as u32) << 16 | minor as u32
}

/// `SSLRequest`.
#[must_use]
pub fn tls_request() -> Vec<u8> {
    packet(&TLS_REQUEST.to_be_bytes())
}

/// `GSSENCRequest`.
#[must_use]
pub fn gss_request() -> Vec<u8> {
    packet(&GSS_REQUEST.to_be_bytes())
}

/// `CancelRequest`.
#[must_use]
pub fn cancel_request(key: &CancelKey) -> Vec<u8> {
    packet(
        &[&CANCEL_REQUEST.to_be_bytes(), &key.process.to_be_bytes(), key.secret.as_slice()]
            .concat(),
    )
}

/// `Authentication…` with its code.
pub(super) fn authentication(code: u32, data: &[u8]) -> Vec<u8> {
    message(b'R', &[&code.to_be_bytes(), data].concat())
}

/// `AuthenticationOk`.
#[must_use]
pub fn authentication_ok() -> Vec<u8> {
    authentication(0, &[])
}

/// `ParameterStatus`.
#[must_use]
pub fn parameter_status(name: &str, value: &str) -> Vec<u8> {
    let mut payload = Vec::with_capacity(name.len() + value.len() + 2);
    put_text(&mut payload, name);
    put_text(&mut payload, value);
    message(b'S', &payload)
}

/// `BackendKeyData`.
#[must_use]
pub fn backend_key_data(key: &CancelKey) -> Vec<u8> {
    message(b'K', &[&key.process.to_be_bytes(), key.secret.as_slice()].concat())
}

/// `ReadyForQuery`; the status is `I` outside of a transaction, `T` within one, `E` within a failed one.
#[must_use]
pub fn ready_for_query(status: u8) -> Vec<u8> {
    message(b'Z', &[status])
}

/// `NegotiateProtocolVersion`: the whole version, as PostgreSQL sends it and libpq reads it, and the options nobody knows.
pub(super) fn negotiate(minor: u16, options: &[String]) -> Vec<u8> {
    let count = u32::try_from(options.len()).unwrap_or(u32::MAX);
    let mut payload = [version(minor).to_be_bytes(), count.to_be_bytes()].concat();
    options.iter().for_each(|option| put_text(&mut payload, option));
    message(b'v', &payload)
}

/// `Query`: one or more statements of SQL.
#[must_use]
pub fn query(sql: &str) -> Vec<u8> {
    let mut payload = Vec::with_capacity(sql.len() + 1);
    put_text(&mut payload, sql);
    message(b'Q', &payload)
}

/// `Terminate`.
#[must_use]
pub fn terminate() -> Vec<u8> {
    message(b'X', &[])
}

/// What ends the login of a client well: `AuthenticationOk`, the server's parameters, the key to cancel with, and
/// `ReadyForQuery` outside of a transaction.
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

/// `ErrorResponse`: severity (`FATAL`, `ERROR`), SQLSTATE, and what people read.
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
    put_text(payload, text);
}

/// A server's `ErrorResponse` from its payload, with a detail and a hint where it has none of its own.
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

/// The fields of an `ErrorResponse` or a `NoticeResponse`: each a letter and a text. What has no zero behind it is none.
fn fields(payload: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        let (field, behind) = rest.split_first().filter(|(field, _)| **field != 0)?;
        let (text, behind) = take_text(behind)?;
        rest = behind;
        Some((*field, text))
    })
}

/// What a server's `ErrorResponse` says, from its payload. A field that it leaves out is empty.
#[must_use]
pub fn error_fields(payload: &[u8]) -> ServerError {
    let text = |wanted| {
        let found = fields(payload).find(|(field, _)| *field == wanted);
        found.map(|(_, text)| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
    };
    ServerError { code: text(b'C'), message: text(b'M'), payload: payload.to_vec() }
}

/// A message in the inbox: its kind, its payload, and how much is to be consumed.
pub type Received<'a> = (u8, &'a [u8], usize);

/// The message at the front of the inbox, if all of it is there.
///
/// # Errors
/// Where it says that it holds less than its own length, or more than `max` bytes in all.
pub fn read_message(inbox: &ReadBuffer, max: usize) -> Result<Option<Received<'_>>, ProtocolError> {
    let Some((header, behind)) = inbox.unread().split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let [kind, length @ ..] = *header;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    let total = length.saturating_add(1);
    let Some(payload) = length.checked_sub(4).filter(|_| total <= max) else {
        let kind = char::from(kind).escape_default();
        return Err(ProtocolError::protocol(format!(
            "a message of kind '{kind}' says it is {length} bytes long; 4 to {} can be",
            max - 1
        )));
    };
    Ok(behind.get(..payload).map(|payload| (kind, payload, total)))
}

#[cfg(test)]
mod tests;
