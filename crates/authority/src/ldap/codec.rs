//! The little of LDAP that a simple bind takes: one message in, one response out, and no I/O.
//!
//! RFC 4511 has the messages, its section 5.1 the restrictions of BER: lengths are definite. Lengths in more bytes than
//! they need are accepted up to four, since clients write them; trailing bytes and all else that is not read are refused.

use countersign_core::token::MAX_TOKEN;

/// The longest message in bytes: the longest token and, beside it, the names, the controls and the frame around them.
pub const MAX_MESSAGE: usize = MAX_TOKEN + 1024;

/// The most bytes that tag and length take.
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

/// The other requests, each with the response that answers it: search, modify, add, delete, rename, compare, extended.
const ANSWERED: [(u8, u8); 7] = [
    (0x63, 0x65),
    (0x66, 0x67),
    (0x68, 0x69),
    (0x4a, 0x6b),
    (0x6c, 0x6d),
    (0x6e, 0x6f),
    (0x77, EXTENDED_RESPONSE),
];

/// The notice of disconnection, 4.4.1.
const NOTICE_OF_DISCONNECTION: &str = "1.3.6.1.4.1.1466.20036";

/// The one version of LDAP that is spoken, 4.2.
const VERSION: u32 = 3;

/// The bytes are no LDAP message, or one that is not read: why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// What the first bytes say about how many follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// So many more are needed before the length is known.
    Partial(usize),
    /// So many follow.
    Whole(usize),
}

/// The number of a request, which its response repeats: never 0, which is the server's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageId(u32);

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its number.
    pub id: MessageId,
    /// What it asks for.
    pub request: Request<'a>,
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// A bind of version 3 with a name and a password. Either may be empty, and then says nothing about anybody.
    Simple {
        /// The distinguished name.
        name: &'a [u8],
        /// The password.
        password: &'a [u8],
    },
    /// A bind that is answered with this without being looked at.
    Refused(ResultCode),
    /// The end of the connection.
    Unbind,
    /// Forget about a request: there is none to forget.
    Abandon,
    /// Any other operation, with the tag of its response.
    Other(ResponseTag),
}

/// The tag of the response that answers an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseTag(u8);

/// `resultCode`, RFC 4511, 4.1.9 and appendix A.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "each variant is the one that RFC 4511 gives that name")]
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
    /// Without the password.
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

/// Reads the beginning of a message. A length above [`MAX_MESSAGE`] is refused before anything is allocated for it.
pub fn head(bytes: &[u8]) -> Result<Head, Malformed> {
    let length = match bytes {
        [] => return Ok(Head::Partial(2)),
        [SEQUENCE, length @ ..] => length,
        _ => return Err(Malformed("it does not begin as a message of LDAP")),
    };
    let Some(first) = length.first() else {
        return Ok(Head::Partial(1));
    };
    let missing = (1 + length_octets(*first)?).saturating_sub(length.len());
    if missing > 0 {
        return Ok(Head::Partial(missing));
    }
    match Reader(length).length()? {
        length if length > MAX_MESSAGE => {
            Err(Malformed("it is longer than any message that is read"))
        }
        length => Ok(Head::Whole(length)),
    }
}

/// Reads what follows a [`Head::Whole`]: all of it has to be the message.
pub fn parse(body: &[u8]) -> Result<Message<'_>, Malformed> {
    let mut reader = Reader(body);
    let id = match reader.integer()? {
        0 => return Err(Malformed("the message's number is 0")),
        id => MessageId(id),
    };
    let (tag, content) = reader.any()?;
    let request = request(tag, content)?;
    let critical = !reader.is_empty() && critical(reader.take(CONTROLS)?)?;
    reader.end()?;
    // A bind with a critical control that is not known is refused; an unbind ignores all controls: 4.1.11.
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
        _ => match ANSWERED.iter().find(|(request, _)| *request == tag) {
            Some((_, response)) => Ok(Request::Other(ResponseTag(*response))),
            None => Err(Malformed("it holds no request of LDAP")),
        },
    }
}

fn bind(content: &[u8]) -> Result<Request<'_>, Malformed> {
    let mut reader = Reader(content);
    let version = reader.integer()?;
    let name = reader.take(OCTET_STRING)?;
    let (method, password) = reader.any()?;
    reader.end()?;
    // "If the server does not support the specified version, it MUST respond with a BindResponse where the resultCode is
    // set to protocolError": 4.2.
    Ok(match method {
        _ if version != VERSION => Request::Refused(ResultCode::ProtocolError),
        SIMPLE => Request::Simple { name, password },
        _ => Request::Refused(ResultCode::AuthMethodNotSupported),
    })
}

/// Whether one of the controls, 4.1.11, is critical: none is known here.
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
                    return Err(Malformed("a control's criticality is neither true nor false"));
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

/// How many bytes of a length follow its first one: X.690, 8.1.3. More than four are written by nobody.
const fn length_octets(first: u8) -> Result<usize, Malformed> {
    match first {
        0..0x80 => Ok(0),
        0x80 => Err(Malformed("a length is indefinite")),
        0x81..=0x84 => Ok((first & 0x7f) as usize),
        _ => Err(Malformed("a length has more than four bytes")),
    }
}

/// What is left to be read of a value.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    const SHORT: Malformed = Malformed("it ends too early");

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn is_at(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }

    fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(Malformed("something follows its end")) }
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

    /// Whatever comes next: its tag and its content.
    fn any(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let tag = self.byte()?;
        let length = self.length()?;
        Ok((tag, self.bytes(length)?))
    }

    fn take(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        match self.any()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(Malformed("it holds something else than what belongs there")),
        }
    }

    /// A number from 0 to 2³¹ − 1, `maxInt` of 4.1.1, in as few bytes as it takes: X.690, 8.3.2.
    fn integer(&mut self) -> Result<u32, Malformed> {
        match *self.take(INTEGER)? {
            [] | [_, _, _, _, _, ..] => Err(Malformed("a number has no byte, or more than four")),
            [0x80..=0xff, ..] => Err(Malformed("a number is negative")),
            [0, 0..0x80, ..] => Err(Malformed("a number has more bytes than it needs")),
            ref bytes => Ok(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))),
        }
    }
}

/// The response to a bind. `diagnostic` is for whoever reads the database server's log.
pub fn bind_response(id: MessageId, code: ResultCode, diagnostic: &str) -> Vec<u8> {
    response(id.0, BIND_RESPONSE, &result(code, diagnostic))
}

/// The response to another operation.
pub fn other_response(
    id: MessageId,
    tag: ResponseTag,
    code: ResultCode,
    diagnostic: &str,
) -> Vec<u8> {
    response(id.0, tag.0, &result(code, diagnostic))
}

/// What goes out before the server hangs up of its own accord.
pub fn notice_of_disconnection(code: ResultCode, diagnostic: &str) -> Vec<u8> {
    let mut content = result(code, diagnostic);
    put(&mut content, RESPONSE_NAME, NOTICE_OF_DISCONNECTION.as_bytes());
    response(0, EXTENDED_RESPONSE, &content)
}

/// `LDAPResult`, 4.1.9: the code, no matched name, and the diagnostic.
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
    // A leading zero byte stays where the next would make the number negative.
    let spare = bytes.windows(2).take_while(|pair| matches!(pair, [0, 0..0x80])).count();
    put(to, INTEGER, bytes.get(spare..).unwrap_or_default());
}

/// A value with its length in as few bytes as it takes.
fn put(to: &mut Vec<u8>, tag: u8, content: &[u8]) {
    to.push(tag);
    let bytes = content.len().to_be_bytes();
    let needed: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
    match *needed {
        [] => to.push(0),
        [short @ 0..0x80] => to.push(short),
        // At most eight bytes, so the first one has room for their number.
        _ => {
            to.push(0x80 | u8::try_from(needed.len()).unwrap_or(0x7f));
            to.extend_from_slice(&needed);
        }
    }
    to.extend_from_slice(content);
}

#[cfg(test)]
mod tests;
