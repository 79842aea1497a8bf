//! Threads that serve clients. A client stays on the thread that it was assigned to.
//!
//! Messages of a client and of its server wake the same thread, which forwards everything that
//! has arrived for all of its clients. A work-stealing scheduler would wake other threads each
//! time, which costs more than forwarding a statement.

use std::fmt;
use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Worker threads. They end, and their clients with them, when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Workers(Arc<Threads>);

#[derive(Debug)]
struct Threads {
    first: Worker,
    others: Vec<Worker>,
}

/// One thread with a runtime of its own.
struct Worker {
    runtime: Handle,
    /// Each client holds a clone.
    clients: Arc<()>,
    /// Ends the thread when it is dropped.
    _shutdown: oneshot::Sender<()>,
}

impl Workers {
    /// Starts `count` threads.
    ///
    /// # Errors
    /// If a thread or a runtime cannot be created.
    pub fn start(count: NonZeroUsize) -> io::Result<Self> {
        let others = (1..count.get()).map(Worker::start).collect::<io::Result<_>>()?;
        Ok(Self(Arc::new(Threads { first: Worker::start(0)?, others })))
    }

    /// Starts one thread for each processor that this process may use.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn for_this_machine() -> io::Result<Self> {
        Self::start(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// Returns the number of clients of each thread.
    pub(crate) fn clients(&self) -> Vec<usize> {
        let Threads { first, others } = &*self.0;
        std::iter::once(first).chain(others).map(Worker::clients).collect()
    }

    /// Serves a client on the thread with the fewest clients.
    pub(crate) fn serve(&self, client: impl Future<Output = ()> + Send + 'static) {
        let Threads { first, others } = &*self.0;
        let worker = others.iter().fold(first, |least, other| {
            if other.clients() < least.clients() { other } else { least }
        });
        let count = Arc::clone(&worker.clients);
        worker.runtime.spawn(async move {
            client.await;
            drop(count);
        });
    }
}

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (shutdown, is_shut_down) = oneshot::channel();
        thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || runtime.block_on(is_shut_down))?;
        Ok(Self { runtime: handle, clients: Arc::default(), _shutdown: shutdown })
    }

    fn clients(&self) -> usize {
        Arc::strong_count(&self.clients) - 1
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("clients", &self.clients()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::mpsc;
    use std::thread::ThreadId;

    use super::*;

    /// Serves `count` clients. Returns the number of clients by thread, and for each client the
    /// sender that ends it.
    fn serve(
        workers: &Workers,
        count: usize,
    ) -> (HashMap<ThreadId, usize>, Vec<oneshot::Sender<()>>) {
        let (sender, threads) = mpsc::channel();
        let clients = (0..count).map(|_| {
            let (disconnect, disconnected) = oneshot::channel();
            let sender = sender.clone();
            workers.serve(async move {
                sender.send(thread::current().id()).unwrap();
                let _dropped = disconnected.await;
            });
            disconnect
        });
        let clients = clients.collect();
        let mut counts = HashMap::new();
        for thread in threads.iter().take(count) {
            *counts.entry(thread).or_default() += 1;
        }
        (counts, clients)
    }

    #[test]
    fn clients_are_distributed_evenly() {
        let workers = Workers::start(NonZeroUsize::new(3).unwrap()).unwrap();
        let (counts, _clients) = serve(&workers, 9);
        assert_eq!(counts.into_values().collect::<Vec<_>>(), [3, 3, 3]);
    }

    #[test]
    fn the_thread_with_the_fewest_clients_gets_the_next() {
        let workers = Workers::start(NonZeroUsize::new(2).unwrap()).unwrap();
        let (_, mut clients) = serve(&workers, 4);
        // The first and the third are on the first thread.
        clients.remove(2).send(()).unwrap();
        clients.remove(0).send(()).unwrap();
        while workers.0.first.clients() > 0 {
            thread::yield_now();
        }
        let (counts, _clients) = serve(&workers, 2);
        assert_eq!(counts.into_values().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn clients_end_with_the_last_clone() {
        let workers = Workers::start(NonZeroUsize::MIN).unwrap();
        let (sender, dropped) = mpsc::channel::<()>();
        workers.serve(async move {
            std::future::pending::<()>().await;
            drop(sender);
        });
        drop(workers);
        assert_eq!(dropped.recv(), Err(mpsc::RecvError));
    }
}
