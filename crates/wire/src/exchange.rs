//! What all four logins have in common: what they ask of the socket, and how they fail.

use std::fmt;

use countersign_core::credentials::Secret;
use zeroize::Zeroizing;

use crate::read_buffer::ReadBuffer;

/// One side of a login, as a value: each step consumes it and gives the next.
pub trait Exchange: Sized {
    /// What the login comes to.
    type Outcome;

    /// Takes what it can of what has come, and says what is to be done next.
    ///
    /// # Errors
    /// The [`Fault`] that ends the login. Where [`Fault::error_packet`] has bytes, they are sent before the socket is closed.
    fn advance(self, inbox: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError>;
}

/// What is to be done with the socket.
pub enum Step<E: Exchange> {
    /// More must be read into the inbox, then `advance` again.
    Read(E),
    /// These bytes are to be sent, then `advance` again without reading. They may hold a password: they are wiped.
    Write(Zeroizing<Vec<u8>>, E),
    /// The bytes are to be sent as they are, then TLS begins; what is still in the inbox is TLS already (it has to be empty
    /// where bytes are sent: whoever talks ahead of TLS is refused). Then [`Secure::established`], and on with what that gives.
    StartTls(Vec<u8>, Box<dyn AwaitTls<E>>),
    /// The login is over. The bytes, if any, are to be sent first.
    Done(Vec<u8>, E::Outcome),
}

impl<E: Exchange> fmt::Debug for Step<E> {
    /// What would be sent is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(_) => f.write_str("Read"),
            Self::Write(bytes, _) => write!(f, "Write({} bytes)", bytes.len()),
            Self::StartTls(bytes, _) => write!(f, "Secure({} bytes)", bytes.len()),
            Self::Done(bytes, _) => write!(f, "Done({} bytes)", bytes.len()),
        }
    }
}

/// A login that waits for TLS.
pub trait AwaitTls<E>: Send {
    /// Goes on within TLS.
    fn established(self: Box<Self>, peer: TlsInfo) -> E;
}

impl<E> fmt::Debug for dyn AwaitTls<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secure")
    }
}

/// What TLS says about the connection once it stands.
#[derive(Debug, Clone, Default)]
pub struct TlsInfo {
    /// `tls-server-end-point` (RFC 5929): the hash of the server's certificate, for SCRAM's channel binding. For a login it is
    /// our own certificate's, for a dial the server's. `None` where it can't be computed.
    pub end_point: Option<Vec<u8>>,
    /// What both agreed to speak within (ALPN, RFC 7301), where they did.
    pub protocol: Option<Vec<u8>>,
}

/// Why a login ends without an outcome. Nothing in it is secret.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The other side does not keep to the protocol, or goes over a limit.
    #[error("{detail}")]
    Protocol {
        /// What it did, in our words.
        detail: String,
        /// The protocol's own error for it, as bytes to send; empty where it would not be understood.
        error_packet: Vec<u8>,
    },
    /// The other side speaks the protocol, but asks for what can't be given (or the server for what we won't give, like a
    /// token without TLS).
    #[error("{detail}")]
    Unsupported {
        /// What was asked for, and what to do instead.
        detail: String,
        /// As in `Protocol`.
        error_packet: Vec<u8>,
    },
    /// The client did not prove to be who it says it is; or the server wants a proof of this user that there is none of.
    #[error("{detail}")]
    Denied {
        /// Who, in our words.
        detail: String,
        /// As in `Protocol`.
        error_packet: Vec<u8>,
    },
    /// The server refused the login, in its own words.
    #[error("{0}")]
    Refused(ServerError),
}

impl ProtocolError {
    /// A violation without a word to the other side.
    #[must_use]
    pub fn protocol(detail: impl Into<String>) -> Self {
        Self::Protocol { detail: detail.into(), error_packet: Vec::new() }
    }

    /// Something that can't be done, without a word to the other side.
    #[must_use]
    pub fn unsupported(detail: impl Into<String>) -> Self {
        Self::Unsupported { detail: detail.into(), error_packet: Vec::new() }
    }

    /// A proof that can't be given, without a word to the other side.
    #[must_use]
    pub fn denied(detail: impl Into<String>) -> Self {
        Self::Denied { detail: detail.into(), error_packet: Vec::new() }
    }

    /// What is sent to the other side before the socket is closed.
    #[must_use]
    pub fn error_packet(&self) -> &[u8] {
        match self {
            Self::Protocol { error_packet, .. }
            | Self::Unsupported { error_packet, .. }
            | Self::Denied { error_packet, .. } => error_packet,
            Self::Refused(_) => &[],
        }
    }
}

/// An error as a server words it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ServerError {
    /// SQLSTATE of PostgreSQL; number and SQLSTATE of MySQL, as `1045 (28000)`.
    pub code: String,
    /// The message for people.
    pub message: String,
    /// The payload of the protocol's error message (PostgreSQL: the fields of `ErrorResponse`; MySQL: the ERR packet from 0xff
    /// on), to be handed on unchanged.
    pub payload: Vec<u8>,
}

/// How a login of ours to a server is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportSecurity {
    /// TLS or nothing.
    Required,
    /// No TLS. A token or a clear-text password is then refused to the server, unless the socket never leaves the machine.
    Plain {
        /// The socket is a Unix socket or on loopback, and whoever set the target up said so by name.
        trusted: bool,
    },
}

/// What is proved to a server.
#[derive(Clone)]
pub enum Credential {
    /// An IAM token: it goes out as it is, so only where nobody reads along, and never as what it isn't, a password.
    Token(Zeroizing<String>),
    /// A password.
    Password(Secret),
    /// Nothing: the server lets the user in by other means.
    None,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token([redacted])",
            Self::Password(_) => "Password([redacted])",
            Self::None => "Nothing",
        })
    }
}

/// Whether clients are offered TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientTlsMode {
    /// There is none.
    Off,
    /// Who wants it gets it.
    Offered,
    /// Who comes without it is refused. To cancel a statement of PostgreSQL's nobody needs it: libpq before 17 does that without.
    Required,
}
