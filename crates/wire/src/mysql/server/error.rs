//! Errors that end a client's login, with the ERR packet that the client receives. `sequence` is
//! the number of that packet.

use crate::exchange::ProtocolError;
use crate::mysql::Capabilities;
use crate::mysql::codec::{
    ACCESS_DENIED, BAD_HANDSHAKE, OLD_PROTOCOL, TLS_REQUIRED, UNKNOWN_ERROR,
};
use crate::mysql::handshake_response::Malformed;
use crate::mysql::response;

fn err(sequence: u8, (number, sqlstate): (u16, &str), message: &str) -> Vec<u8> {
    response::error_packet(sequence, number, sqlstate, message, Capabilities::PROTOCOL_41)
}

/// Protocol violation. The client and the log receive the same text.
pub(super) fn violation(detail: &str, sequence: u8) -> ProtocolError {
    let error_packet = err(sequence, BAD_HANDSHAKE, &format!("Bad handshake: {detail}"));
    ProtocolError::Protocol { detail: detail.to_owned(), error_packet }
}

pub(super) fn malformed_login(malformed: &Malformed, sequence: u8) -> ProtocolError {
    match malformed {
        Malformed::Layout => {
            violation("the client's login is malformed or exceeds a limit", sequence)
        }
        Malformed::Encoding => {
            let detail = "the login contains a name that is not UTF-8: use names of users and \
                          databases that are UTF-8";
            let error_packet = err(sequence, BAD_HANDSHAKE, detail);
            ProtocolError::Unsupported { detail: detail.to_owned(), error_packet }
        }
    }
}

/// Protocol from before MySQL 4.1. The client receives MySQL's message, without SQLSTATE, which it
/// does not know.
pub(super) fn old_protocol(sequence: u8) -> ProtocolError {
    let (number, sqlstate) = OLD_PROTOCOL;
    let message = "Client does not support authentication protocol requested by server; consider \
                   upgrading MySQL client";
    let none = Capabilities::NONE;
    ProtocolError::Unsupported {
        detail: "the client uses the protocol from before MySQL 4.1".to_owned(),
        error_packet: response::error_packet(sequence, number, sqlstate, message, none),
    }
}

pub(super) fn tls_required(user: &str, sequence: u8) -> ProtocolError {
    let detail = format!("connection requires TLS (user {user:?})");
    let message = format!("{detail}: set ssl-mode to REQUIRED");
    ProtocolError::Denied { detail, error_packet: err(sequence, TLS_REQUIRED, &message) }
}

/// Wrong password. The client receives MySQL's message.
pub(super) fn access_denied(user: &str, proof: &[u8], sequence: u8) -> ProtocolError {
    let has_password = if matches!(proof, [] | [0]) { "NO" } else { "YES" };
    let message = format!("Access denied for user '{user}' (using password: {has_password})");
    ProtocolError::Denied {
        detail: format!("wrong password (user {user:?})"),
        error_packet: err(sequence, ACCESS_DENIED, &message),
    }
}

pub(super) fn no_random_numbers(error: getrandom::Error, sequence: u8) -> ProtocolError {
    ProtocolError::Unsupported {
        detail: format!("cannot generate random numbers: {error}"),
        error_packet: err(sequence, UNKNOWN_ERROR, "cannot generate a nonce"),
    }
}
