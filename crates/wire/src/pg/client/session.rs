//! Session facts that the server reports during the login.

use crate::exchange::{ProtocolError, ServerError};
use crate::pg::{CancelKey, cancel_key, codec};

use super::authentication::Authentication;

/// Maximum number of messages up to `ReadyForQuery`. PostgreSQL 18 sends about 20.
const MAX_MESSAGES: usize = 2048;

/// Maximum number of distinct parameters.
const MAX_PARAMETERS: usize = 256;

/// Maximum total length of parameter names and values, in bytes. PostgreSQL 18's are about 400.
const MAX_PARAMETER_BYTES: usize = 65_536;

/// Maximum total length of stored notices, in bytes.
const MAX_NOTICES: usize = 65_536;

/// Maximum length of an error in protocol 2's format, in bytes: libpq's limit (`MAX_ERRLEN`).
const MAX_V2_ERROR: usize = 30_000;

/// Session that is ready for its first statement.
#[derive(Debug)]
pub struct Session {
    /// Negotiated minor protocol version: 0 or 2.
    pub minor: u16,
    /// Server parameters in the order of their first report, each name once.
    pub parameters: Vec<(String, String)>,
    /// Cancel key, if the server sent one.
    pub key: Option<CancelKey>,
    /// Received `NoticeResponse` messages, at most 64 KiB of them.
    pub notices: Vec<u8>,
    /// Status of `ReadyForQuery`: `I`, `T` or `E`.
    pub status: u8,
}

/// Session under construction.
#[derive(Debug)]
pub(super) struct SessionBuilder {
    minor: u16,
    parameters: Vec<(String, String)>,
    key: Option<CancelKey>,
    notices: Vec<u8>,
    messages: usize,
}

impl SessionBuilder {
    pub(super) fn new(minor: u16) -> Self {
        Self { minor, parameters: Vec::new(), key: None, notices: Vec::new(), messages: 0 }
    }

    /// Counts a message against the limit.
    pub(super) fn count_message(&mut self) -> Result<(), ProtocolError> {
        self.messages += 1;
        if self.messages > MAX_MESSAGES {
            return Err(ProtocolError::protocol(format!(
                "the server sent more than {MAX_MESSAGES} messages before ReadyForQuery"
            )));
        }
        Ok(())
    }

    /// Handles `NegotiateProtocolVersion`: a lower minor version and unrecognised options, of which
    /// the client sent none.
    pub(super) fn negotiate_version(
        &mut self,
        authentication: &Authentication,
        payload: &[u8],
    ) -> Result<(), ProtocolError> {
        let is_early = matches!(authentication, Authentication::NotRequested(_));
        let parts = payload
            .split_first_chunk()
            .and_then(|(version, rest)| Some((version, rest.split_first_chunk()?)));
        let Some((version, (options, []))) = parts else {
            return Err(ProtocolError::protocol(
                "the server's protocol negotiation is malformed or names options that were not \
                 requested",
            ));
        };
        let version = u32::from_be_bytes(*version);
        // PostgreSQL never supported 3.1, so it is not a valid result.
        let minor =
            [0, codec::LATEST_MINOR].into_iter().find(|minor| codec::version(*minor) == version);
        match minor {
            Some(minor) if is_early && minor <= self.minor && *options == [0; 4] => {
                self.minor = minor;
                Ok(())
            }
            _ => Err(ProtocolError::protocol(
                "the server negotiated a protocol version that was not requested, or too late",
            )),
        }
    }

    /// Handles `ParameterStatus`.
    pub(super) fn parameter_status(&mut self, payload: &[u8]) -> Result<(), ProtocolError> {
        let parts =
            codec::get_cstr(payload).and_then(|(name, rest)| Some((name, codec::get_cstr(rest)?)));
        let Some((name, (value, []))) = parts else {
            return Err(ProtocolError::protocol("a parameter of the server is malformed"));
        };
        let text = |bytes: &[u8]| {
            let text = str::from_utf8(bytes).map(str::to_owned);
            text.map_err(|_| ProtocolError::protocol("a parameter of the server is not UTF-8"))
        };
        let (name, value) = (text(name)?, text(value)?);
        let is_full = self.parameters.len() == MAX_PARAMETERS;
        let others = self
            .parameters
            .iter()
            .filter(|(known, _)| *known != name)
            .map(|(name, value)| name.len() + value.len());
        if others.sum::<usize>() + name.len() + value.len() > MAX_PARAMETER_BYTES {
            return Err(ProtocolError::protocol(format!(
                "the server's parameters exceed {MAX_PARAMETER_BYTES} bytes"
            )));
        }
        match self.parameters.iter_mut().find(|(known, _)| *known == name) {
            Some((_, stored)) => *stored = value,
            None if is_full => {
                return Err(ProtocolError::protocol(format!(
                    "the server sent more than {MAX_PARAMETERS} parameters"
                )));
            }
            None => self.parameters.push((name, value)),
        }
        Ok(())
    }

    /// Handles `BackendKeyData`. In protocol 3.0 the secret has exactly four bytes.
    pub(super) fn backend_key_data(&mut self, payload: &[u8]) -> Result<(), ProtocolError> {
        let fits = |key: &CancelKey| self.minor > 0 || key.secret.len() == cancel_key::MIN_SECRET;
        let key = CancelKey::parse(payload).filter(fits);
        self.key = Some(key.ok_or_else(|| {
            ProtocolError::protocol("the server's cancel key is too short or too long")
        })?);
        Ok(())
    }

    /// Handles messages that are valid at any time: notices, and the error that ends the login.
    pub(super) fn async_message(&mut self, kind: u8, payload: &[u8]) -> Result<(), ProtocolError> {
        match kind {
            b'E' => Err(ProtocolError::Refused(codec::error_fields(payload))),
            b'N' => {
                if self.notices.len() + codec::HEADER + payload.len() <= MAX_NOTICES {
                    self.notices.extend(codec::message(kind, payload));
                }
                Ok(())
            }
            kind => {
                let kind = char::from(kind).escape_default();
                Err(ProtocolError::protocol(format!(
                    "the server sent a message of type '{kind}', which is not valid during a login"
                )))
            }
        }
    }

    /// Handles `ReadyForQuery`.
    pub(super) fn ready(self, status: u8) -> Session {
        let Self { minor, parameters, key, notices, .. } = self;
        Session { minor, parameters, key, notices, status }
    }
}

/// Parses an error in protocol 2's format, `E` and a string. PostgreSQL still uses it if it cannot
/// start a process for the connection.
pub(super) fn v2_error(unread: &[u8]) -> Option<ServerError> {
    let text = v2_error_text(unread)?;
    let (text, _) = codec::get_cstr(text)?;
    let message = String::from_utf8_lossy(text).trim_end().to_owned();
    // SQLSTATE sqlserver_rejected_establishment_of_sqlconnection; protocol 2 has none.
    let response = codec::error_response("FATAL", "08004", &message, None, None);
    Some(codec::error_fields(response.get(codec::HEADER..).unwrap_or_default()))
}

/// Returns true if `unread` may be the start of such an error.
pub(super) fn is_partial_v2_error(unread: &[u8]) -> bool {
    v2_error_text(unread).is_some_and(|text| text.len() <= MAX_V2_ERROR)
}

/// Returns the text after `E` if its first bytes are not a plausible length field.
fn v2_error_text(unread: &[u8]) -> Option<&[u8]> {
    let (kind, text) = unread.split_first()?;
    let length = u32::from_be_bytes(*text.first_chunk()?);
    let is_length =
        usize::try_from(length).is_ok_and(|length| (8..=MAX_V2_ERROR).contains(&length));
    (*kind == b'E' && !is_length).then_some(text)
}
