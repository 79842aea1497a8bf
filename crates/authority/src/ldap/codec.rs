//! Codec for the part of LDAP that a simple bind uses; no I/O.
//!
//! RFC 4511 specifies the messages, and its section 5.1 the restrictions of BER: lengths are
//! definite. Lengths of up to four bytes are accepted even if fewer would do, since clients write
//! them. Trailing bytes and all other elements are rejected.

use countersign_core::token::MAX_TOKEN;

/// Maximum size in bytes of a message: the longest token, and 1 KiB for names, controls and
/// headers.
pub const MAX_MESSAGE: usize = MAX_TOKEN + 1024;

/// Maximum number of bytes of a tag and a length.
pub const MAX_HEAD: usize = 6;

/// `LDAPMessage` is a `SEQUENCE`: RFC 4511, 4.1.1.
const SEQUENCE: u8 = 0x30;
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;

/// `BindRequest ::= [APPLICATION 0] SEQUENCE`, 4.2.
const BIND_REQUEST: u8 = 0x60;
/// `BindResponse ::= [APPLICATION 1] SEQUENCE`, 4.2.2.
const BIND_RESPONSE: u8 = 0x61;
/// `UnbindRequest ::= [APPLICATION 2] NULL`, 4.3.
const UNBIND_REQUEST: u8 = 0x42;
/// `AbandonRequest ::= [APPLICATION 16] MessageID`, 4.11: it has no response.
const ABANDON_REQUEST: u8 = 0x50;
/// `ExtendedResponse ::= [APPLICATION 24] SEQUENCE`, 4.12.
const EXTENDED_RESPONSE: u8 = 0x78;
/// Its `responseName [10]`.
const RESPONSE_NAME: u8 = 0x8a;
/// `controls [0] Controls`, 4.1.1.
const CONTROLS: u8 = 0xa0;
/// `simple [0] OCTET STRING`, 4.2.
const SIMPLE: u8 = 0x80;

/// Tags of the other requests, each with the tag of its response: search, modify, add, delete,
/// rename, compare, extended.
const OTHER_OPERATIONS: [(u8, u8); 7] = [
    (0x63, 0x65),
    (0x66, 0x67),
    (0x68, 0x69),
    (0x4a, 0x6b),
    (0x6c, 0x6d),
    (0x6e, 0x6f),
    (0x77, EXTENDED_RESPONSE),
];

/// OID of the notice of disconnection, 4.4.1.
const NOTICE_OF_DISCONNECTION: &str = "1.3.6.1.4.1.1466.20036";

/// Supported version of LDAP, 4.2.
const VERSION: u32 = 3;

/// The bytes are not an LDAP message, or not a supported one. Contains the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Result of reading the first bytes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// Number of bytes still missing before the length is known.
    Partial(usize),
    /// Number of bytes of the body.
    Whole(usize),
}

/// Message id, which the response repeats. Never 0, which is reserved for the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageId(u32);

/// Request message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Message id.
    pub id: MessageId,
    /// Requested operation.
    pub request: Request<'a>,
}

/// Requested operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Simple bind of version 3. Name and password may be empty, and do not authenticate then.
    Simple {
        /// Distinguished name.
        name: &'a [u8],
        /// Password.
        password: &'a [u8],
    },
    /// Bind that is rejected with this code without a verification.
    Refused(ResultCode),
    /// Unbind: the client closes the connection.
    Unbind,
    /// Abandon of an earlier request, of which none is in progress.
    Abandon,
    /// Any other operation, with the tag of its response.
    Other(ResponseTag),
}

/// Tag of the response to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseTag(u8);

/// `resultCode` of RFC 4511, 4.1.9 and appendix A.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "each variant has its name in RFC 4511")]
pub enum ResultCode {
    Success = 0,
    ProtocolError = 2,
    AuthMethodNotSupported = 7,
    UnavailableCriticalExtension = 12,
    InvalidDnSyntax = 34,
    InappropriateAuthentication = 48,
    InvalidCredentials = 49,
    Busy = 51,
    Unavailable = 52,
    UnwillingToPerform = 53,
    Other = 80,
}

impl std::fmt::Debug for Request<'_> {
    /// Omits the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Simple { name, .. } => f
                .debug_struct("Simple")
                .field("name", &String::from_utf8_lossy(name))
                .finish_non_exhaustive(),
            Self::Refused(code) => f.debug_tuple("Refused").field(code).finish(),
            Self::Unbind => f.write_str("Unbind"),
            Self::Abandon => f.write_str("Abandon"),
            Self::Other(tag) => f.debug_tuple("Other").field(tag).finish(),
        }
    }
}

/// Reads the header of a message. A length above [`MAX_MESSAGE`] is rejected before any allocation.
pub fn head(bytes: &[u8]) -> Result<Head, Malformed> {
    let length = match bytes {
        [] => return Ok(Head::Partial(2)),
        [SEQUENCE, length @ ..] => length,
        _ => return Err(Malformed("message does not begin with an LDAP tag")),
    };
    let Some(first) = length.first() else {
        return Ok(Head::Partial(1));
    };
    let missing = (1 + length_octets(*first)?).saturating_sub(length.len());
    if missing > 0 {
        return Ok(Head::Partial(missing));
    }
    match Reader(length).length()? {
        length if length > MAX_MESSAGE => Err(Malformed("message exceeds the maximum size")),
        length => Ok(Head::Whole(length)),
    }
}

/// Parses the body of a message, all of which must belong to it.
pub fn parse(body: &[u8]) -> Result<Message<'_>, Malformed> {
    let mut reader = Reader(body);
    let id = match reader.integer()? {
        0 => return Err(Malformed("message id is 0")),
        id => MessageId(id),
    };
    let (tag, content) = reader.any()?;
    let request = request(tag, content)?;
    let critical = !reader.is_empty() && critical(reader.take(CONTROLS)?)?;
    reader.end()?;
    // A bind with an unsupported critical control is rejected; an unbind ignores all controls:
    // 4.1.11.
    let request = match request {
        Request::Simple { .. } if critical => {
            Request::Refused(ResultCode::UnavailableCriticalExtension)
        }
        request => request,
    };
    Ok(Message { id, request })
}

fn request(tag: u8, content: &[u8]) -> Result<Request<'_>, Malformed> {
    match tag {
        BIND_REQUEST => bind(content),
        UNBIND_REQUEST if content.is_empty() => Ok(Request::Unbind),
        ABANDON_REQUEST => Ok(Request::Abandon),
        _ => match OTHER_OPERATIONS.iter().find(|(request, _)| *request == tag) {
            Some((_, response)) => Ok(Request::Other(ResponseTag(*response))),
            None => Err(Malformed("message contains no LDAP request")),
        },
    }
}

fn bind(content: &[u8]) -> Result<Request<'_>, Malformed> {
    let mut reader = Reader(content);
    let version = reader.integer()?;
    let name = reader.take(OCTET_STRING)?;
    let (method, password) = reader.any()?;
    reader.end()?;
    // "If the server does not support the specified version, it MUST respond with a BindResponse
    // where the resultCode is set to protocolError": 4.2.
    Ok(match method {
        _ if version != VERSION => Request::Refused(ResultCode::ProtocolError),
        SIMPLE => Request::Simple { name, password },
        _ => Request::Refused(ResultCode::AuthMethodNotSupported),
    })
}

/// Returns true if one of the controls, 4.1.11, is critical. No control is supported.
fn critical(controls: &[u8]) -> Result<bool, Malformed> {
    let (mut controls, mut critical) = (Reader(controls), false);
    while !controls.is_empty() {
        let mut control = Reader(controls.take(SEQUENCE)?);
        control.take(OCTET_STRING)?;
        if control.is_at(BOOLEAN) {
            // TRUE is 0xff and nothing else: 5.1.
            critical |= match control.take(BOOLEAN)? {
                [0xff] => true,
                [0x00] => false,
                _ => {
                    return Err(Malformed("criticality of a control is not a boolean"));
                }
            };
        }
        if !control.is_empty() {
            control.take(OCTET_STRING)?;
        }
        control.end()?;
    }
    Ok(critical)
}

/// Returns the number of bytes of a length after its first one: X.690, 8.1.3. Clients write at most
/// four.
const fn length_octets(first: u8) -> Result<usize, Malformed> {
    match first {
        0..0x80 => Ok(0),
        0x80 => Err(Malformed("indefinite length")),
        0x81..=0x84 => Ok((first & 0x7f) as usize),
        _ => Err(Malformed("length of more than four bytes")),
    }
}

/// Unread bytes of a value.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    const SHORT: Malformed = Malformed("message is truncated");

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn is_at(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }

    fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed("trailing bytes")) }
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(Self::SHORT)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let (byte, rest) = self.0.split_first().ok_or(Self::SHORT)?;
        self.0 = rest;
        Ok(*byte)
    }

    fn length(&mut self) -> Result<usize, Malformed> {
        let first = self.byte()?;
        match length_octets(first)? {
            0 => Ok(first.into()),
            octets => Ok(self
                .bytes(octets)?
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte))),
        }
    }

    /// Reads the next element: tag and content.
    fn any(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let tag = self.byte()?;
        let length = self.length()?;
        Ok((tag, self.bytes(length)?))
    }

    fn take(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        match self.any()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(Malformed("unexpected element")),
        }
    }

    /// Reads a number from 0 to 2³¹ − 1, `maxInt` of 4.1.1, in its shortest encoding: X.690, 8.3.2.
    fn integer(&mut self) -> Result<u32, Malformed> {
        match *self.take(INTEGER)? {
            [] | [_, _, _, _, _, ..] => Err(Malformed("number of zero or more than four bytes")),
            [0x80..=0xff, ..] => Err(Malformed("negative number")),
            [0, 0..0x80, ..] => Err(Malformed("number not in its shortest encoding")),
            ref bytes => Ok(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))),
        }
    }
}

/// Encodes the response to a bind. PostgreSQL writes `diagnostic` to its log.
pub fn bind_response(id: MessageId, code: ResultCode, diagnostic: &str) -> Vec<u8> {
    response(id.0, BIND_RESPONSE, &result(code, diagnostic))
}

/// Encodes the response to another operation.
pub fn other_response(
    id: MessageId,
    tag: ResponseTag,
    code: ResultCode,
    diagnostic: &str,
) -> Vec<u8> {
    response(id.0, tag.0, &result(code, diagnostic))
}

/// Encodes the notice that the server sends before it closes the connection.
pub fn notice_of_disconnection(code: ResultCode, diagnostic: &str) -> Vec<u8> {
    let mut content = result(code, diagnostic);
    put(&mut content, RESPONSE_NAME, NOTICE_OF_DISCONNECTION.as_bytes());
    response(0, EXTENDED_RESPONSE, &content)
}

/// Encodes `LDAPResult`, 4.1.9: code, empty matched name, diagnostic.
fn result(code: ResultCode, diagnostic: &str) -> Vec<u8> {
    let mut content = Vec::new();
    put(&mut content, ENUMERATED, &[code as u8]);
    put(&mut content, OCTET_STRING, b"");
    put(&mut content, OCTET_STRING, diagnostic.as_bytes());
    content
}

fn response(id: u32, tag: u8, content: &[u8]) -> Vec<u8> {
    let (mut message, mut body) = (Vec::new(), Vec::new());
    put_integer(&mut body, id);
    put(&mut body, tag, content);
    put(&mut message, SEQUENCE, &body);
    message
}

fn put_integer(to: &mut Vec<u8>, number: u32) {
    let bytes = number.to_be_bytes();
    // A leading zero byte is kept if the number would be negative without it.
    let spare = bytes.windows(2).take_while(|pair| matches!(pair, [0, 0..0x80])).count();
    put(to, INTEGER, bytes.get(spare..).unwrap_or_default());
}

/// Appends an element, with the length in its shortest encoding.
fn put(to: &mut Vec<u8>, tag: u8, content: &[u8]) {
    to.push(tag);
    let bytes = content.len().to_be_bytes();
    let needed: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
    match *needed {
        [] => to.push(0),
        [short @ 0..0x80] => to.push(short),
        // At most eight bytes, so the first one can hold their number.
        _ => {
            to.push(0x80 | u8::try_from(needed.len()).unwrap_or(0x7f));
            to.extend_from_slice(&needed);
        }
    }
    to.extend_from_slice(content);
}

#[cfg(test)]
mod tests;
