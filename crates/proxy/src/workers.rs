//! The threads that clients are served on: a client stays on the one that it was given to, for as long as it is there.
//!
//! So what the client says and what its server answers wake one thread, which hands on whatever has come, for all of its clients, in
//! one go. A scheduler that lets threads take tasks from each other would wake the others too each time: that costs more than to hand
//! a statement through.

use std::fmt;
use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The threads that clients are served on. They end, and whoever is still there with them, when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Workers(Arc<Crew>);

#[derive(Debug)]
struct Crew {
    first: Worker,
    others: Vec<Worker>,
}

/// One thread, with a runtime of its own.
struct Worker {
    runtime: Handle,
    /// Each of its clients has a clone.
    clients: Arc<()>,
    /// Dropped with the worker, which ends the thread.
    _end: oneshot::Sender<()>,
}

impl Workers {
    /// Starts so many threads.
    ///
    /// # Errors
    /// Where the system has no thread, or no descriptor for a runtime.
    pub fn start(count: NonZeroUsize) -> io::Result<Self> {
        let others = (1..count.get()).map(Worker::start).collect::<io::Result<_>>()?;
        Ok(Self(Arc::new(Crew { first: Worker::start(0)?, others })))
    }

    /// As many as there are processors that this process may use.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn for_this_machine() -> io::Result<Self> {
        Self::start(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// How many clients each of the threads has.
    pub(crate) fn clients(&self) -> Vec<usize> {
        let Crew { first, others } = &*self.0;
        std::iter::once(first).chain(others).map(Worker::clients).collect()
    }

    /// Serves one more client, on the thread that has the fewest.
    pub(crate) fn serve(&self, client: impl Future<Output = ()> + Send + 'static) {
        let Crew { first, others } = &*self.0;
        let idlest = others.iter().fold(first, |least, other| {
            if other.clients() < least.clients() { other } else { least }
        });
        let place = Arc::clone(&idlest.clients);
        idlest.runtime.spawn(async move {
            client.await;
            drop(place);
        });
    }
}

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel();
        thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || runtime.block_on(ended))?;
        Ok(Self { runtime: handle, clients: Arc::default(), _end: end })
    }

    /// How many clients it has.
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
mod tests;
