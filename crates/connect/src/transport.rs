//! A connection, with TLS or without, as both logins and the relay use it.
//!
//! It holds no buffer while nothing is in flight: what is read goes into the thread's [`Scratch`], what the socket does not take
//! at once is kept until it does, and an idle connection is its socket and the state of TLS alone.

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

/// How long a peer may take to hear a goodbye.
const LINGER: Duration = Duration::from_secs(1);

/// A connected socket.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

impl Socket {
    /// The same socket in the hands of the runtime that calls: it wakes whoever waits, and no other has to.
    ///
    /// # Errors
    /// What the system says.
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
    /// What the socket has not taken yet.
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
    /// The socket itself: for its addresses, and for whom it belongs to.
    #[must_use]
    pub const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// See [`Socket::rehome`].
    ///
    /// # Errors
    /// What the system says; the connection is lost then.
    pub fn reregister(self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.reregister()?, ..self })
    }

    /// Whether TLS stands.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.session.is_some()
    }

    /// Begins TLS with a server.
    ///
    /// # Errors
    /// What the socket or the handshake says: a certificate that is not trusted is one.
    pub async fn connect_tls(
        &mut self,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<()> {
        let session = Session::client(config, name)?;
        self.handshake(session).await
    }

    /// Begins TLS with a client. `early` is what has come already and belongs to TLS.
    ///
    /// # Errors
    /// What the socket or the handshake says.
    pub async fn accept_tls(&mut self, config: Arc<ServerConfig>, early: &[u8]) -> io::Result<()> {
        let mut session = Session::server(config)?;
        session.push_ciphertext(early);
        self.handshake(session).await
    }

    async fn handshake(&mut self, mut session: Session) -> io::Result<()> {
        loop {
            let negotiated = session.negotiate(&mut self.unsent);
            // Where it failed, what is sent is the alert that tells the peer why.
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
                    "the connection was closed within the TLS handshake",
                ));
            }
        }
        self.session = Some(Box::new(session));
        Ok(())
    }

    /// The server's certificate, DER, where it has shown one.
    #[must_use]
    pub fn certificate(&self) -> Option<&[u8]> {
        self.session.as_ref()?.certificate()
    }

    /// What both ends agreed to speak within TLS (ALPN), where they did.
    #[must_use]
    pub fn protocol(&self) -> Option<&[u8]> {
        self.session.as_ref()?.protocol()
    }

    /// Receives once. What has come is a piece of the scratch; nothing at all is the end.
    ///
    /// # Errors
    /// What the socket or TLS says.
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
        session.early_plaintext(plain);
        // Once TLS has ended the socket may well stay open, but nothing more comes.
        while plain.is_empty() && !session.is_closed() {
            let pending = session.pending();
            let start = pending.len();
            let (head, free) = incoming.split_at_mut_checked(start).unwrap_or_default();
            let count = ready!(self.socket.poll_read(cx, free))?;
            // Servers close without TLS's goodbye. Nothing can be cut off by that: a message that is not whole is noticed.
            if count == 0 {
                break;
            }
            head.copy_from_slice(session.pending());
            let filled = incoming.get_mut(..start + count).unwrap_or_default();
            session.decrypt(filled, plain, &mut self.unsent)?;
        }
        Poll::Ready(Ok(plain))
    }

    /// Sends all of the bytes: what the socket does not take now is kept, and [`Self::poll_flush`] sends it later. So whoever
    /// sends does not read more as long as [`Self::has_unsent`].
    ///
    /// # Errors
    /// What the socket or TLS says.
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

    /// Whether the socket has not taken all that was sent.
    #[must_use]
    pub const fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Sends what is still to be sent.
    ///
    /// # Errors
    /// What the socket says.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.unsent.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match ready!(self.socket.poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        // Freed rather than kept: most connections are idle most of the time.
        self.unsent = Vec::new();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Sends all of the bytes and waits until the socket has taken them.
    ///
    /// # Errors
    /// What the socket or TLS says.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        std::future::poll_fn(|cx| {
            Poll::Ready(Scratch::with(|scratch| self.send(cx, bytes, &mut scratch.outgoing)))
        })
        .await?;
        std::future::poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Receives once and hands over what has come; 0 is the end.
    ///
    /// # Errors
    /// What the socket or TLS says.
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

    /// Whether nothing has come, not even the end. What has come is thrown away: nobody is to use the connection then.
    #[must_use]
    pub fn has_no_pending_data(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        Scratch::with(|scratch| {
            self.poll_receive(&mut cx, &mut scratch.incoming, &mut scratch.plain).is_pending()
        })
    }

    /// Waits until something has come, or the end, without taking it.
    ///
    /// # Errors
    /// What the socket says.
    pub async fn readable(&self) -> io::Result<()> {
        if self.session.as_ref().is_some_and(|session| session.has_surplus()) {
            return Ok(());
        }
        match &self.socket {
            Socket::Tcp(socket) => socket.readable().await,
            Socket::Unix(socket) => socket.readable().await,
        }
    }

    /// Says goodbye: the rest is sent, TLS is closed, and what the peer still sends is thrown away for a moment, since a socket
    /// that is closed over unread bytes takes back what it has sent. A peer that has gone already is no error.
    pub async fn close(mut self) {
        if let Some(session) = &mut self.session {
            session.close(&mut self.unsent);
        }
        let goodbye = async {
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
        // Nobody is left to be told that the goodbye did not arrive.
        let _gone = tokio::time::timeout(LINGER, goodbye).await;
    }
}

#[cfg(test)]
mod tests;
