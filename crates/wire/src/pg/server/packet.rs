//! The packets that have no kind.

use crate::exchange::ProtocolError;
use crate::pg::{CancelKey, StartupParams, codec};

use super::violation;

/// What a packet asks for.
#[derive(Debug)]
pub(super) enum Packet {
    Tls,
    Gss,
    Cancel(CancelKey),
    Startup(Asked),
}

/// A `StartupMessage`, and what it asks of the protocol.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) startup: StartupParams,
    /// The minor version that the client knows.
    minor: u16,
    /// Options of the protocol. None is known.
    options: Vec<String>,
}

impl Asked {
    /// `NegotiateProtocolVersion`, where the client asks for what isn't there.
    pub(super) fn negotiation(&self) -> Vec<u8> {
        if self.minor == self.startup.minor && self.options.is_empty() {
            return Vec::new();
        }
        codec::negotiate(self.startup.minor, &self.options)
    }
}

/// The packet at the front and its length, if all of it is there.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Packet, usize)>, ProtocolError> {
    let Some((length, behind)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    let body = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX).checked_sub(4);
    // Who begins otherwise doesn't speak this protocol, and would not understand an answer. PostgreSQL gives none either.
    let Some(body) = body.filter(|body| (4..=codec::MAX_STARTUP).contains(body)) else {
        return Err(ProtocolError::protocol(stranger(bytes.first())));
    };
    let Some((code, content)) = behind.get(..body).and_then(<[u8]>::split_first_chunk) else {
        return Ok(None);
    };
    let packet = match u32::from_be_bytes(*code) {
        codec::TLS_REQUEST => empty(content, Packet::Tls)?,
        codec::GSS_REQUEST => empty(content, Packet::Gss)?,
        codec::CANCEL_REQUEST => {
            let key = CancelKey::parse(content);
            Packet::Cancel(key.ok_or_else(|| {
                ProtocolError::protocol("a cancel request whose secret isn't 4 to 256 bytes long")
            })?)
        }
        version => Packet::Startup(startup(version, content)?),
    };
    Ok(Some((packet, body + 4)))
}

fn stranger(first: Option<&u8>) -> String {
    match first {
        Some(&codec::TLS_HANDSHAKE) => {
            "the client begins with TLS (sslnegotiation=direct), which is not offered here"
                .to_owned()
        }
        _ => format!(
            "the first packet has an invalid length: the client does not speak PostgreSQL's protocol, or it is over {} bytes long",
            codec::MAX_STARTUP
        ),
    }
}

fn empty(content: &[u8], packet: Packet) -> Result<Packet, ProtocolError> {
    if content.is_empty() {
        Ok(packet)
    } else {
        Err(violation("a request for encryption with something in it"))
    }
}

fn startup(version: u32, content: &[u8]) -> Result<Asked, ProtocolError> {
    let [major, minor] = [(version >> 16) as u16, version as u16];
    if major != codec::MAJOR {
        return Err(other_major(major, minor));
    }
    let mut startup = StartupParams {
        minor: spoken(minor),
        user: String::new(),
        database: None,
        parameters: Vec::new(),
    };
    let mut options = Vec::new();
    let mut rest = content;
    loop {
        let (name, behind) = text(rest)?;
        if name.is_empty() {
            // PostgreSQL demands it too.
            if !behind.is_empty() {
                return Err(violation(
                    "invalid startup packet layout: expected terminator as last byte",
                ));
            }
            break;
        }
        let (value, behind) = text(behind)?;
        rest = behind;
        // Of two of a name PostgreSQL takes the last; an empty database is none.
        match name {
            "user" => value.clone_into(&mut startup.user),
            "database" => startup.database = Some(value.to_owned()).filter(|name| !name.is_empty()),
            option if option.starts_with("_pq_.") => options.push(option.to_owned()),
            name => startup.parameters.push((name.to_owned(), value.to_owned())),
        }
    }
    if startup.user.is_empty() {
        return Err(nobody());
    }
    Ok(Asked { startup, minor, options })
}

/// The newest minor version that both know. 3.1 is reserved: no PostgreSQL ever spoke it.
fn spoken(minor: u16) -> u16 {
    if minor < codec::NEWEST_MINOR { 0 } else { codec::NEWEST_MINOR }
}

fn text(bytes: &[u8]) -> Result<(&str, &[u8]), ProtocolError> {
    let (text, rest) = codec::take_text(bytes)
        .ok_or_else(|| violation("invalid startup packet layout: a text has no end"))?;
    let text = str::from_utf8(text).map_err(|_| {
        let detail = "the startup packet holds a name or a value that is not UTF-8";
        let hint =
            Some("Use names of users and databases, and values of settings, that are UTF-8.");
        // SQLSTATE character_not_in_repertoire.
        ProtocolError::Unsupported {
            detail: detail.to_owned(),
            error_packet: codec::error_response("FATAL", "22021", detail, None, hint),
        }
    })?;
    Ok((text, rest))
}

/// In PostgreSQL's words, and like PostgreSQL in version 3's form: nobody reads the older one any more.
fn other_major(major: u16, minor: u16) -> ProtocolError {
    let detail = format!(
        "unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{}",
        codec::NEWEST_MINOR
    );
    let error_packet = codec::error_response("FATAL", codec::NOT_SUPPORTED, &detail, None, None);
    ProtocolError::Unsupported { detail, error_packet }
}

fn nobody() -> ProtocolError {
    let detail = "no PostgreSQL user name specified in startup packet";
    let error_packet =
        codec::error_response("FATAL", codec::INVALID_AUTHORIZATION, detail, None, None);
    ProtocolError::Denied { detail: detail.to_owned(), error_packet }
}
