//! TLS over the caller's buffers, with rustls's unbuffered API.

use std::io;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, ServerConfig};

/// Maximum size of unprocessed handshake data: rustls limits a handshake message to 64 KiB.
const MAX_HANDSHAKE: usize = 256 * 1024;

/// Upper bound of what a TLS record adds: header, explicit nonce, content type and tag.
const OVERHEAD: usize = 64;

/// Maximum plaintext of one record (RFC 8446, section 5.1).
const MAX_PLAINTEXT: usize = 16 * 1024;

/// One side of a TLS connection.
pub(super) struct Session {
    side: Side,
    /// Received bytes of an incomplete record.
    pending: Vec<u8>,
    /// Plaintext received together with the end of the handshake.
    early_plaintext: Vec<u8>,
    closed: bool,
}

enum Side {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// Action after one step of TLS.
enum Next {
    /// Repeat the step.
    Again,
    /// Read from the socket.
    Read,
    /// Application data may be sent.
    Traffic,
    /// The peer sent close_notify.
    Closed,
}

fn invalid_data(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Lets `write` fill `buffer` from `start`, and returns the number of bytes written. The buffer
/// grows to the size that `write` requires and never shrinks.
fn fill<E>(
    buffer: &mut Vec<u8>,
    start: usize,
    room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, E>,
    required_size: impl Fn(&E) -> Option<usize>,
) -> io::Result<usize> {
    buffer.resize(buffer.len().max(start + room), 0);
    let mut written = write(buffer.get_mut(start..).unwrap_or_default());
    if let Some(needed) = written.as_ref().err().and_then(&required_size) {
        buffer.resize(start + needed, 0);
        written = write(buffer.get_mut(start..).unwrap_or_default());
    }
    written.map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "cannot encrypt more data on this TLS connection",
        )
    })
}

/// Appends what `write` writes; it may be called a second time with the size it requires.
fn append<E>(
    outgoing: &mut Vec<u8>,
    room: usize,
    write: impl FnMut(&mut [u8]) -> Result<usize, E>,
    required_size: impl Fn(&E) -> Option<usize>,
) -> io::Result<()> {
    let start = outgoing.len();
    let count = fill(outgoing, start, room, write, required_size)?;
    outgoing.truncate(start + count);
    Ok(())
}

const fn encrypt_needs(error: &EncryptError) -> Option<usize> {
    match error {
        EncryptError::InsufficientSize(size) => Some(size.required_size),
        EncryptError::EncryptExhausted => None,
    }
}

/// Handles one state: appends decrypted data to `plain` and bytes to send to `outgoing`.
fn handle<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plain: &mut Vec<u8>,
    outgoing: &mut Vec<u8>,
) -> (usize, io::Result<Next>) {
    let mut discard = status.discard;
    let next = match status.state {
        Err(error) => Err(invalid_data(error)),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                Some(Ok(record)) => {
                    discard += record.discard;
                    plain.extend_from_slice(record.payload);
                }
                Some(Err(error)) => break Err(invalid_data(error)),
                None => break Ok(Next::Again),
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let required_size = |error: &EncodeError| match error {
                EncodeError::InsufficientSize(size) => Some(size.required_size),
                EncodeError::AlreadyEncoded => None,
            };
            append(outgoing, 0, |buffer| data.encode(buffer), required_size).map(|()| Next::Again)
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Next::Again)
        }
        Ok(ConnectionState::WriteTraffic(_)) => Ok(Next::Traffic),
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Ok(Next::Closed),
        Ok(ConnectionState::BlockedHandshake) => Ok(Next::Read),
        // Early data is neither offered nor accepted.
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "unexpected TLS state")),
    };
    (discard, next)
}

impl Session {
    pub(super) fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<Self> {
        Ok(Self::new(Side::Client(
            UnbufferedClientConnection::new(config, name).map_err(invalid_data)?,
        )))
    }

    pub(super) fn server(config: Arc<ServerConfig>) -> io::Result<Self> {
        Ok(Self::new(Side::Server(UnbufferedServerConnection::new(config).map_err(invalid_data)?)))
    }

    const fn new(side: Side) -> Self {
        Self { side, pending: Vec::new(), early_plaintext: Vec::new(), closed: false }
    }

    /// Returns the peer's certificate.
    pub(super) fn peer_certificate(&self) -> Option<&[u8]> {
        let chain = match &self.side {
            Side::Client(connection) => connection.peer_certificates(),
            Side::Server(connection) => connection.peer_certificates(),
        };
        chain?.first().map(CertificateDer::as_ref)
    }

    /// Returns the negotiated ALPN protocol.
    pub(super) fn alpn_protocol(&self) -> Option<&[u8]> {
        match &self.side {
            Side::Client(connection) => connection.alpn_protocol(),
            Side::Server(connection) => connection.alpn_protocol(),
        }
    }

    /// Appends received bytes, to be processed later.
    pub(super) fn push_ciphertext(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Returns received bytes of an incomplete record.
    pub(super) fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// Returns true if plaintext of the handshake has not been taken.
    pub(super) const fn has_early_plaintext(&self) -> bool {
        !self.early_plaintext.is_empty()
    }

    /// Moves the plaintext of the handshake to `plain`.
    pub(super) fn take_early_plaintext(&mut self, plain: &mut Vec<u8>) {
        if !self.early_plaintext.is_empty() {
            plain.append(&mut self.early_plaintext);
            self.early_plaintext = Vec::new();
        }
    }

    fn step(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> (usize, io::Result<Next>) {
        match &mut self.side {
            Side::Client(connection) => {
                handle(connection.process_tls_records(incoming), plain, outgoing)
            }
            Side::Server(connection) => {
                handle(connection.process_tls_records(incoming), plain, outgoing)
            }
        }
    }

    /// Appends the alert for an error that just occurred. rustls returns it in the next step. In
    /// the one after, it would return the error again and panic if that means a second alert.
    fn alert(&mut self, incoming: &mut [u8], outgoing: &mut Vec<u8>) {
        // The error is known already.
        let (_discard, _same) = self.step(incoming, &mut Vec::new(), outgoing);
    }

    /// Processes pending handshake data. Returns true when the handshake is complete.
    pub(super) fn negotiate(&mut self, outgoing: &mut Vec<u8>) -> io::Result<bool> {
        let mut pending = std::mem::take(&mut self.pending);
        let mut early_plaintext = std::mem::take(&mut self.early_plaintext);
        let mut start = 0;
        let end = loop {
            let (discard, next) = self.step(
                pending.get_mut(start..).unwrap_or_default(),
                &mut early_plaintext,
                outgoing,
            );
            start += discard;
            match next {
                Ok(Next::Again) => {}
                Ok(Next::Read) => break Ok(false),
                Ok(Next::Traffic) => break Ok(true),
                Ok(Next::Closed) => {
                    break Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the peer closed TLS during the handshake",
                    ));
                }
                Err(error) => {
                    self.alert(pending.get_mut(start..).unwrap_or_default(), outgoing);
                    break Err(error);
                }
            }
        };
        pending.drain(..start.min(pending.len()));
        if pending.len() > MAX_HANDSHAKE {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the TLS handshake is too large",
            ));
        }
        self.pending = pending;
        self.early_plaintext = early_plaintext;
        end
    }

    /// Decrypts all complete records of `incoming`, which begins with the pending bytes; keeps the
    /// rest.
    pub(super) fn decrypt(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> io::Result<()> {
        let mut start = 0;
        loop {
            let (discard, next) =
                self.step(incoming.get_mut(start..).unwrap_or_default(), plain, outgoing);
            start += discard;
            match next {
                Ok(Next::Again) => {}
                Ok(Next::Read | Next::Traffic) => break,
                Ok(Next::Closed) => {
                    self.closed = true;
                    break;
                }
                Err(error) => {
                    self.alert(incoming.get_mut(start..).unwrap_or_default(), outgoing);
                    return Err(error);
                }
            }
        }
        let rest = incoming.get(start..).unwrap_or_default();
        if rest.is_empty() {
            self.pending = Vec::new();
        } else {
            self.pending.clear();
            self.pending.extend_from_slice(rest);
        }
        Ok(())
    }

    /// Encrypts `bytes` into `sealed` and returns the length of the ciphertext. Appends to `ahead`
    /// what must be sent before it.
    pub(super) fn encrypt(
        &mut self,
        bytes: &[u8],
        sealed: &mut Vec<u8>,
        ahead: &mut Vec<u8>,
    ) -> io::Result<usize> {
        // All complete records are processed: the pending bytes are part of one, and stay.
        loop {
            let count = match &mut self.side {
                Side::Client(connection) => traffic(
                    connection.process_tls_records(&mut self.pending),
                    bytes,
                    sealed,
                    ahead,
                )?,
                Side::Server(connection) => traffic(
                    connection.process_tls_records(&mut self.pending),
                    bytes,
                    sealed,
                    ahead,
                )?,
            };
            if let Some(count) = count {
                return Ok(count);
            }
        }
    }

    /// Returns true if the peer sent close_notify: no more data follows.
    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Appends close_notify to `outgoing`.
    pub(super) fn close(&mut self, outgoing: &mut Vec<u8>) {
        match &mut self.side {
            Side::Client(connection) => {
                send_close_notify(connection.process_tls_records(&mut self.pending), outgoing)
            }
            Side::Server(connection) => {
                send_close_notify(connection.process_tls_records(&mut self.pending), outgoing)
            }
        }
    }
}

/// Encrypts if the state permits; returns `None` if another action had to be done first.
fn traffic<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    bytes: &[u8],
    sealed: &mut Vec<u8>,
    ahead: &mut Vec<u8>,
) -> io::Result<Option<usize>> {
    let UnbufferedStatus { discard, state } = status;
    match state {
        Ok(ConnectionState::WriteTraffic(mut traffic)) => {
            let room = bytes.len() + (bytes.len() / MAX_PLAINTEXT + 2) * OVERHEAD;
            fill(sealed, 0, room, |buffer| traffic.encrypt(bytes, buffer), encrypt_needs).map(Some)
        }
        // For example, a key update is sent first.
        state => match handle(UnbufferedStatus { discard, state }, &mut Vec::new(), ahead).1? {
            Next::Again => Ok(None),
            Next::Read | Next::Traffic | Next::Closed => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the TLS connection is closed",
            )),
        },
    }
}

fn send_close_notify<Data>(status: UnbufferedStatus<'_, '_, Data>, outgoing: &mut Vec<u8>) {
    if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state {
        // Best effort: the socket is about to close.
        let _queued =
            append(outgoing, OVERHEAD, |buffer| traffic.queue_close_notify(buffer), encrypt_needs);
    }
}
