//! What the threads are at.

use serde::Serialize;
use tokio::runtime::Handle;

use crate::status::Status;

/// The clients of each worker, and the tasks of the runtime that does the rest: by number alone, as tokio names none without its
/// unstable API.
#[derive(Debug, Serialize)]
pub(super) struct Tasks {
    clients: Vec<usize>,
    alive: usize,
    queued: usize,
}

/// Must be called on a tokio runtime.
pub(super) fn tasks(status: Status) -> Tasks {
    let metrics = Handle::current().metrics();
    Tasks {
        clients: status.workers,
        alive: metrics.num_alive_tasks(),
        queued: metrics.global_queue_depth(),
    }
}
