//! How a database server's module asks the verifier about one login, over any stream.
//!
//! A question and its answer are one frame each: the length as four bytes, big-endian, then JSON. An answer counts only
//! where it is whole, repeats the question's nonce and says `allow`; all else, whatever it is, means no.

use std::fmt;
use std::io::{self, Read, Write};

use zeroize::Zeroizing;

use crate::failure::{Class, Failure};
use crate::name::{DbUser, Engine, InstanceId};
use crate::token::MAX_TOKEN;

/// The version of the questions and answers below.
pub const VERSION: u32 = 1;

/// The longest question in bytes: a token of the greatest length, every byte of it escaped as `\u00XX`, and the rest.
pub const MAX_REQUEST: usize = 6 * MAX_TOKEN + 8192;

/// The longest answer in bytes.
pub const MAX_RESPONSE: usize = 1024;

/// May this login go through? Holds the token, so `Debug` leaves it out and the memory is wiped on drop.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    version: u32,
    nonce: Nonce,
    /// The server's kind.
    pub engine: Engine,
    /// The instance that the server is, as its configuration says.
    pub instance: InstanceId,
    /// The database user that wants in.
    pub user: DbUser,
    /// What came as the password.
    pub token: Zeroizing<String>,
    /// The client's address, where the server knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Whether the connection has TLS, where the module can see that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<bool>,
}

impl VerifyRequest {
    /// The question about `user` on `instance`; `nonce` must be of 16 random bytes, never used before.
    #[must_use]
    pub fn new(
        nonce: Nonce,
        engine: Engine,
        instance: InstanceId,
        user: DbUser,
        token: Zeroizing<String>,
    ) -> Self {
        Self { version: VERSION, nonce, engine, instance, user, token, client: None, tls: None }
    }

    /// What the answer has to repeat.
    #[must_use]
    pub const fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// Reads a question from a frame's body.
    ///
    /// # Errors
    /// [`Class::Protocol`], without the text.
    pub fn parse(body: &[u8]) -> Result<Self, Failure> {
        let question: Self = serde_json::from_slice(body).map_err(|error| {
            protocol(format!("the question is malformed at column {}", error.column()))
        })?;
        match question.version {
            VERSION => Ok(question),
            other => {
                Err(protocol(format!("the question is of version {other}, this is {VERSION}")))
            }
        }
    }
}

impl fmt::Debug for VerifyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyRequest")
            .field("instance", &self.instance)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Ties an answer to its question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Nonce(
    /// Sixteen random bytes.
    pub [u8; 16],
);

/// What the verifier says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase", deny_unknown_fields)]
pub enum VerifyResponse {
    /// The login may go through.
    Allow {
        /// The question's.
        nonce: Nonce,
    },
    /// It may not.
    Deny {
        /// The question's.
        nonce: Nonce,
        /// Why, in one word: the details are in the verifier's log.
        class: Class,
    },
}

/// What came as a password, as text: U+FFFD stands for what is not UTF-8 in it. That makes no token, but the refusal belongs
/// in the access log. As `String::from_utf8_lossy`, except that no copy is left where the text outgrows its memory.
#[must_use]
pub fn password(bytes: &[u8]) -> Zeroizing<String> {
    // A byte becomes three at most.
    let mut text = Zeroizing::new(String::with_capacity(3 * bytes.len()));
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend((!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER));
    }
    text
}

/// A frame around `value`, wiped on drop.
///
/// # Errors
/// [`Class::Internal`] where the value can't be written.
pub fn frame(
    value: &impl serde::Serialize,
    capacity: usize,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut frame = Zeroizing::new(Vec::with_capacity(capacity));
    frame.extend_from_slice(&[0; 4]);
    serde_json::to_writer(&mut *frame, value).map_err(|error| {
        Failure::new(Class::Internal, format!("a frame can't be written: {error}"))
    })?;
    let length = u32::try_from(frame.len() - 4)
        .map_err(|_| Failure::new(Class::Internal, "a frame is too long"))?;
    for (to, from) in frame.iter_mut().zip(length.to_be_bytes()) {
        *to = from;
    }
    Ok(frame)
}

/// The length that a frame announces, refused above `most` before anything is allocated.
///
/// # Errors
/// [`Class::Protocol`]
pub fn frame_length(head: [u8; 4], most: usize) -> Result<usize, Failure> {
    let length = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
    if length > most {
        return Err(protocol(format!(
            "a frame of {length} bytes is announced, the most is {most}"
        )));
    }
    Ok(length)
}

/// Asks, and waits for the answer; the stream must have a deadline of its own.
///
/// # Errors
/// The class that the verifier denies with; [`Class::TimedOut`], [`Class::Unavailable`] or [`Class::Protocol`] where it
/// gives no proper answer.
pub fn round_trip(
    stream: &mut (impl Read + Write),
    question: &VerifyRequest,
) -> Result<(), Failure> {
    let capacity = 6 * question.token.len() + 8192;
    let frame = frame(question, capacity)?;
    stream.write_all(&frame).and_then(|()| stream.flush()).map_err(|error| unanswered(&error))?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).map_err(|error| unanswered(&error))?;
    let mut body = vec![0; frame_length(head, MAX_RESPONSE)?];
    stream.read_exact(&mut body).map_err(|error| unanswered(&error))?;
    match serde_json::from_slice(&body) {
        Ok(VerifyResponse::Allow { nonce }) if nonce == question.nonce => Ok(()),
        Ok(VerifyResponse::Deny { nonce, class }) if nonce == question.nonce => {
            Err(Failure::new(class, "the verifier's log says why"))
        }
        Ok(_) => Err(protocol("the verifier answered another question".to_owned())),
        Err(_) => Err(protocol("the verifier's answer is malformed".to_owned())),
    }
}

fn protocol(detail: String) -> Failure {
    Failure::new(Class::Protocol, detail)
}

fn unanswered(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            Failure::new(Class::TimedOut, format!("the verifier gave no answer: {error}"))
        }
        io::ErrorKind::UnexpectedEof => {
            Failure::new(Class::Unavailable, "the verifier hung up before it had answered")
        }
        _ => Failure::new(Class::Unavailable, format!("the verifier gave no answer: {error}")),
    }
}

#[cfg(test)]
mod tests;
