//! TLS over buffers that belong to somebody else.

use std::io;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, ServerConfig};

/// What a handshake may have in flight: rustls caps a handshake message at 64 KiB.
const MAX_HANDSHAKE: usize = 256 * 1024;

/// What each TLS record adds: header, explicit nonce, content type and tag. Rounded up.
const OVERHEAD: usize = 64;

/// The plain text that one record holds at most (RFC 8446, 5.1).
const RECORD: usize = 16 * 1024;

/// One end of TLS.
pub(super) struct Session {
    end: End,
    /// What has come and is not a whole record yet.
    pending: Vec<u8>,
    /// What was decrypted along with the last of the handshake.
    surplus: Vec<u8>,
    closed: bool,
}

enum End {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// What is to be done after one step of TLS.
enum Next {
    /// The same again: there may be more.
    Again,
    /// The peer has to send more.
    Read,
    /// Application data may flow.
    Traffic,
    /// The peer has said goodbye.
    Closed,
}

fn broken(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Has `write` fill the buffer from `start` on, which is made as long as that takes and never shorter; gives how many bytes that are.
fn fill<E>(
    buffer: &mut Vec<u8>,
    start: usize,
    room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, E>,
    needs: impl Fn(&E) -> Option<usize>,
) -> io::Result<usize> {
    buffer.resize(buffer.len().max(start + room), 0);
    let mut written = write(buffer.get_mut(start..).unwrap_or_default());
    if let Some(needed) = written.as_ref().err().and_then(&needs) {
        buffer.resize(start + needed, 0);
        written = write(buffer.get_mut(start..).unwrap_or_default());
    }
    written.map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidData, "TLS can't encrypt any more on this connection")
    })
}

/// Adds what `write` writes, which may be given too little room at first.
fn append<E>(
    outgoing: &mut Vec<u8>,
    room: usize,
    write: impl FnMut(&mut [u8]) -> Result<usize, E>,
    needs: impl Fn(&E) -> Option<usize>,
) -> io::Result<()> {
    let start = outgoing.len();
    let count = fill(outgoing, start, room, write, needs)?;
    outgoing.truncate(start + count);
    Ok(())
}

const fn encrypt_needs(error: &EncryptError) -> Option<usize> {
    match error {
        EncryptError::InsufficientSize(size) => Some(size.required_size),
        EncryptError::EncryptExhausted => None,
    }
}

/// Handles one state. `plain` takes what was decrypted, `outgoing` what is to be sent.
fn handle<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    plain: &mut Vec<u8>,
    outgoing: &mut Vec<u8>,
) -> (usize, io::Result<Next>) {
    let mut discard = status.discard;
    let next = match status.state {
        Err(error) => Err(broken(error)),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                Some(Ok(record)) => {
                    discard += record.discard;
                    plain.extend_from_slice(record.payload);
                }
                Some(Err(error)) => break Err(broken(error)),
                None => break Ok(Next::Again),
            }
        },
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let needs = |error: &EncodeError| match error {
                EncodeError::InsufficientSize(size) => Some(size.required_size),
                EncodeError::AlreadyEncoded => None,
            };
            append(outgoing, 0, |buffer| data.encode(buffer), needs).map(|()| Next::Again)
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Next::Again)
        }
        Ok(ConnectionState::WriteTraffic(_)) => Ok(Next::Traffic),
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Ok(Next::Closed),
        Ok(ConnectionState::BlockedHandshake) => Ok(Next::Read),
        // Early data is never offered nor accepted.
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "TLS is in a state that it should not be in",
        )),
    };
    (discard, next)
}

impl Session {
    pub(super) fn client(config: Arc<ClientConfig>, name: ServerName<'static>) -> io::Result<Self> {
        Ok(Self::of(End::Client(UnbufferedClientConnection::new(config, name).map_err(broken)?)))
    }

    pub(super) fn server(config: Arc<ServerConfig>) -> io::Result<Self> {
        Ok(Self::of(End::Server(UnbufferedServerConnection::new(config).map_err(broken)?)))
    }

    const fn of(end: End) -> Self {
        Self { end, pending: Vec::new(), surplus: Vec::new(), closed: false }
    }

    /// The certificate that the other end showed.
    pub(super) fn certificate(&self) -> Option<&[u8]> {
        let chain = match &self.end {
            End::Client(connection) => connection.peer_certificates(),
            End::Server(connection) => connection.peer_certificates(),
        };
        chain?.first().map(CertificateDer::as_ref)
    }

    /// What both ends agreed to speak within.
    pub(super) fn protocol(&self) -> Option<&[u8]> {
        match &self.end {
            End::Client(connection) => connection.alpn_protocol(),
            End::Server(connection) => connection.alpn_protocol(),
        }
    }

    /// Adds what has come before it is looked at.
    pub(super) fn push_ciphertext(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// What has come and is not a whole record yet.
    pub(super) fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// Whether something was decrypted along with the handshake and not handed over yet.
    pub(super) const fn has_surplus(&self) -> bool {
        !self.surplus.is_empty()
    }

    /// Hands over what was decrypted along with the handshake.
    pub(super) fn early_plaintext(&mut self, plain: &mut Vec<u8>) {
        if !self.surplus.is_empty() {
            plain.append(&mut self.surplus);
            self.surplus = Vec::new();
        }
    }

    fn step(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> (usize, io::Result<Next>) {
        match &mut self.end {
            End::Client(connection) => {
                handle(connection.process_tls_records(incoming), plain, outgoing)
            }
            End::Server(connection) => {
                handle(connection.process_tls_records(incoming), plain, outgoing)
            }
        }
    }

    /// What the peer is told of an error that has just been met. rustls gives it in the next step, and would meet the error anew
    /// in the one after: it panics where that means a second alert.
    fn alert(&mut self, incoming: &mut [u8], outgoing: &mut Vec<u8>) {
        // The error itself is known: whether this step says it again makes no difference.
        let (_discard, _same) = self.step(incoming, &mut Vec::new(), outgoing);
    }

    /// Goes on with the handshake as far as it gets; true where it is done.
    pub(super) fn negotiate(&mut self, outgoing: &mut Vec<u8>) -> io::Result<bool> {
        let mut pending = std::mem::take(&mut self.pending);
        let mut surplus = std::mem::take(&mut self.surplus);
        let mut start = 0;
        let end = loop {
            let (discard, next) =
                self.step(pending.get_mut(start..).unwrap_or_default(), &mut surplus, outgoing);
            start += discard;
            match next {
                Ok(Next::Again) => {}
                Ok(Next::Read) => break Ok(false),
                Ok(Next::Traffic) => break Ok(true),
                Ok(Next::Closed) => {
                    break Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the peer closed TLS within the handshake",
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
                "the TLS handshake is too long",
            ));
        }
        self.pending = pending;
        self.surplus = surplus;
        end
    }

    /// Decrypts all whole records of what has come, which begins with what was pending; keeps the rest.
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

    /// Encrypts all of the bytes: so many bytes at the beginning of `sealed` are what comes of them. What is to be sent ahead is added
    /// to `ahead`.
    pub(super) fn encrypt(
        &mut self,
        bytes: &[u8],
        sealed: &mut Vec<u8>,
        ahead: &mut Vec<u8>,
    ) -> io::Result<usize> {
        // The records that have come already are all processed: what is pending is part of one, and stays.
        loop {
            let count = match &mut self.end {
                End::Client(connection) => traffic(
                    connection.process_tls_records(&mut self.pending),
                    bytes,
                    sealed,
                    ahead,
                )?,
                End::Server(connection) => traffic(
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

    /// Whether the peer has said goodbye: nothing more comes from it.
    pub(super) const fn is_closed(&self) -> bool {
        self.closed
    }

    /// Says goodbye.
    pub(super) fn close(&mut self, outgoing: &mut Vec<u8>) {
        match &mut self.end {
            End::Client(connection) => {
                farewell(connection.process_tls_records(&mut self.pending), outgoing)
            }
            End::Server(connection) => {
                farewell(connection.process_tls_records(&mut self.pending), outgoing)
            }
        }
    }
}

/// Encrypts where that is the state; nothing where something else was to be done first.
fn traffic<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    bytes: &[u8],
    sealed: &mut Vec<u8>,
    ahead: &mut Vec<u8>,
) -> io::Result<Option<usize>> {
    let UnbufferedStatus { discard, state } = status;
    match state {
        Ok(ConnectionState::WriteTraffic(mut traffic)) => {
            let room = bytes.len() + (bytes.len() / RECORD + 2) * OVERHEAD;
            fill(sealed, 0, room, |buffer| traffic.encrypt(bytes, buffer), encrypt_needs).map(Some)
        }
        // A key update, say, goes first.
        state => match handle(UnbufferedStatus { discard, state }, &mut Vec::new(), ahead).1? {
            Next::Again => Ok(None),
            Next::Read | Next::Traffic | Next::Closed => Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "TLS has ended on this connection",
            )),
        },
    }
}

fn farewell<Data>(status: UnbufferedStatus<'_, '_, Data>, outgoing: &mut Vec<u8>) {
    if let Ok(ConnectionState::WriteTraffic(mut traffic)) = status.state {
        // A goodbye that can't be said is no loss: the socket is about to close.
        let _unsaid =
            append(outgoing, OVERHEAD, |buffer| traffic.queue_close_notify(buffer), encrypt_needs);
    }
}
