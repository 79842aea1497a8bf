//! Forwarding between a client and its server. Nothing is kept of the forwarded bytes.

use std::future::Future as _;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use countersign_connect::transport::{Scratch, Transport};
use countersign_wire::{ProtocolError, ReadBuffer};
use zeroize::Zeroizing;

use crate::protocol::{
    ForwardPlan, InterceptedBy, Next, Protocol, SessionTracker, TransactionState, UpstreamOf,
};
use crate::sessions::SessionInfo;

/// Number of passes in both directions before other clients of the thread are polled. Without a
/// limit a COPY would delay their statements.
const MAX_PASSES: usize = 16;

/// Reason why the relay stopped.
pub(crate) enum RelayEnd<P: Protocol> {
    /// The client sent its terminate message or closed the connection.
    ClientClosed,
    /// The connection to the client failed.
    ClientFailed(io::Error),
    /// The client violated the protocol.
    ProtocolViolation(ProtocolError),
    /// The server closed the connection; everything that it sent was forwarded.
    ServerClosed,
    /// The connection to the server failed.
    ServerFailed(io::Error),
    /// The client sent an intercepted request. The bytes after it are in its buffer.
    Intercepted(InterceptedBy<P>),
}

/// Phase of a relay.
enum Phase {
    /// Bytes received before the relay started are still to be forwarded.
    Buffered,
    /// Bytes are forwarded from socket to socket.
    Copying,
}

/// Both connections of a session, while it is relayed.
pub(crate) struct Relay<'a, P: Protocol> {
    client: &'a mut Transport,
    /// Bytes of the client that the tracker has not yet processed.
    client_buffer: &'a mut ReadBuffer,
    upstream: &'a mut UpstreamOf<P>,
    tracker: &'a mut P::Tracker,
    info: &'a SessionInfo,
    phase: Phase,
}

impl<'a, P: Protocol> Relay<'a, P> {
    pub(crate) fn new(
        client: &'a mut Transport,
        client_buffer: &'a mut ReadBuffer,
        upstream: &'a mut UpstreamOf<P>,
        tracker: &'a mut P::Tracker,
        info: &'a SessionInfo,
    ) -> Self {
        Self { client, client_buffer, upstream, tracker, info, phase: Phase::Buffered }
    }

    pub(crate) fn state(&self) -> TransactionState {
        self.tracker.state()
    }

    pub(crate) fn take_exclusive_ddl_flag(&mut self) -> bool {
        self.tracker.take_exclusive_ddl_flag()
    }

    /// Forwards in both directions until neither connection has data, or until
    /// [`MAX_PASSES`] are done.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<RelayEnd<P>> {
        let relayed = Scratch::with(|scratch| {
            if let Phase::Buffered = self.phase {
                self.forward_buffered(cx, scratch)?;
                self.phase = Phase::Copying;
            }
            self.copy(cx, scratch)
        });
        match relayed {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        }
    }

    /// Forwards bytes that arrived together with the messages of the logins.
    fn forward_buffered(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), RelayEnd<P>> {
        if !self.upstream.buffer.is_empty() {
            let buffered = std::mem::take(&mut self.upstream.buffer);
            self.send_to_client(cx, buffered.unread(), &mut scratch.outgoing)?;
        }
        if self.client_buffer.is_empty() {
            Ok(())
        } else {
            self.receive_from_client(cx, &[], &mut scratch.outgoing)
        }
    }

    fn copy(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Result<(), RelayEnd<P>> {
        for _ in 0..MAX_PASSES {
            let to_server = self.poll_to_server(cx, scratch)?;
            let to_client = self.poll_to_client(cx, scratch)?;
            if to_server.is_pending() && to_client.is_pending() {
                return Ok(());
            }
        }
        // Schedules another poll after those of the other clients.
        let _yielded = pin!(tokio::task::yield_now()).poll(cx);
        Ok(())
    }

    /// Forwards once from the client to the server. Reads nothing while the server has not
    /// accepted the bytes read before.
    fn poll_to_server(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Result<Poll<()>, RelayEnd<P>> {
        if flush(&mut self.upstream.transport, cx).map_err(RelayEnd::ServerFailed)?.is_pending() {
            return Ok(Poll::Pending);
        }
        let Scratch { incoming, plain, outgoing } = scratch;
        match self.client.poll_receive(cx, incoming, plain) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Err(error)) => Err(RelayEnd::ClientFailed(error)),
            Poll::Ready(Ok([])) => Err(RelayEnd::ClientClosed),
            Poll::Ready(Ok(bytes)) => {
                self.receive_from_client(cx, bytes, outgoing).map(Poll::Ready)
            }
        }
    }

    /// Forwards once from the server to the client.
    fn poll_to_client(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut Scratch,
    ) -> Result<Poll<()>, RelayEnd<P>> {
        if flush(self.client, cx).map_err(RelayEnd::ClientFailed)?.is_pending() {
            return Ok(Poll::Pending);
        }
        let Scratch { incoming, plain, outgoing } = scratch;
        match self.upstream.transport.poll_receive(cx, incoming, plain) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Err(error)) => Err(RelayEnd::ServerFailed(error)),
            Poll::Ready(Ok([])) => Err(RelayEnd::ServerClosed),
            Poll::Ready(Ok(bytes)) => self.send_to_client(cx, bytes, outgoing).map(Poll::Ready),
        }
    }

    fn send_to_client(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        outgoing: &mut Vec<u8>,
    ) -> Result<(), RelayEnd<P>> {
        self.tracker.observe_server(bytes);
        self.info.record_to_client(bytes.len(), self.tracker.state());
        self.client.send(cx, bytes, outgoing).map_err(RelayEnd::ClientFailed)
    }

    /// Processes received bytes together with those of an incomplete message before them.
    fn receive_from_client(
        &mut self,
        cx: &mut Context<'_>,
        received: &[u8],
        outgoing: &mut Vec<u8>,
    ) -> Result<(), RelayEnd<P>> {
        if self.client_buffer.is_empty() {
            return self.send_to_server(cx, received, outgoing);
        }
        self.client_buffer.push(received);
        let bytes = Zeroizing::new(self.client_buffer.unread().to_vec());
        self.client_buffer.consume(bytes.len());
        self.send_to_server(cx, &bytes, outgoing)
    }

    fn send_to_server(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        outgoing: &mut Vec<u8>,
    ) -> Result<(), RelayEnd<P>> {
        let ForwardPlan { forward, next } =
            self.tracker.observe_client(bytes).map_err(RelayEnd::ProtocolViolation)?;
        let (forwarded, rest) = bytes.split_at_checked(forward).unwrap_or((bytes, &[]));
        if !forwarded.is_empty() {
            self.info.record_to_server(forwarded.len());
            self.upstream
                .transport
                .send(cx, forwarded, outgoing)
                .map_err(RelayEnd::ServerFailed)?;
        }
        match next {
            Next::More => {
                self.client_buffer.push(rest);
                Ok(())
            }
            Next::Terminate => Err(RelayEnd::ClientClosed),
            Next::Intercept(length, request) => {
                self.client_buffer.push(rest.get(length..).unwrap_or_default());
                Err(RelayEnd::Intercepted(request))
            }
        }
    }
}

/// Sends the unsent bytes of a connection. Pending until all of them are sent.
fn flush(transport: &mut Transport, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
    if !transport.has_unsent() {
        return Ok(Poll::Ready(()));
    }
    match transport.poll_flush(cx) {
        Poll::Pending => Ok(Poll::Pending),
        Poll::Ready(flushed) => flushed.map(Poll::Ready),
    }
}

#[cfg(test)]
mod tests;
