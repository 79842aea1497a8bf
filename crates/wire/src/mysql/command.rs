//! A command of our own in a session that nobody uses: to reset it, to ask which server it is on.

use zeroize::Zeroizing;

use super::Capabilities;
use super::codec::{self, EOF, ERR, Fields, OK};
use crate::exchange::{Exchange, ProtocolError, Step};
use crate::read_buffer::ReadBuffer;

/// The most packets of an answer: one column, one row.
const MAX_PACKETS: usize = 64;

/// An EOF is shorter than this; a longer packet that begins so is a row.
const MAX_EOF: usize = 9;

/// One command, and its answer.
#[derive(Debug)]
pub struct Command {
    capabilities: Capabilities,
    state: State,
}

#[derive(Debug)]
enum State {
    Begun(Vec<u8>),
    Sent(Place, Received),
}

/// What comes next.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// OK, ERR, or how many columns there are.
    Head,
    /// So many descriptions of columns.
    Columns(u64),
    /// An EOF behind them.
    Middle,
    /// Rows, and what ends them.
    Rows,
}

#[derive(Debug, Default)]
struct Received {
    value: Option<String>,
    packets: usize,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandResult {
    /// The first column of the first row, where there is one and it is a text.
    pub value: Option<String>,
}

impl Command {
    /// Sends a command, as `codec` makes it, in a session with these capabilities.
    #[must_use]
    pub const fn new(packet: Vec<u8>, capabilities: Capabilities) -> Self {
        Self { capabilities, state: State::Begun(packet) }
    }

    /// Asks by SQL.
    #[must_use]
    pub fn query(sql: &str, capabilities: Capabilities) -> Self {
        Self::new(codec::query(sql, capabilities), capabilities)
    }

    /// Where the answer goes on behind this packet; `None` is its end.
    fn next(
        &self,
        place: Place,
        payload: &[u8],
        received: &mut Received,
    ) -> Result<Option<Place>, ProtocolError> {
        let eof = !self.capabilities.has(Capabilities::DEPRECATE_EOF);
        let behind_columns = if eof { Place::Middle } else { Place::Rows };
        Ok(match (place, payload) {
            (_, [ERR, ..]) => {
                return Err(ProtocolError::Refused(super::response::error_fields(payload)));
            }
            (Place::Head, [OK, ..]) => None,
            (Place::Head, payload) => {
                let mut fields = Fields(payload);
                let count =
                    fields.integer().filter(|count| (1..64).contains(count)).ok_or_else(strange)?;
                let optional = self
                    .capabilities
                    .has_any(Capabilities::OPTIONAL_METADATA | Capabilities::CACHE_METADATA);
                let described = !optional || fields.u8() == Some(1);
                Some(if described { Place::Columns(count) } else { behind_columns })
            }
            (Place::Columns(1), _) => Some(behind_columns),
            (Place::Columns(count), _) => Some(Place::Columns(count.saturating_sub(1))),
            (Place::Middle, [EOF, ..]) => Some(Place::Rows),
            (Place::Middle, _) => return Err(strange()),
            (Place::Rows, [EOF, ..]) if !eof || payload.len() < MAX_EOF => None,
            (Place::Rows, row) => {
                if received.value.is_none() {
                    received.value =
                        Fields(row).string().and_then(|text| String::from_utf8(text.to_vec()).ok());
                }
                Some(Place::Rows)
            }
        })
    }
}

fn strange() -> ProtocolError {
    ProtocolError::protocol("the server's answer to a statement of ours is not as it should be")
}

impl Exchange for Command {
    type Outcome = CommandResult;

    fn advance(mut self, inbox: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        let begun = State::Sent(Place::Head, Received::default());
        let (mut place, mut received) = match std::mem::replace(&mut self.state, begun) {
            State::Begun(bytes) => return Ok(Step::Write(Zeroizing::new(bytes), self)),
            State::Sent(place, received) => (place, received),
        };
        loop {
            // The answer's packets are numbered from 1 on.
            let sequence = u8::try_from(received.packets + 1).unwrap_or(u8::MAX);
            let Some((payload, total)) = codec::read_packet(inbox, sequence)? else {
                self.state = State::Sent(place, received);
                return Ok(Step::Read(self));
            };
            received.packets += 1;
            if received.packets > MAX_PACKETS {
                return Err(ProtocolError::protocol(
                    "the server's answer to a statement of ours has no end",
                ));
            }
            let next = self.next(place, payload, &mut received)?;
            inbox.consume(total);
            match next {
                Some(next) => place = next,
                None => {
                    return Ok(Step::Done(Vec::new(), CommandResult { value: received.value }));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
