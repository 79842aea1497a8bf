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
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::sync::Semaphore;
    use tokio::time::timeout;

    use super::serve_bounded;

    const PATIENCE: Duration = Duration::from_secs(5);

    /// Every other accept fails, and each handler panics when it may end. The limit is two.
    #[tokio::test]
    async fn errors_and_panics_release_the_permit_and_do_not_end_the_loop() {
        let (accepted, may_end) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (count, gate) = (Arc::clone(&accepted), Arc::clone(&may_end));
        let started = Arc::new(Semaphore::new(0));
        let starts = Arc::clone(&started);
        tokio::spawn(async move {
            let accept = || {
                let count = count.fetch_add(1, Ordering::Relaxed);
                async move {
                    if count % 2 == 0 {
                        Err(io::Error::other("a test fails on purpose"))
                    } else {
                        Ok((count, ()))
                    }
                }
            };
            let handler = |_: usize| {
                let (gate, starts) = (Arc::clone(&gate), Arc::clone(&starts));
                async move {
                    starts.add_permits(1);
                    gate.acquire().await.unwrap().forget();
                    panic!("a test panics on purpose");
                }
            };
            serve_bounded("test", 2, accept, handler).await;
        });
        for _ in 0..2 {
            timeout(PATIENCE, started.acquire_many(2)).await.unwrap().unwrap().forget();
            assert!(
                timeout(Duration::from_millis(100), started.acquire()).await.is_err(),
                "more than two handlers run"
            );
            may_end.add_permits(2);
        }
        timeout(PATIENCE, started.acquire()).await.unwrap().unwrap().forget();
    }
}
