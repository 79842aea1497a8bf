//! Bounded accept loops of the listeners.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// Delay after a failed accept. An accept fails if file descriptors are exhausted, which the end of
/// another connection resolves.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(20);

/// Runs `handler` for each connection that `accept` returns, at most `max_connections` at once;
/// further ones wait in the listener's queue. Runs until the future is dropped: neither an error of
/// `accept` nor a panic of a handler ends it. The handler must limit its own duration.
pub async fn serve_bounded<S, P, A, C>(
    listener: &'static str,
    max_connections: usize,
    accept: impl Fn() -> A,
    handler: impl Fn(S) -> C,
) where
    A: Future<Output = io::Result<(S, P)>>,
    C: Future<Output = ()> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(max_connections));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let stream = match accept().await {
            Ok((stream, _peer)) => stream,
            Err(error) => {
                tracing::warn!(%error, listener, "accept failed");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        let connection = handler(stream);
        tokio::spawn(async move {
            connection.await;
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests;
