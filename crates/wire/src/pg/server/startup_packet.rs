//! Startup packets, which have no message type.

use crate::exchange::ProtocolError;
use crate::pg::{CancelKey, StartupParams, codec};

use super::error::{self, violation};

/// Parsed startup packet.
#[derive(Debug)]
pub(super) enum Packet {
    SslRequest,
    GssEncRequest,
    CancelRequest(CancelKey),
    Startup(StartupMessage),
}

/// `StartupMessage` with its protocol requests.
#[derive(Debug)]
pub(super) struct StartupMessage {
    pub(super) params: StartupParams,
    /// Minor protocol version that the client requested.
    requested_minor: u16,
    /// Protocol options. None is supported.
    options: Vec<String>,
}

impl StartupMessage {
    /// Returns `NegotiateProtocolVersion` if the client requested something that is not supported,
    /// or else nothing.
    pub(super) fn negotiation(&self) -> Vec<u8> {
        if self.requested_minor == self.params.minor && self.options.is_empty() {
            return Vec::new();
        }
        codec::negotiate_protocol_version(self.params.minor, &self.options)
    }

    fn parse(version: u32, content: &[u8]) -> Result<Self, ProtocolError> {
        let [major, requested_minor] = [(version >> 16) as u16, version as u16];
        if major != codec::MAJOR {
            return Err(error::unsupported_version(major, requested_minor));
        }
        let mut params = StartupParams {
            minor: supported_minor(requested_minor),
            user: String::new(),
            database: None,
            parameters: Vec::new(),
        };
        let mut options = Vec::new();
        let mut rest = content;
        loop {
            let (name, tail) = text(rest)?;
            if name.is_empty() {
                // PostgreSQL rejects trailing bytes too.
                if !tail.is_empty() {
                    return Err(violation(
                        "invalid startup packet layout: expected terminator as last byte",
                    ));
                }
                break;
            }
            let (value, tail) = text(tail)?;
            rest = tail;
            // As in PostgreSQL, the last of several values counts, and an empty database name means
            // none.
            match name {
                "user" => value.clone_into(&mut params.user),
                "database" => {
                    params.database = Some(value.to_owned()).filter(|name| !name.is_empty());
                }
                option if option.starts_with("_pq_.") => options.push(option.to_owned()),
                name => params.parameters.push((name.to_owned(), value.to_owned())),
            }
        }
        if params.user.is_empty() {
            return Err(error::no_user());
        }
        Ok(Self { params, requested_minor, options })
    }
}

/// Parses the first packet of `bytes` if it is complete, and returns it with its length.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Packet, usize)>, ProtocolError> {
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    let body = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX).checked_sub(4);
    // A client of another protocol would not understand a response. PostgreSQL sends none either.
    let Some(body) = body.filter(|body| (4..=codec::MAX_STARTUP).contains(body)) else {
        return Err(ProtocolError::protocol(other_protocol(bytes.first())));
    };
    let Some((code, content)) = rest.get(..body).and_then(<[u8]>::split_first_chunk) else {
        return Ok(None);
    };
    let packet = match u32::from_be_bytes(*code) {
        codec::SSL_REQUEST => without_content(content, Packet::SslRequest)?,
        codec::GSSENC_REQUEST => without_content(content, Packet::GssEncRequest)?,
        codec::CANCEL_REQUEST => {
            let key = CancelKey::parse(content);
            Packet::CancelRequest(key.ok_or_else(|| {
                ProtocolError::protocol("the secret of a cancel request is not 4 to 256 bytes long")
            })?)
        }
        version => Packet::Startup(StartupMessage::parse(version, content)?),
    };
    Ok(Some((packet, body + 4)))
}

fn other_protocol(first: Option<&u8>) -> String {
    match first {
        Some(&codec::TLS_HANDSHAKE) => {
            "the client started TLS directly (sslnegotiation=direct), but TLS is not offered"
                .to_owned()
        }
        _ => format!(
            "the first packet has an invalid length: the client does not use PostgreSQL's \
             protocol, or the packet exceeds {} bytes",
            codec::MAX_STARTUP
        ),
    }
}

fn without_content(content: &[u8], packet: Packet) -> Result<Packet, ProtocolError> {
    if content.is_empty() {
        Ok(packet)
    } else {
        Err(violation("an encryption request with content"))
    }
}

/// Returns the highest minor version that both sides support. PostgreSQL never supported 3.1, which
/// is reserved.
fn supported_minor(requested: u16) -> u16 {
    if requested < codec::LATEST_MINOR { 0 } else { codec::LATEST_MINOR }
}

fn text(bytes: &[u8]) -> Result<(&str, &[u8]), ProtocolError> {
    let (text, rest) = codec::get_cstr(bytes)
        .ok_or_else(|| violation("invalid startup packet layout: unterminated string"))?;
    Ok((str::from_utf8(text).map_err(|_| error::not_utf8())?, rest))
}
