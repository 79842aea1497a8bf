//! Protocol between the module of a database server and the verifier, over any stream.
//!
//! Request and response are one frame each: the length as four bytes, big-endian, then JSON. A
//! login is allowed only by a complete response with the nonce of the request and the verdict
//! `allow`; anything else denies it.

use std::fmt;
use std::io::{self, Read, Write};

use zeroize::Zeroizing;

use crate::failure::{Class, Failure};
use crate::name::{DbUser, Engine, InstanceId};
use crate::token::MAX_TOKEN;

/// Version of the requests and responses below.
pub const VERSION: u32 = 1;

/// Maximum length of a request in bytes: a token of maximum length with every byte escaped as
/// `\u00XX`, and the other fields.
pub const MAX_REQUEST: usize = 6 * MAX_TOKEN + 8192;

/// Maximum length of a response in bytes.
pub const MAX_RESPONSE: usize = 1024;

/// Request to verify one login. `Debug` omits the token, and its memory is wiped on drop.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyRequest {
    version: u32,
    nonce: Nonce,
    /// Engine of the server.
    pub engine: Engine,
    /// The instance of the server, as configured.
    pub instance: InstanceId,
    /// The database user to log in as.
    pub user: DbUser,
    /// The password sent by the client.
    pub token: Zeroizing<String>,
    /// Address of the client, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// True if the connection uses TLS; `None` if the module cannot determine that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<bool>,
}

impl VerifyRequest {
    /// Returns a request for `user` on `instance`. `nonce` must be 16 random bytes, never used
    /// before.
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

    /// The nonce that the response must repeat.
    #[must_use]
    pub const fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// Parses the body of a frame.
    ///
    /// # Errors
    /// [`Class::Protocol`], without the text of the body.
    pub fn parse(body: &[u8]) -> Result<Self, Failure> {
        let request: Self = serde_json::from_slice(body).map_err(|error| {
            protocol(format!("request is malformed at column {}", error.column()))
        })?;
        match request.version {
            VERSION => Ok(request),
            other => Err(protocol(format!(
                "request has version {other}; this verifier supports {VERSION}"
            ))),
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

/// Binds a response to its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Nonce(
    /// Sixteen random bytes.
    pub [u8; 16],
);

/// Response of the verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase", deny_unknown_fields)]
pub enum VerifyResponse {
    /// The login is allowed.
    Allow {
        /// Nonce of the request.
        nonce: Nonce,
    },
    /// The login is denied.
    Deny {
        /// Nonce of the request.
        nonce: Nonce,
        /// Class of the failure. The verifier's log has the details.
        class: Class,
    },
}

/// Converts a password to text, with U+FFFD for invalid UTF-8. The result is not a token then, but
/// the denial belongs in the access log. Unlike `String::from_utf8_lossy`, it leaves no copy in
/// memory by a reallocation.
#[must_use]
pub fn password(bytes: &[u8]) -> Zeroizing<String> {
    // A byte becomes at most three bytes.
    let mut text = Zeroizing::new(String::with_capacity(3 * bytes.len()));
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend((!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER));
    }
    text
}

/// Writes `value` as a frame, which is wiped on drop.
///
/// # Errors
/// [`Class::Internal`] if the value cannot be serialized.
pub fn frame(
    value: &impl serde::Serialize,
    capacity: usize,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut frame = Zeroizing::new(Vec::with_capacity(capacity));
    frame.extend_from_slice(&[0; 4]);
    serde_json::to_writer(&mut *frame, value).map_err(|error| {
        Failure::new(Class::Internal, format!("cannot serialize a frame: {error}"))
    })?;
    let length = u32::try_from(frame.len() - 4)
        .map_err(|_| Failure::new(Class::Internal, "cannot serialize a frame: it is too long"))?;
    for (to, from) in frame.iter_mut().zip(length.to_be_bytes()) {
        *to = from;
    }
    Ok(frame)
}

/// Returns the length of a frame. A length above `max` is rejected before anything is allocated.
///
/// # Errors
/// [`Class::Protocol`] if the frame is too long.
pub fn frame_length(head: [u8; 4], max: usize) -> Result<usize, Failure> {
    let length = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
    if length > max {
        return Err(protocol(format!("frame has {length} bytes; the limit is {max}")));
    }
    Ok(length)
}

/// Sends a request and waits for the response. The stream must enforce a deadline.
///
/// # Errors
/// The class of the denial; [`Class::TimedOut`], [`Class::Unavailable`] or [`Class::Protocol`] if
/// there is no valid response.
pub fn round_trip(
    stream: &mut (impl Read + Write),
    request: &VerifyRequest,
) -> Result<(), Failure> {
    let capacity = 6 * request.token.len() + 8192;
    let frame = frame(request, capacity)?;
    stream.write_all(&frame).and_then(|()| stream.flush()).map_err(|error| no_response(&error))?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).map_err(|error| no_response(&error))?;
    let mut body = vec![0; frame_length(head, MAX_RESPONSE)?];
    stream.read_exact(&mut body).map_err(|error| no_response(&error))?;
    match serde_json::from_slice(&body) {
        Ok(VerifyResponse::Allow { nonce }) if nonce == request.nonce => Ok(()),
        Ok(VerifyResponse::Deny { nonce, class }) if nonce == request.nonce => {
            Err(Failure::new(class, "see the verifier's log for the reason"))
        }
        Ok(_) => Err(protocol("response of the verifier has another nonce".to_owned())),
        Err(_) => Err(protocol("response of the verifier is malformed".to_owned())),
    }
}

fn protocol(detail: String) -> Failure {
    Failure::new(Class::Protocol, detail)
}

fn no_response(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            Failure::new(Class::TimedOut, format!("no response from the verifier: {error}"))
        }
        io::ErrorKind::UnexpectedEof => {
            Failure::new(Class::Unavailable, "verifier closed the connection without a response")
        }
        _ => Failure::new(Class::Unavailable, format!("no response from the verifier: {error}")),
    }
}

#[cfg(test)]
mod tests;
