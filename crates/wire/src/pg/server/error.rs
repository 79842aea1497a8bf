//! Errors that end a client's login, with the `ErrorResponse` that the client receives.

use crate::exchange::ProtocolError;
use crate::pg::codec;

/// SQLSTATE `character_not_in_repertoire`.
const NOT_IN_REPERTOIRE: &str = "22021";

/// SQLSTATE `internal_error`.
const INTERNAL_ERROR: &str = "XX000";

fn fatal(code: &str, message: &str, hint: Option<&str>) -> Vec<u8> {
    codec::error_response("FATAL", code, message, None, hint)
}

/// Protocol violation. The client and the log receive the same text.
pub(super) fn violation(detail: &str) -> ProtocolError {
    let error_packet = fatal(codec::PROTOCOL_VIOLATION, detail, None);
    ProtocolError::Protocol { detail: detail.to_owned(), error_packet }
}

/// Data before the TLS handshake. Message and detail are PostgreSQL's.
pub(super) fn unencrypted_data(request: &str) -> ProtocolError {
    let detail = format!("received unencrypted data after {request}");
    let explanation = "This could be either a client-software bug or evidence of an attempted \
                       man-in-the-middle attack.";
    let code = codec::PROTOCOL_VIOLATION;
    let error_packet = codec::error_response("FATAL", code, &detail, Some(explanation), None);
    ProtocolError::Protocol { detail, error_packet }
}

pub(super) fn tls_required(user: &str) -> ProtocolError {
    let detail = format!("connection requires TLS (user {user:?})");
    let hint = Some("Connect with sslmode=require or stricter.");
    let error_packet = fatal(codec::INVALID_AUTHORIZATION, &detail, hint);
    ProtocolError::Denied { detail, error_packet }
}

/// Missing user name. The message is PostgreSQL's.
pub(super) fn no_user() -> ProtocolError {
    let detail = "no PostgreSQL user name specified in startup packet".to_owned();
    let error_packet = fatal(codec::INVALID_AUTHORIZATION, &detail, None);
    ProtocolError::Denied { detail, error_packet }
}

pub(super) fn not_utf8() -> ProtocolError {
    let detail = "the startup packet contains a name or a value that is not UTF-8".to_owned();
    let hint = "Use names of users and databases, and values of settings, that are UTF-8.";
    let error_packet = fatal(NOT_IN_REPERTOIRE, &detail, Some(hint));
    ProtocolError::Unsupported { detail, error_packet }
}

/// Unsupported protocol version. The message is PostgreSQL's, and like PostgreSQL's it has protocol
/// 3's format.
pub(super) fn unsupported_version(major: u16, minor: u16) -> ProtocolError {
    let latest = codec::LATEST_MINOR;
    unsupported(format!(
        "unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{latest}"
    ))
}

pub(super) fn unsupported(detail: impl Into<String>) -> ProtocolError {
    let detail = detail.into();
    let error_packet = fatal(codec::NOT_SUPPORTED, &detail, None);
    ProtocolError::Unsupported { detail, error_packet }
}

pub(super) fn no_random_numbers(error: getrandom::Error) -> ProtocolError {
    ProtocolError::Unsupported {
        detail: format!("cannot generate random numbers: {error}"),
        error_packet: fatal(INTERNAL_ERROR, "could not generate random nonce", None),
    }
}

pub(super) fn channel_binding(message: &str) -> ProtocolError {
    ProtocolError::Denied {
        detail: format!("{message}: this may be a man-in-the-middle attack"),
        error_packet: fatal(codec::INVALID_AUTHORIZATION, message, None),
    }
}

/// Wrong password. The client receives PostgreSQL's message.
pub(super) fn wrong_password(user: &str) -> ProtocolError {
    let message = format!("password authentication failed for user \"{user}\"");
    ProtocolError::Denied {
        detail: format!("wrong password (user {user:?})"),
        error_packet: fatal(codec::INVALID_PASSWORD, &message, None),
    }
}
