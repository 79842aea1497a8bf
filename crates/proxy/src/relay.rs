//! Hands a session through: what the client says to the server, what the server says to the client, and nothing kept of it.

use std::future::Future as _;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use countersign_connect::transport::{Scratch, Transport};
use countersign_wire::{ProtocolError, ReadBuffer};
use zeroize::Zeroizing;

use crate::protocol::{ForwardPlan, Next, Protocol, SessionTracker};
use crate::sessions::SessionInfo;
use crate::upstream::Upstream;

/// How many times either way a client is served before others have their turn: a COPY would keep their statements waiting.
const TURN: usize = 16;

/// How handing through came to an end, or to a halt.
pub(crate) enum End<P: Protocol> {
    /// The client said goodbye, or has gone.
    Client,
    /// The client's connection broke.
    ClientBroken(io::Error),
    /// The client breaks the protocol.
    Fault(ProtocolError),
    /// The server has closed the session; all that it said has been handed on.
    Server,
    /// The server's connection broke.
    ServerBroken(io::Error),
    /// The client wants something that can't be handed through. What it has sent behind that waits in its inbox.
    Errand(P::Errand),
}

/// Both ends of a session.
pub(crate) struct Relay<'a, P: Protocol> {
    pub(crate) client: &'a mut Transport,
    /// What the client has sent that has not been looked at.
    pub(crate) inbox: &'a mut ReadBuffer,
    pub(crate) upstream: &'a mut Upstream<P>,
    pub(crate) follower: &'a mut P::Follower,
    pub(crate) live: &'a SessionInfo,
}

impl<P: Protocol> Relay<'_, P> {
    /// Hands on what came during the logins. After that [`Self::poll`] does all.
    pub(crate) fn begin(&mut self, cx: &mut Context<'_>) -> Result<(), End<P>> {
        Scratch::with(|scratch| {
            if !self.upstream.inbox.is_empty() {
                let bytes = std::mem::take(&mut self.upstream.inbox);
                self.follower.answer(bytes.unread());
                self.live.received(bytes.unread().len(), self.follower.standing());
                self.client
                    .send(cx, bytes.unread(), &mut scratch.outgoing)
                    .map_err(End::ClientBroken)?;
            }
            if self.inbox.is_empty() {
                Ok(())
            } else {
                self.pass_up(cx, &[], &mut scratch.outgoing)
            }
        })
    }

    /// Hands on whatever there is, both ways, until neither end has any more or it is the turn of others.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End<P>> {
        Scratch::with(|scratch| {
            for _ in 0..TURN {
                let up = self.poll_up(cx, scratch);
                if let Poll::Ready(Some(end)) = up {
                    return Poll::Ready(end);
                }
                let down = self.poll_down(cx, scratch);
                match down {
                    Poll::Ready(Some(end)) => return Poll::Ready(end),
                    Poll::Pending if up.is_pending() => return Poll::Pending,
                    Poll::Ready(None) | Poll::Pending => {}
                }
            }
            // Not woken at once: what else has come is looked at before.
            let _later = pin!(tokio::task::yield_now()).poll(cx);
            Poll::Pending
        })
    }

    /// From the client to the server, once. Nothing is read as long as the server has not taken what was read before.
    fn poll_up(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<Option<End<P>>> {
        if self.upstream.transport.has_unsent() {
            match self.upstream.transport.poll_flush(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Some(End::ServerBroken(error))),
            }
        }
        let Scratch { incoming, plain, outgoing } = scratch;
        match self.client.poll_receive(cx, incoming, plain) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Some(End::ClientBroken(error))),
            Poll::Ready(Ok([])) => Poll::Ready(Some(End::Client)),
            Poll::Ready(Ok(bytes)) => Poll::Ready(self.pass_up(cx, bytes, outgoing).err()),
        }
    }

    /// From the server to the client, once.
    fn poll_down(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<Option<End<P>>> {
        if self.client.has_unsent() {
            match self.client.poll_flush(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Some(End::ClientBroken(error))),
            }
        }
        let Scratch { incoming, plain, outgoing } = scratch;
        match self.upstream.transport.poll_receive(cx, incoming, plain) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Some(End::ServerBroken(error))),
            Poll::Ready(Ok([])) => Poll::Ready(Some(End::Server)),
            Poll::Ready(Ok(bytes)) => {
                self.follower.answer(bytes);
                self.live.received(bytes.len(), self.follower.standing());
                Poll::Ready(self.client.send(cx, bytes, outgoing).map_err(End::ClientBroken).err())
            }
        }
    }

    /// What the follower can't tell yet stays in the inbox, and is looked at again with what comes behind it.
    fn pass_up(
        &mut self,
        cx: &mut Context<'_>,
        received: &[u8],
        outgoing: &mut Vec<u8>,
    ) -> Result<(), End<P>> {
        if self.inbox.is_empty() {
            return self.pass(cx, received, outgoing);
        }
        self.inbox.push(received);
        let bytes = Zeroizing::new(self.inbox.unread().to_vec());
        self.inbox.consume(bytes.len());
        self.pass(cx, &bytes, outgoing)
    }

    fn pass(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        outgoing: &mut Vec<u8>,
    ) -> Result<(), End<P>> {
        let ForwardPlan { forward, then } = self.follower.request(bytes).map_err(End::Fault)?;
        let (passed, behind) = bytes.split_at_checked(forward).unwrap_or((bytes, &[]));
        if !passed.is_empty() {
            self.live.sent(passed.len());
            self.upstream.transport.send(cx, passed, outgoing).map_err(End::ServerBroken)?;
        }
        match then {
            Next::More => {
                self.inbox.push(behind);
                Ok(())
            }
            Next::Quit => Err(End::Client),
            Next::Errand(length, errand) => {
                self.inbox.push(behind.get(length..).unwrap_or_default());
                Err(End::Errand(errand))
            }
        }
    }
}

#[cfg(test)]
mod tests;
