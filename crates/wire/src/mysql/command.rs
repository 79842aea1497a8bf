//! Execution of the proxy's own commands in an idle session: resets and probes.

use zeroize::Zeroizing;

use super::Capabilities;
use super::codec::{self, EOF, ERR, Fields, OK};
use super::response;
use crate::exchange::{Exchange, ProtocolError, Step};
use crate::read_buffer::ReadBuffer;

/// Maximum number of packets of a response. The expected result is one row of one column.
const MAX_PACKETS: usize = 64;

/// Length from which a packet that starts with 0xfe is a row instead of an EOF packet.
const MIN_ROW_LEN: usize = 9;

/// One command and its response.
#[derive(Debug)]
pub struct Command {
    capabilities: Capabilities,
    state: State,
}

#[derive(Debug)]
enum State {
    Start(Vec<u8>),
    Sent(Expected, Response),
}

/// Next expected part of the response.
#[derive(Debug, Clone, Copy)]
enum Expected {
    /// OK, ERR, or the number of columns.
    First,
    /// This many column definitions.
    ColumnDefinitions(u64),
    /// The EOF packet after the column definitions.
    ColumnsEof,
    /// Rows and their end.
    Rows,
}

#[derive(Debug, Default)]
struct Response {
    value: Option<String>,
    packets: usize,
}

/// Result of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandResult {
    /// First column of the first row. `None` without a row, and for NULL or non-UTF-8 values.
    pub value: Option<String>,
}

impl Command {
    /// Creates a command from a packet of [`codec`], in a session with these capabilities.
    #[must_use]
    pub const fn new(packet: Vec<u8>, capabilities: Capabilities) -> Self {
        Self { capabilities, state: State::Start(packet) }
    }

    /// Creates a `COM_QUERY`.
    #[must_use]
    pub fn query(sql: &str, capabilities: Capabilities) -> Self {
        Self::new(codec::query(sql, capabilities), capabilities)
    }

    /// Returns the part that follows this packet; `None` at the end of the response.
    fn next(
        &self,
        expected: Expected,
        payload: &[u8],
        response: &mut Response,
    ) -> Result<Option<Expected>, ProtocolError> {
        let has_eof = !self.capabilities.has(Capabilities::DEPRECATE_EOF);
        let after_columns = if has_eof { Expected::ColumnsEof } else { Expected::Rows };
        Ok(match (expected, payload) {
            (_, [ERR, ..]) => {
                return Err(ProtocolError::Refused(response::error_fields(payload)));
            }
            (Expected::First, [OK, ..]) => None,
            (Expected::First, payload) => {
                let mut fields = Fields(payload);
                let count = fields
                    .integer()
                    .filter(|count| (1..64).contains(count))
                    .ok_or_else(malformed)?;
                let optional = self
                    .capabilities
                    .has_any(Capabilities::OPTIONAL_METADATA | Capabilities::CACHE_METADATA);
                let has_definitions = !optional || fields.u8() == Some(1);
                let definitions = Expected::ColumnDefinitions(count);
                Some(if has_definitions { definitions } else { after_columns })
            }
            (Expected::ColumnDefinitions(1), _) => Some(after_columns),
            (Expected::ColumnDefinitions(count), _) => {
                Some(Expected::ColumnDefinitions(count.saturating_sub(1)))
            }
            (Expected::ColumnsEof, [EOF, ..]) => Some(Expected::Rows),
            (Expected::ColumnsEof, _) => return Err(malformed()),
            (Expected::Rows, [EOF, ..]) if !has_eof || payload.len() < MIN_ROW_LEN => None,
            (Expected::Rows, row) => {
                if response.value.is_none() {
                    response.value =
                        Fields(row).string().and_then(|text| String::from_utf8(text.to_vec()).ok());
                }
                Some(Expected::Rows)
            }
        })
    }
}

fn malformed() -> ProtocolError {
    ProtocolError::protocol("the server's response to the proxy's own command is malformed")
}

impl Exchange for Command {
    type Output = CommandResult;

    fn advance(mut self, buffer: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        let sent = State::Sent(Expected::First, Response::default());
        let (mut expected, mut response) = match std::mem::replace(&mut self.state, sent) {
            State::Start(bytes) => return Ok(Step::Write(Zeroizing::new(bytes), self)),
            State::Sent(expected, response) => (expected, response),
        };
        loop {
            // Packets of the response are numbered from 1.
            let sequence = u8::try_from(response.packets + 1).unwrap_or(u8::MAX);
            let Some((payload, total)) = codec::read_packet(buffer, sequence)? else {
                self.state = State::Sent(expected, response);
                return Ok(Step::Read(self));
            };
            response.packets += 1;
            if response.packets > MAX_PACKETS {
                return Err(ProtocolError::protocol(format!(
                    "the server sent more than {MAX_PACKETS} packets in response to the proxy's \
                     own command"
                )));
            }
            let next = self.next(expected, payload, &mut response)?;
            buffer.consume(total);
            let Some(next) = next else {
                return Ok(Step::Done(Vec::new(), CommandResult { value: response.value }));
            };
            expected = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Capabilities = Capabilities::PROTOCOL_41;
    const OLD_EOF: &[u8] = &[0xfe, 0, 0, 2, 0];

    fn respond(
        capabilities: Capabilities,
        packets: &[&[u8]],
    ) -> Result<Option<String>, ProtocolError> {
        let mut buffer = ReadBuffer::default();
        let Step::Write(_, mut command) =
            Command::query("SELECT 1", capabilities).advance(&mut buffer).unwrap()
        else {
            panic!()
        };
        let bytes: Vec<u8> = packets
            .iter()
            .zip(1..)
            .flat_map(|(payload, sequence)| codec::packet(sequence, payload))
            .collect();
        for byte in &bytes {
            command = match command.advance(&mut buffer)? {
                Step::Read(next) => next,
                step => panic!("{step:?}"),
            };
            buffer.push(&[*byte]);
        }
        match command.advance(&mut buffer)? {
            Step::Done(_, CommandResult { value }) => Ok(value),
            step => panic!("{step:?}"),
        }
    }

    #[test]
    fn result_is_the_first_column_of_the_first_row() {
        let rows: [&[u8]; 6] = [&[1], b"a definition", OLD_EOF, b"\x01 ", b"\x01x", OLD_EOF];
        assert_eq!(respond(OLD, &rows).unwrap().as_deref(), Some(" "));
        let new = OLD | Capabilities::DEPRECATE_EOF;
        let rows: [&[u8]; 4] = [&[1], b"a definition", b"\x02ON", &[0xfe, 0, 0, 2, 0, 0, 0]];
        assert_eq!(respond(new, &rows).unwrap().as_deref(), Some("ON"));
        let optional = new | Capabilities::OPTIONAL_METADATA;
        let rows: [&[u8]; 3] = [&[1, 0], b"\x02ON", &[0xfe, 0, 0, 2, 0, 0, 0]];
        assert_eq!(respond(optional, &rows).unwrap().as_deref(), Some("ON"));
    }

    #[test]
    fn result_is_none_for_ok_and_null() {
        assert_eq!(respond(OLD, &[&[0, 0, 0, 2, 0, 0, 0]]).unwrap(), None);
        let null: [&[u8]; 5] = [&[1], b"a definition", OLD_EOF, &[0xfb], OLD_EOF];
        assert_eq!(respond(OLD, &null).unwrap(), None);
    }

    #[test]
    fn server_error_is_returned() {
        let error = response::error_packet(1, 1193, "HY000", "Unknown system variable", OLD);
        let result = respond(OLD, &[&error[4..]]);
        assert!(
            matches!(result, Err(ProtocolError::Refused(error)) if error.code == "1193 (HY000)")
        );
    }
}
