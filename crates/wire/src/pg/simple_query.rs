//! Execution of the proxy's own statements in an idle session: resets and probes.

use zeroize::Zeroizing;

use super::codec;
use crate::exchange::{Exchange, ProtocolError, Step};
use crate::read_buffer::ReadBuffer;

/// Maximum length of one response message, in bytes. The expected result is one word.
const MAX_MESSAGE: usize = 65_536;

/// Maximum number of response messages. A reset reports each setting that it changes.
const MAX_MESSAGES: usize = 1024;

/// One SQL statement and its response.
#[derive(Debug)]
pub struct SimpleQuery(State);

#[derive(Debug)]
enum State {
    Start(Vec<u8>),
    Sent { value: Option<String>, messages: usize },
}

/// Result of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryResult {
    /// First column of the first row. `None` without a row, and for NULL or non-UTF-8 values.
    pub value: Option<String>,
}

impl SimpleQuery {
    /// Creates a `Query` message.
    #[must_use]
    pub fn new(sql: &str) -> Self {
        Self(State::Start(codec::query(sql)))
    }
}

impl Exchange for SimpleQuery {
    type Output = QueryResult;

    fn advance(self, buffer: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        let (mut value, mut messages) = match self.0 {
            State::Start(bytes) => {
                let sent = State::Sent { value: None, messages: 0 };
                return Ok(Step::Write(Zeroizing::new(bytes), Self(sent)));
            }
            State::Sent { value, messages } => (value, messages),
        };
        loop {
            let Some((kind, payload, total)) = codec::read_message(buffer, MAX_MESSAGE)? else {
                return Ok(Step::Read(Self(State::Sent { value, messages })));
            };
            messages += 1;
            let ready = match kind {
                b'E' => return Err(ProtocolError::Refused(codec::error_fields(payload))),
                b'D' if value.is_none() => {
                    value = first_column(payload);
                    false
                }
                b'Z' if payload == b"I" => true,
                b'Z' => {
                    return Err(ProtocolError::protocol(
                        "the session is in a transaction after the proxy's own statement",
                    ));
                }
                _ if messages > MAX_MESSAGES => {
                    return Err(ProtocolError::protocol(format!(
                        "the server sent more than {MAX_MESSAGES} messages in response to the \
                         proxy's own statement"
                    )));
                }
                _ => false,
            };
            buffer.consume(total);
            if ready {
                return Ok(Step::Done(Vec::new(), QueryResult { value }));
            }
        }
    }
}

/// Parses a `DataRow`: a count, then the length and the bytes of each column. Length -1 means NULL.
fn first_column(payload: &[u8]) -> Option<String> {
    let (_count, rest) = payload.split_first_chunk::<2>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
    String::from_utf8(rest.get(..length)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn respond(bytes: &[u8]) -> Result<Step<SimpleQuery>, ProtocolError> {
        let mut buffer = ReadBuffer::default();
        let Step::Write(sent, mut statement) =
            SimpleQuery::new("SHOW x").advance(&mut buffer).unwrap()
        else {
            panic!()
        };
        assert_eq!(*sent, *b"Q\0\0\0\x0bSHOW x\0");
        for byte in bytes {
            match statement.advance(&mut buffer)? {
                Step::Read(next) => statement = next,
                step => return Ok(step),
            }
            buffer.push(&[*byte]);
        }
        statement.advance(&mut buffer)
    }

    #[test]
    fn result_is_the_first_column_of_the_first_row() {
        let row = |value: &[u8]| {
            codec::message(b'D', &[&[0, 1, 0, 0, 0, value.len() as u8], value].concat())
        };
        let bytes = [
            codec::message(b'T', b"\0\x01"),
            row(b"on"),
            row(b"off"),
            codec::message(b'C', b"SHOW\0"),
            codec::ready_for_query(b'I'),
        ];
        let step = respond(&bytes.concat()).unwrap();
        assert!(matches!(step, Step::Done(_, QueryResult { value: Some(value) }) if value == "on"));
    }

    #[test]
    fn result_is_none_without_row_and_for_null() {
        let null = codec::message(b'D', &[0, 1, 255, 255, 255, 255]);
        for rows in [Vec::new(), null] {
            let step = respond(&[rows, codec::ready_for_query(b'I')].concat()).unwrap();
            assert!(matches!(step, Step::Done(_, QueryResult { value: None })));
        }
    }

    #[test]
    fn server_error_and_open_transaction_are_errors() {
        let error = codec::error_response("ERROR", "42704", "no such setting", None, None);
        let result = respond(&error);
        assert!(matches!(result, Err(ProtocolError::Refused(error)) if error.code == "42704"));
        let result = respond(&codec::ready_for_query(b'T'));
        assert!(matches!(result, Err(ProtocolError::Protocol { .. })));
    }
}
