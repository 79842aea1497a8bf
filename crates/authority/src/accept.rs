//! The loop of every front: connections are accepted one after the other, and no more are open than it has slots.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

/// How long to wait after a failed accept: it fails for want of descriptors, which others are about to give back.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(20);

/// Holds a conversation on each connection that `accept` gives, at most `slots` at once: more wait in the listener's
/// queue. It goes on until it is dropped; no error of `accept` ends it, and no conversation, however bad. How long a
/// conversation keeps its slot is for `converse` to bound.
pub async fn serve_bounded<S, P, A, C>(
    front: &'static str,
    slots: usize,
    accept: impl Fn() -> A,
    converse: impl Fn(S) -> C,
) where
    A: Future<Output = io::Result<(S, P)>>,
    C: Future<Output = ()> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(slots));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let stream = match accept().await {
            Ok((stream, _peer)) => stream,
            Err(error) => {
                tracing::warn!(%error, front, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        let conversation = converse(stream);
        tokio::spawn(async move {
            conversation.await;
            drop(slot);
        });
    }
}

/// The same, but whoever is slow makes room: where every slot is taken and somebody new comes, the conversation that has kept
/// its listener waiting for longest is ended, if one does. So nobody can keep others out by holding connections.
pub async fn serve_with_eviction<S, P, A, C>(
    front: &'static str,
    slots: usize,
    waiting: Arc<IdleConnections>,
    accept: impl Fn() -> A,
    converse: impl Fn(S, ConnActivity) -> C,
) where
    A: Future<Output = io::Result<(S, P)>>,
    C: Future<Output = ()> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(slots));
    loop {
        let stream = match accept().await {
            Ok((stream, _peer)) => stream,
            Err(error) => {
                tracing::warn!(%error, front, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        if slots.available_permits() == 0 {
            waiting.end_longest();
        }
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let turn = ConnActivity {
            waiting: Arc::clone(&waiting),
            ended: Arc::new(Notify::new()),
            ticket: Mutex::new(None),
        };
        turn.mark_idle();
        let ended = Arc::clone(&turn.ended);
        let conversation = converse(stream, turn);
        tokio::spawn(async move {
            tokio::select! {
                () = conversation => {}
                () = ended.notified() => tracing::debug!(front, "a slow connection made room for another"),
            }
            drop(slot);
        });
    }
}

/// The conversations in which the other side is to say something, in the order in which they began to wait.
#[derive(Debug, Default)]
pub struct IdleConnections(Mutex<(u64, BTreeMap<u64, Arc<Notify>>)>);

impl IdleConnections {
    fn end_longest(&self) {
        let longest = self.0.lock().unwrap_or_else(PoisonError::into_inner).1.pop_first();
        if let Some((_, ended)) = longest {
            ended.notify_one();
        }
    }
}

/// One conversation's place among those that wait.
#[derive(Debug)]
pub struct ConnActivity {
    waiting: Arc<IdleConnections>,
    ended: Arc<Notify>,
    ticket: Mutex<Option<u64>>,
}

impl ConnActivity {
    /// The other side is to say something.
    pub fn mark_idle(&self) {
        let mut queue = self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner);
        queue.0 += 1;
        let ticket = queue.0;
        queue.1.insert(ticket, Arc::clone(&self.ended));
        *self.ticket.lock().unwrap_or_else(PoisonError::into_inner) = Some(ticket);
    }

    /// It has said it.
    pub fn mark_busy(&self) {
        if let Some(ticket) = self.ticket.lock().unwrap_or_else(PoisonError::into_inner).take() {
            self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&ticket);
        }
    }
}

impl Drop for ConnActivity {
    fn drop(&mut self) {
        self.mark_busy();
    }
}

#[cfg(test)]
mod tests;
