//! Answers to a client's login.

use countersign_connect::dialer::ConnectError;
use countersign_wire::mysql::{Capabilities, codec, response};

/// Facts about a client that the answer to its login depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoginContext {
    /// Connection id that the client received in the greeting.
    pub(super) connection_id: u32,
    /// Sequence number of the answering packet.
    pub(super) sequence: u8,
    pub(super) capabilities: Capabilities,
}

/// Returns the packet that rejects a client's login: the server's own, if it sent one.
pub(super) fn login_error(
    sequence: u8,
    capabilities: Capabilities,
    error: &ConnectError,
) -> Vec<u8> {
    let payload = match (&error.server, &error.explanation) {
        (Some(server), Some(explanation)) => response::with_explanation(
            &server.payload,
            &format!("{}; {}", explanation.detail, explanation.hint),
        ),
        (Some(server), None) => server.payload.clone(),
        (None, _) => {
            let class = error.failure.class;
            return response::error_packet(
                sequence,
                class.mysql_number(),
                class.mysql_sqlstate(),
                &error.failure.to_string(),
                capabilities,
            );
        }
    };
    codec::packet(sequence, &payload)
}
