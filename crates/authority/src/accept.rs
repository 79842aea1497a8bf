//! The loop of every front: connections are accepted one after the other, and no more are open than it has slots.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

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

#[cfg(test)]
mod tests;
