//! What a client sends.

use crate::exchange::ProtocolError;
use crate::mysql::codec::{self, ACCESS_DENIED, HEADER, MAX_LOGIN_PACKET, MAX_PAYLOAD, command};
use crate::mysql::{Capabilities, response};

use super::kill::{Kill, MAX_KILL};
use super::{ForwardPlan, Kind, Next, Phase, Shared};

/// Where the client's stream stands.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// So many bytes before the next header.
    left: usize,
    /// Whether what begins there is a part of what was before.
    goes_on: bool,
}

/// What a packet is.
enum Packet {
    /// Goes on as it is, and may wait for an answer.
    Pass(Option<Kind>),
    /// More of it has to be here.
    Hold,
    /// Is not forwarded as it is.
    Stop(Next),
    /// Nobody knows.
    Unknown,
}

impl Requests {
    pub(super) fn is_between(&self) -> bool {
        self.left == 0 && !self.goes_on
    }

    pub(super) fn follow(
        &mut self,
        shared: &mut Shared,
        bytes: &[u8],
    ) -> Result<ForwardPlan, ProtocolError> {
        let mut rest = bytes;
        loop {
            match shared.course {
                Phase::Over => {
                    return Ok(ForwardPlan { forward: 0, then: Next::Quit });
                }
                Phase::Lost => {
                    return Ok(ForwardPlan { forward: bytes.len(), then: Next::More });
                }
                Phase::Commands | Phase::Upload => {}
            }
            let skipped = self.left.min(rest.len());
            self.left -= skipped;
            rest = rest.get(skipped..).unwrap_or_default();
            let forward = bytes.len() - rest.len();
            let Some((header, behind)) = rest.split_first_chunk::<HEADER>() else {
                return Ok(ForwardPlan { forward, then: Next::More });
            };
            let (length, sequence) = codec::header_of(*header);
            let packet = if self.goes_on {
                Packet::Pass(None)
            } else if shared.course == Phase::Upload {
                upload(shared, length)
            } else {
                command_of(shared.capabilities, length, sequence, behind)?
            };
            match packet {
                Packet::Pass(kind) => {
                    self.left = length;
                    self.goes_on = length == MAX_PAYLOAD;
                    kind.into_iter().for_each(|kind| shared.await_answer(kind));
                    rest = behind;
                }
                Packet::Hold => {
                    return Ok(ForwardPlan { forward, then: Next::More });
                }
                Packet::Stop(then) => {
                    match then {
                        Next::Quit => shared.course = Phase::Over,
                        Next::Kill(_) => shared.await_answer(Kind::Results),
                        Next::ChangeUser { .. } | Next::More => {}
                    }
                    return Ok(ForwardPlan { forward, then });
                }
                Packet::Unknown => shared.lose(),
            }
        }
    }
}

/// A part of a file; an empty one ends it.
fn upload(shared: &mut Shared, length: usize) -> Packet {
    if length == 0 {
        shared.course = Phase::Commands;
    }
    Packet::Pass(None)
}

fn command_of(
    capabilities: Capabilities,
    length: usize,
    sequence: u8,
    behind: &[u8],
) -> Result<Packet, ProtocolError> {
    if length == 0 || sequence != 0 {
        return Ok(Packet::Unknown);
    }
    let Some(command) = behind.first() else {
        return Ok(Packet::Hold);
    };
    Ok(match *command {
        command::QUIT => Packet::Stop(Next::Quit),
        command::CHANGE_USER if length > MAX_LOGIN_PACKET => return Err(too_long()),
        command::CHANGE_USER if behind.len() < length => Packet::Hold,
        command::CHANGE_USER => Packet::Stop(Next::ChangeUser { length: HEADER + length }),
        command::QUERY | command::PROCESS_KILL if length <= MAX_KILL => {
            match behind.get(..length) {
                None => Packet::Hold,
                Some(payload) => match Kill::find(payload, capabilities) {
                    Some(kill) => Packet::Stop(Next::Kill(kill)),
                    None if *command == command::QUERY => Packet::Pass(Some(Kind::Results)),
                    None => Packet::Pass(Some(Kind::Single)),
                },
            }
        }
        command::QUERY | command::PROCESS_INFO => Packet::Pass(Some(Kind::Results)),
        command::STMT_EXECUTE | command::STMT_BULK_EXECUTE => Packet::Pass(Some(Kind::Execution)),
        command::STMT_PREPARE => Packet::Pass(Some(Kind::Prepared)),
        command::STMT_FETCH | command::FIELD_LIST => Packet::Pass(Some(Kind::Rows)),
        command::STATISTICS => Packet::Pass(Some(Kind::Text)),
        command::STMT_SEND_LONG_DATA | command::STMT_CLOSE => Packet::Pass(None),
        command::INIT_DB
        | command::CREATE_DB
        | command::DROP_DB
        | command::REFRESH
        | command::SHUTDOWN
        | command::DEBUG
        | command::PING
        | command::STMT_RESET
        | command::SET_OPTION
        | command::RESET_CONNECTION => Packet::Pass(Some(Kind::Single)),
        // Replication, which never ends, and what is not known.
        _ => Packet::Unknown,
    })
}

fn too_long() -> ProtocolError {
    let (number, sqlstate) = ACCESS_DENIED;
    let detail = format!("a change of the user is longer than {MAX_LOGIN_PACKET} bytes");
    let farewell = response::error_packet(1, number, sqlstate, &detail, Capabilities::PROTOCOL_41);
    ProtocolError::Protocol { detail, error_packet: farewell }
}
