//! A statement of our own in a session that nobody uses: to reset it, to ask which server it is on.

use zeroize::Zeroizing;

use super::codec;
use crate::exchange::{Exchange, ProtocolError, Step};
use crate::read_buffer::ReadBuffer;

/// The most that one message of the answer holds, in bytes: the answer is a word.
const MAX_ANSWER: usize = 65_536;

/// The most messages of an answer: a reset reports each setting that it puts back.
const MAX_MESSAGES: usize = 1024;

/// One statement of SQL, and its answer.
#[derive(Debug)]
pub struct SimpleQuery(State);

#[derive(Debug)]
enum State {
    Begun(Vec<u8>),
    Sent { answer: Option<String>, messages: usize },
}

/// What came of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryResult {
    /// The first column of the first row, where there is one and it is a text.
    pub value: Option<String>,
}

impl SimpleQuery {
    /// Asks.
    #[must_use]
    pub fn new(sql: &str) -> Self {
        Self(State::Begun(codec::query(sql)))
    }
}

impl Exchange for SimpleQuery {
    type Outcome = QueryResult;

    fn advance(self, inbox: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        let (mut answer, mut messages) = match self.0 {
            State::Begun(bytes) => {
                return Ok(Step::Write(
                    Zeroizing::new(bytes),
                    Self(State::Sent { answer: None, messages: 0 }),
                ));
            }
            State::Sent { answer, messages } => (answer, messages),
        };
        loop {
            let Some((kind, payload, total)) = codec::read_message(inbox, MAX_ANSWER)? else {
                return Ok(Step::Read(Self(State::Sent { answer, messages })));
            };
            messages += 1;
            let over = match kind {
                b'E' => return Err(ProtocolError::Refused(codec::error_fields(payload))),
                b'D' if answer.is_none() => {
                    answer = first_column(payload);
                    false
                }
                b'Z' if payload == b"I" => true,
                b'Z' => {
                    return Err(ProtocolError::protocol(
                        "the session is within a transaction after a statement of ours",
                    ));
                }
                _ if messages > MAX_MESSAGES => {
                    return Err(ProtocolError::protocol(
                        "the server's answer to a statement of ours has no end",
                    ));
                }
                _ => false,
            };
            inbox.consume(total);
            if over {
                return Ok(Step::Done(Vec::new(), QueryResult { value: answer }));
            }
        }
    }
}

/// `DataRow`: a count, then each column's length and bytes; a length of -1 is NULL.
fn first_column(payload: &[u8]) -> Option<String> {
    let (_count, rest) = payload.split_first_chunk::<2>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
    String::from_utf8(rest.get(..length)?.to_vec()).ok()
}

#[cfg(test)]
mod tests;
