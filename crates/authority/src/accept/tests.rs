use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::serve_bounded;

const PATIENCE: Duration = Duration::from_secs(5);

/// Every other accept fails, and each handler panics when it may end. The limit is two connections.
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
