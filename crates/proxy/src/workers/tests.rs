use std::collections::HashMap;
use std::sync::mpsc;
use std::thread::{self, ThreadId};

use super::*;

/// Has so many clients served at a time; gives the threads that they are on, and what lets them go.
fn guests(workers: &Workers, count: usize) -> (HashMap<ThreadId, usize>, Vec<oneshot::Sender<()>>) {
    let (told, threads) = mpsc::channel();
    let hosts = (0..count).map(|_| {
        let (leave, left) = oneshot::channel();
        let told = told.clone();
        workers.serve(async move {
            told.send(thread::current().id()).unwrap();
            let _left = left.await;
        });
        leave
    });
    let hosts = hosts.collect();
    let mut counts = HashMap::new();
    for thread in threads.iter().take(count) {
        *counts.entry(thread).or_default() += 1;
    }
    (counts, hosts)
}

#[test]
fn clients_are_spread_evenly() {
    let workers = Workers::start(NonZeroUsize::new(3).unwrap()).unwrap();
    let (counts, _stay) = guests(&workers, 9);
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [3, 3, 3]);
}

#[test]
fn a_thread_whose_clients_have_left_has_the_next() {
    let workers = Workers::start(NonZeroUsize::new(2).unwrap()).unwrap();
    let (_, mut hosts) = guests(&workers, 4);
    // The first and the third went to the first thread.
    hosts.remove(2).send(()).unwrap();
    hosts.remove(0).send(()).unwrap();
    while workers.0.first.clients() > 0 {
        thread::yield_now();
    }
    let (counts, _stay) = guests(&workers, 2);
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [2]);
}

#[test]
fn a_client_ends_with_the_last_of_its_proxy() {
    let workers = Workers::start(NonZeroUsize::MIN).unwrap();
    let (dropped, is_dropped) = mpsc::channel::<()>();
    workers.serve(async move {
        std::future::pending::<()>().await;
        drop(dropped);
    });
    drop(workers);
    assert_eq!(is_dropped.recv(), Err(mpsc::RecvError));
}
