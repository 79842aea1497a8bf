//! What a server says of the session, and beside the matter.

use crate::exchange::{ProtocolError, ServerError};
use crate::pg::{CancelKey, cancel, codec};

use super::Session;
use super::authentication::Authentication;

/// The most messages that a server sends until `ReadyForQuery`: PostgreSQL 18 sends some twenty.
const MAX_MESSAGES: usize = 2048;

/// The most different parameters.
const MAX_PARAMETERS: usize = 256;

/// The most that parameters hold, names and values together, in bytes: PostgreSQL 18's come to some 400.
const MAX_PARAMETER_BYTES: usize = 65_536;

/// The most that is kept of notices, in bytes.
const MAX_NOTICES: usize = 65_536;

/// The most that an error without a length holds, in bytes: libpq takes as much (`MAX_ERRLEN`).
const MAX_OLD_ERROR: usize = 30_000;

/// A session that is being opened.
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

    /// Counts a message.
    pub(super) fn count(&mut self) -> Result<(), ProtocolError> {
        self.messages += 1;
        if self.messages > MAX_MESSAGES {
            return Err(ProtocolError::protocol(format!(
                "the server sends more than {MAX_MESSAGES} messages, and is not ready yet"
            )));
        }
        Ok(())
    }

    /// `NegotiateProtocolVersion`: a lower minor version, and the options that the server doesn't know, though we asked for none.
    pub(super) fn negotiate(
        &mut self,
        authentication: &Authentication,
        payload: &[u8],
    ) -> Result<(), ProtocolError> {
        let unasked = matches!(authentication, Authentication::Unasked(_));
        let parts = payload
            .split_first_chunk()
            .and_then(|(version, rest)| Some((version, rest.split_first_chunk()?)));
        let Some((version, (options, []))) = parts else {
            return Err(ProtocolError::protocol(
                "the server's negotiation of the protocol is malformed, or names options nobody asked for",
            ));
        };
        let version = u32::from_be_bytes(*version);
        // 3.1 was never spoken, so nobody can go down to it.
        let minor =
            [0, codec::NEWEST_MINOR].into_iter().find(|minor| codec::version(*minor) == version);
        match minor {
            Some(minor) if unasked && minor <= self.minor && *options == [0; 4] => {
                self.minor = minor;
                Ok(())
            }
            _ => Err(ProtocolError::protocol(
                "the server negotiates the protocol to what was not asked for, or too late",
            )),
        }
    }

    /// `ParameterStatus`.
    pub(super) fn parameter(&mut self, payload: &[u8]) -> Result<(), ProtocolError> {
        let parts = codec::take_text(payload)
            .and_then(|(name, rest)| Some((name, codec::take_text(rest)?)));
        let Some((name, (value, []))) = parts else {
            return Err(ProtocolError::protocol("a parameter of the server is malformed"));
        };
        let text = |bytes: &[u8]| {
            let text = str::from_utf8(bytes).map(str::to_owned);
            text.map_err(|_| ProtocolError::protocol("a parameter of the server is not UTF-8"))
        };
        let (name, value) = (text(name)?, text(value)?);
        let many = self.parameters.len() == MAX_PARAMETERS;
        let others = self
            .parameters
            .iter()
            .filter(|(known, _)| *known != name)
            .map(|(name, value)| name.len() + value.len());
        if others.sum::<usize>() + name.len() + value.len() > MAX_PARAMETER_BYTES {
            return Err(ProtocolError::protocol(format!(
                "the server's parameters are more than {MAX_PARAMETER_BYTES} bytes"
            )));
        }
        match self.parameters.iter_mut().find(|(known, _)| *known == name) {
            Some((_, held)) => *held = value,
            None if many => {
                return Err(ProtocolError::protocol(format!(
                    "the server has more than {MAX_PARAMETERS} parameters"
                )));
            }
            None => self.parameters.push((name, value)),
        }
        Ok(())
    }

    /// `BackendKeyData`. Protocol 3.0 has room for four bytes.
    pub(super) fn key(&mut self, payload: &[u8]) -> Result<(), ProtocolError> {
        let fits = |key: &CancelKey| self.minor > 0 || key.secret.len() == cancel::MIN_SECRET;
        let key = CancelKey::parse(payload).filter(fits);
        self.key = Some(key.ok_or_else(|| {
            ProtocolError::protocol("the server's key to cancel with is too short or too long")
        })?);
        Ok(())
    }

    /// What may come at any time: notices, and the error that ends the login.
    pub(super) fn aside(&mut self, kind: u8, payload: &[u8]) -> Result<(), ProtocolError> {
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
                    "the server sends a message of kind '{kind}', which has no place in a login"
                )))
            }
        }
    }

    /// `ReadyForQuery`.
    pub(super) fn ready(self, status: u8) -> Session {
        let Self { minor, parameters, key, notices, .. } = self;
        Session { minor, parameters, key, notices, status }
    }
}

/// An error as protocol 2 had it, `E` and a text: so PostgreSQL still says that it can't start one more process.
pub(super) fn old_error(unread: &[u8]) -> Option<ServerError> {
    let text = old_text(unread)?;
    let (text, _) = codec::take_text(text)?;
    let message = String::from_utf8_lossy(text).trim_end().to_owned();
    // SQLSTATE sqlserver_rejected_establishment_of_sqlconnection; the old form has none.
    let whole = codec::error_response("FATAL", "08004", &message, None, None);
    Some(codec::error_fields(whole.get(codec::HEADER..).unwrap_or_default()))
}

/// Whether it is such an error whose end has not come.
pub(super) fn may_be_old_error(unread: &[u8]) -> bool {
    old_text(unread).is_some_and(|text| text.len() <= MAX_OLD_ERROR)
}

/// The text, where the length that it stands in place of can't be one.
fn old_text(unread: &[u8]) -> Option<&[u8]> {
    let (kind, text) = unread.split_first()?;
    let length = u32::from_be_bytes(*text.first_chunk()?);
    let is_length =
        usize::try_from(length).is_ok_and(|length| (8..=MAX_OLD_ERROR).contains(&length));
    (*kind == b'E' && !is_length).then_some(text)
}
