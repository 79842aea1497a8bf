//! Common parts of the four logins: requests to the socket's owner, credentials and errors.

use std::fmt;

use countersign_core::credentials::Secret;
use zeroize::Zeroizing;

use crate::read_buffer::ReadBuffer;

/// One side of a protocol exchange, such as a login. Each step consumes the value and returns its
/// successor.
pub trait Exchange: Sized {
    /// Result of a successful exchange.
    type Output;

    /// Consumes as much of `buffer` as possible and returns the next action on the socket.
    ///
    /// # Errors
    /// Returns the [`ProtocolError`] that ends the exchange. If [`ProtocolError::error_packet`] is
    /// not empty, the caller sends it before it closes the socket.
    fn advance(self, buffer: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError>;
}

/// Next action on the socket.
pub enum Step<E: Exchange> {
    /// Read more bytes into the buffer, then call `advance`.
    Read(E),
    /// Send these bytes, then call `advance` without reading. They may contain a password and are
    /// wiped on drop.
    Write(Zeroizing<Vec<u8>>, E),
    /// Send these bytes unencrypted, then start TLS. Bytes left in the buffer already belong to
    /// TLS; if there are bytes to send, the buffer is empty, because unencrypted data before TLS is
    /// rejected. Continue with the exchange that [`AwaitTls::established`] returns.
    StartTls(Vec<u8>, Box<dyn AwaitTls<E>>),
    /// Send these bytes, if any. The exchange is finished.
    Done(Vec<u8>, E::Output),
}

impl<E: Exchange> fmt::Debug for Step<E> {
    /// Shows the number of bytes to send, not their content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(_) => f.write_str("Read"),
            Self::Write(bytes, _) => write!(f, "Write({} bytes)", bytes.len()),
            Self::StartTls(bytes, _) => write!(f, "StartTls({} bytes)", bytes.len()),
            Self::Done(bytes, _) => write!(f, "Done({} bytes)", bytes.len()),
        }
    }
}

/// Exchange that waits for the TLS handshake.
pub trait AwaitTls<E>: Send {
    /// Returns the exchange that continues inside TLS.
    fn established(self: Box<Self>, tls: TlsInfo) -> E;
}

impl<E> fmt::Debug for dyn AwaitTls<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AwaitTls")
    }
}

/// Facts about an established TLS connection.
#[derive(Debug, Clone, Default)]
pub struct TlsInfo {
    /// Channel binding data `tls-server-end-point` (RFC 5929) for SCRAM: the hash of the server's
    /// certificate. On the server side it is this process's own certificate. `None` if it cannot be
    /// computed.
    pub server_end_point: Option<Vec<u8>>,
    /// Protocol negotiated by ALPN (RFC 7301), if any.
    pub alpn_protocol: Option<Vec<u8>>,
}

/// Error that ends an exchange. It contains no secret.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The peer violates the protocol or exceeds a limit.
    #[error("{detail}")]
    Protocol {
        /// Description for the log.
        detail: String,
        /// The protocol's own error message to send to the peer; empty if the peer would not
        /// understand it.
        error_packet: Vec<u8>,
    },
    /// The peer requests an unsupported feature, or the server requests something that this side
    /// refuses, such as a token without TLS.
    #[error("{detail}")]
    Unsupported {
        /// Description with remedy.
        detail: String,
        /// As in `Protocol`.
        error_packet: Vec<u8>,
    },
    /// The client failed to authenticate, or the server requests an authentication that this user's
    /// credential cannot provide.
    #[error("{detail}")]
    Denied {
        /// Description that names the user.
        detail: String,
        /// As in `Protocol`.
        error_packet: Vec<u8>,
    },
    /// The server rejected the login or command with its own error.
    #[error("{0}")]
    Refused(ServerError),
}

impl ProtocolError {
    /// Creates a violation that sends nothing to the peer.
    #[must_use]
    pub fn protocol(detail: impl Into<String>) -> Self {
        Self::Protocol { detail: detail.into(), error_packet: Vec::new() }
    }

    /// Creates an error about an unsupported feature that sends nothing to the peer.
    #[must_use]
    pub fn unsupported(detail: impl Into<String>) -> Self {
        Self::Unsupported { detail: detail.into(), error_packet: Vec::new() }
    }

    /// Creates an authentication error that sends nothing to the peer.
    #[must_use]
    pub fn denied(detail: impl Into<String>) -> Self {
        Self::Denied { detail: detail.into(), error_packet: Vec::new() }
    }

    /// Returns the bytes to send to the peer before the socket is closed.
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

/// Error message of a database server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ServerError {
    /// PostgreSQL's SQLSTATE, or MySQL's error number and SQLSTATE in the form `1045 (28000)`.
    pub code: String,
    /// Human-readable message.
    pub message: String,
    /// Payload of the protocol's error message, to forward unchanged: the fields of PostgreSQL's
    /// `ErrorResponse`, or MySQL's ERR packet from its first byte, 0xff.
    pub payload: Vec<u8>,
}

/// Transport security that a client login requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportSecurity {
    /// TLS. Without it there is no login.
    Required,
    /// No TLS. The login never sends a token or a clear-text password, unless the socket is
    /// trusted.
    Plain {
        /// The socket is a Unix socket or on loopback, and the operator explicitly allowed clear
        /// text on it.
        trusted: bool,
    },
}

/// Credential of a client login.
#[derive(Clone)]
pub enum Credential {
    /// IAM token. It is sent in clear text, so only over TLS or a trusted socket, and is never used
    /// as a password for hashing methods.
    Token(Zeroizing<String>),
    /// Password.
    Password(Secret),
    /// None: the server authenticates the user by other means.
    None,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token([redacted])",
            Self::Password(_) => "Password([redacted])",
            Self::None => "None",
        })
    }
}

/// TLS policy of the server side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientTlsMode {
    /// TLS is not offered.
    Off,
    /// TLS is optional.
    Offered,
    /// Logins without TLS are rejected. PostgreSQL's cancel requests are exempt: libpq before 17
    /// sends them without TLS.
    Required,
}
