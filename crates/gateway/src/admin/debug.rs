//! What the runtime is at.

use serde::Serialize;
use tokio::runtime::Handle;

/// The tasks of the runtime, by number alone: tokio names none without its unstable API.
#[derive(Debug, Serialize)]
pub(super) struct Tasks {
    workers: usize,
    alive: usize,
    queued: usize,
}

/// Must be called on a tokio runtime.
pub(super) fn tasks() -> Tasks {
    let metrics = Handle::current().metrics();
    Tasks { workers: metrics.num_workers(), alive: metrics.num_alive_tasks(), queued: metrics.global_queue_depth() }
}
