//! A connection with or without TLS, used by logins and by the relay.
//!
//! An idle connection holds no buffer: reads use the thread's [`Scratch`], and bytes that the
//! socket does not accept are kept only until it does. It consists of its socket and the TLS state.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

pub use scratch::Scratch;
use tls::Session;

mod scratch;
mod tls;

/// Maximum duration of closing a connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A connected socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

impl Socket {
    /// Registers the socket with the calling runtime, which then polls it without waking another
    /// thread.
    ///
    /// # Errors
    /// Any error of the operating system.
    pub fn reregister(self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => Self::Tcp(TcpStream::from_std(socket.into_std()?)?),
            Self::Unix(socket) => Self::Unix(UnixStream::from_std(socket.into_std()?)?),
        })
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(into);
        ready!(match self {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, &mut buffer),
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, &mut buffer),
        })?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Unix(socket) => Pin::new(socket).poll_write(cx, bytes),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}

/// A connection.
pub struct Transport {
    socket: Socket,
    session: Option<Box<Session>>,
    /// Bytes that the socket has not accepted yet.
    unsent: Vec<u8>,
    sent: usize,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("socket", &self.socket)
            .field("tls", &self.session.is_some())
            .field("unsent", &(self.unsent.len() - self.sent))
            .finish()
    }
}

impl From<Socket> for Transport {
    fn from(socket: Socket) -> Self {
        Self { socket, session: None, unsent: Vec::new(), sent: 0 }
    }
}

impl Transport {
    /// Returns the socket, for its addresses and peer credentials.
    #[must_use]
    pub const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Registers the connection with the calling runtime, as [`Socket::reregister`].
    ///
    /// # Errors
    /// Any error of the operating system. The connection is then lost.
    pub fn reregister(self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.reregister()?, ..self })
    }

    /// Returns true after the TLS handshake.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.session.is_some()
    }

    /// Performs the TLS handshake as the client.
    ///
    /// # Errors
    /// An error of the socket or the handshake, such as an untrusted certificate.
    pub async fn connect_tls(
        &mut self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<()> {
        let session = Session::client(config, name)?;
        self.handshake(session).await
    }

    /// Performs the TLS handshake as the server. `early` contains bytes of the handshake that were
    /// already received.
    ///
    /// # Errors
    /// An error of the socket or the handshake.
    pub async fn accept_tls(&mut self, config: Arc<ServerConfig>, early: &[u8]) -> io::Result<()> {
        let mut session = Session::server(config)?;
        session.push_ciphertext(early);
        self.handshake(session).await
    }

    async fn handshake(&mut self, mut session: Session) -> io::Result<()> {
        loop {
            let negotiated = session.negotiate(&mut self.unsent);
            // After a failure, the unsent bytes are the alert for the peer.
            let flushed = std::future::poll_fn(|cx| self.poll_flush(cx)).await;
            if negotiated? {
                break;
            }
            flushed?;
            let count = std::future::poll_fn(|cx| {
                Scratch::with(|scratch| {
                    let count = ready!(self.socket.poll_read(cx, &mut scratch.incoming))?;
                    session.push_ciphertext(scratch.incoming.get(..count).unwrap_or_default());
                    Poll::Ready(Ok::<_, io::Error>(count))
                })
            });
            if count.await? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the connection was closed during the TLS handshake",
                ));
            }
        }
        self.session = Some(Box::new(session));
        Ok(())
    }

    /// Returns the peer's certificate as DER, if it presented one.
    #[must_use]
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        self.session.as_ref()?.peer_certificate()
    }

    /// Returns the negotiated ALPN protocol.
    #[must_use]
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.session.as_ref()?.alpn_protocol()
    }

    /// Receives once and returns the plaintext, a slice of one of the buffers. An empty slice is
    /// the end of the stream.
    ///
    /// # Errors
    /// An error of the socket or TLS.
    pub fn poll_receive<'s>(
        &mut self,
        cx: &mut Context<'_>,
        incoming: &'s mut [u8],
        plain: &'s mut Vec<u8>,
    ) -> Poll<io::Result<&'s [u8]>> {
        let Some(session) = &mut self.session else {
            let count = ready!(self.socket.poll_read(cx, incoming))?;
            return Poll::Ready(Ok(incoming.get(..count).unwrap_or_default()));
        };
        plain.clear();
        session.take_early_plaintext(plain);
        // After close_notify the socket may stay open, but no data follows.
        while plain.is_empty() && !session.is_closed() {
            let pending = session.pending();
            let start = pending.len();
            let (head, free) = incoming.split_at_mut_checked(start).unwrap_or_default();
            let count = ready!(self.socket.poll_read(cx, free))?;
            // Some servers close without close_notify. Truncation is detected anyway: a message of
            // the protocol would be incomplete.
            if count == 0 {
                break;
            }
            head.copy_from_slice(session.pending());
            let filled = incoming.get_mut(..start + count).unwrap_or_default();
            session.decrypt(filled, plain, &mut self.unsent)?;
        }
        Poll::Ready(Ok(plain))
    }

    /// Sends all bytes. Those that the socket does not accept now are kept, and
    /// [`Self::poll_flush`] sends them later: a caller must not read more data to send while
    /// [`Self::has_unsent`].
    ///
    /// # Errors
    /// An error of the socket or TLS.
    pub fn send(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        outgoing: &mut Vec<u8>,
    ) -> io::Result<()> {
        let ready = match &mut self.session {
            None => bytes,
            Some(session) => {
                let count = session.encrypt(bytes, outgoing, &mut self.unsent)?;
                outgoing.get(..count).unwrap_or_default()
            }
        };
        let mut rest = ready;
        if !self.has_unsent() {
            while !rest.is_empty() {
                match self.socket.poll_write(cx, rest) {
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Ok(count)) => rest = rest.get(count..).unwrap_or_default(),
                    Poll::Ready(Err(error)) => return Err(error),
                    Poll::Pending => break,
                }
            }
        }
        self.unsent.extend_from_slice(rest);
        Ok(())
    }

    /// Returns true if the socket has not accepted all sent bytes.
    #[must_use]
    pub const fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends the kept bytes.
    ///
    /// # Errors
    /// An error of the socket.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.unsent.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match ready!(self.socket.poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        // Freed, because most connections are idle most of the time.
        self.unsent = Vec::new();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Sends all bytes and waits until the socket has accepted them.
    ///
    /// # Errors
    /// An error of the socket or TLS.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        std::future::poll_fn(|cx| {
            Poll::Ready(Scratch::with(|scratch| self.send(cx, bytes, &mut scratch.outgoing)))
        })
        .await?;
        std::future::poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Receives once, passes the data to `take`, and returns its length; 0 is the end of the
    /// stream.
    ///
    /// # Errors
    /// An error of the socket or TLS.
    pub async fn read(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<usize> {
        std::future::poll_fn(|cx| {
            Scratch::with(|scratch| {
                let received =
                    ready!(self.poll_receive(cx, &mut scratch.incoming, &mut scratch.plain))?;
                take(received);
                Poll::Ready(Ok(received.len()))
            })
        })
        .await
    }

    /// Returns true if neither data nor the end of the stream is pending. Pending data is
    /// discarded: the connection must not be used after false.
    #[must_use]
    pub fn has_no_pending_data(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        Scratch::with(|scratch| {
            self.poll_receive(&mut cx, &mut scratch.incoming, &mut scratch.plain).is_pending()
        })
    }

    /// Waits until data or the end of the stream is pending, without reading it.
    ///
    /// # Errors
    /// An error of the socket.
    pub async fn readable(&self) -> io::Result<()> {
        if self.session.as_ref().is_some_and(|session| session.has_early_plaintext()) {
            return Ok(());
        }
        match &self.socket {
            Socket::Tcp(socket) => socket.readable().await,
            Socket::Unix(socket) => socket.readable().await,
        }
    }

    /// Closes the connection: sends the kept bytes and close_notify, and discards received data for
    /// up to a second, since closing a socket with unread data resets it and may lose sent bytes.
    /// Errors are ignored: the peer may be gone already.
    pub async fn close(mut self) {
        if let Some(session) = &mut self.session {
            session.close(&mut self.unsent);
        }
        let close = async {
            std::future::poll_fn(|cx| self.poll_flush(cx)).await?;
            std::future::poll_fn(|cx| self.socket.poll_shutdown(cx)).await?;
            while std::future::poll_fn(|cx| {
                Scratch::with(|scratch| self.socket.poll_read(cx, &mut scratch.incoming))
            })
            .await?
                > 0
            {}
            Ok::<_, io::Error>(())
        };
        // Best effort: the connection ends either way.
        let _closed = tokio::time::timeout(CLOSE_TIMEOUT, close).await;
    }
}

#[cfg(test)]
mod tests;
