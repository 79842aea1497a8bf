//! Commands of the client.

use crate::exchange::ProtocolError;
use crate::mysql::codec::{self, ACCESS_DENIED, HEADER, MAX_LOGIN_PACKET, MAX_PAYLOAD, command};
use crate::mysql::{Capabilities, response};

use super::kill::{Kill, MAX_KILL};
use super::state::{Phase, ResponseKind, SharedState};

/// Part of the client's bytes to forward to the server, and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardPlan {
    /// Number of bytes to forward.
    pub forward: usize,
    /// Content after these bytes.
    pub then: Next,
}

/// Content after the forwarded bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing, or the start of a packet that cannot be classified yet. Pass it again when more
    /// bytes have arrived. It is at most as long as a login packet ([`codec::MAX_LOGIN_PACKET`]).
    More,
    /// `COM_QUIT`. It and everything after it is not forwarded.
    Quit,
    /// A complete `COM_CHANGE_USER` for [`ServerChangeUser`]. The tracker expects no response to
    /// it. Pass the bytes after it again.
    ///
    /// [`ServerChangeUser`]: crate::mysql::server::ServerChangeUser
    ChangeUser {
        /// Length of the packet with its header.
        length: usize,
    },
    /// A complete `KILL`, to forward with the server's connection ID. Pass the bytes after it
    /// again.
    Kill(Kill),
}

/// Position in the client's stream.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Bytes before the next header.
    body_left: usize,
    /// The next packet continues the payload of the previous one.
    is_continuation: bool,
}

/// Treatment of a packet.
enum Action {
    /// Forward it. It may cause a response.
    Forward(Option<ResponseKind>),
    /// Wait for the rest of it.
    Wait,
    /// Do not forward it as it is.
    Intercept(Next),
    Unknown,
}

impl Requests {
    /// Returns true at the start of a packet.
    pub(super) fn is_at_packet(&self) -> bool {
        self.body_left == 0 && !self.is_continuation
    }

    pub(super) fn scan(
        &mut self,
        shared: &mut SharedState,
        bytes: &[u8],
    ) -> Result<ForwardPlan, ProtocolError> {
        let mut rest = bytes;
        loop {
            match shared.phase {
                Phase::Quit => return Ok(ForwardPlan { forward: 0, then: Next::Quit }),
                Phase::Desynced => {
                    return Ok(ForwardPlan { forward: bytes.len(), then: Next::More });
                }
                Phase::Commands | Phase::Upload => {}
            }
            let skipped = self.body_left.min(rest.len());
            self.body_left -= skipped;
            rest = rest.get(skipped..).unwrap_or_default();
            let forward = bytes.len() - rest.len();
            let Some((header, payload)) = rest.split_first_chunk::<HEADER>() else {
                return Ok(ForwardPlan { forward, then: Next::More });
            };
            let (length, sequence) = codec::parse_header(*header);
            let action = if self.is_continuation {
                Action::Forward(None)
            } else if shared.phase == Phase::Upload {
                upload(shared, length)
            } else {
                command(shared.capabilities, length, sequence, payload)?
            };
            match action {
                Action::Forward(kind) => {
                    self.body_left = length;
                    self.is_continuation = length == MAX_PAYLOAD;
                    kind.into_iter().for_each(|kind| shared.expect_response(kind));
                    rest = payload;
                }
                Action::Wait => return Ok(ForwardPlan { forward, then: Next::More }),
                Action::Intercept(then) => {
                    match then {
                        Next::Quit => shared.phase = Phase::Quit,
                        Next::Kill(_) => shared.expect_response(ResponseKind::Results),
                        Next::ChangeUser { .. } | Next::More => {}
                    }
                    return Ok(ForwardPlan { forward, then });
                }
                Action::Unknown => shared.desync(),
            }
        }
    }
}

/// Handles a part of a file. An empty part ends the file.
fn upload(shared: &mut SharedState, length: usize) -> Action {
    if length == 0 {
        shared.phase = Phase::Commands;
    }
    Action::Forward(None)
}

/// Classifies a command by its first byte. `payload` may be incomplete.
fn command(
    capabilities: Capabilities,
    length: usize,
    sequence: u8,
    payload: &[u8],
) -> Result<Action, ProtocolError> {
    use ResponseKind::{Execution, Prepared, Results, Rows, Single, Text};
    if length == 0 || sequence != 0 {
        return Ok(Action::Unknown);
    }
    let Some(command) = payload.first() else {
        return Ok(Action::Wait);
    };
    Ok(match *command {
        command::QUIT => Action::Intercept(Next::Quit),
        command::CHANGE_USER if length > MAX_LOGIN_PACKET => return Err(too_long()),
        command::CHANGE_USER if payload.len() < length => Action::Wait,
        command::CHANGE_USER => Action::Intercept(Next::ChangeUser { length: HEADER + length }),
        command::QUERY | command::PROCESS_KILL if length <= MAX_KILL => {
            match payload.get(..length) {
                None => Action::Wait,
                Some(payload) => match Kill::find(payload, capabilities) {
                    Some(kill) => Action::Intercept(Next::Kill(kill)),
                    None if *command == command::QUERY => Action::Forward(Some(Results)),
                    None => Action::Forward(Some(Single)),
                },
            }
        }
        command::QUERY | command::PROCESS_INFO => Action::Forward(Some(Results)),
        command::STMT_EXECUTE | command::STMT_BULK_EXECUTE => Action::Forward(Some(Execution)),
        command::STMT_PREPARE => Action::Forward(Some(Prepared)),
        command::STMT_FETCH | command::FIELD_LIST => Action::Forward(Some(Rows)),
        command::STATISTICS => Action::Forward(Some(Text)),
        command::STMT_SEND_LONG_DATA | command::STMT_CLOSE => Action::Forward(None),
        command::INIT_DB
        | command::CREATE_DB
        | command::DROP_DB
        | command::REFRESH
        | command::SHUTDOWN
        | command::DEBUG
        | command::PING
        | command::STMT_RESET
        | command::SET_OPTION
        | command::RESET_CONNECTION => Action::Forward(Some(Single)),
        // Replication commands, whose response never ends, and unknown ones.
        _ => Action::Unknown,
    })
}

fn too_long() -> ProtocolError {
    let (number, sqlstate) = ACCESS_DENIED;
    let detail = format!("a COM_CHANGE_USER exceeds {MAX_LOGIN_PACKET} bytes");
    let capabilities = Capabilities::PROTOCOL_41;
    let error_packet = response::error_packet(1, number, sqlstate, &detail, capabilities);
    ProtocolError::Protocol { detail, error_packet }
}
