//! A bounded set of connections, and eviction of idle ones.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};

/// Treatment of a new connection if the set is full and every open connection is busy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenBusy {
    /// The new connection waits until an open one ends.
    Wait,
    /// The oldest connection is closed.
    EvictOldest,
}

/// Connections that are served at the same time, each by its own task. Dropping the set closes
/// all of them.
#[derive(Debug)]
pub struct Connections {
    max_open: usize,
    when_busy: WhenBusy,
    tasks: JoinSet<()>,
    /// In the order in which they were accepted.
    open: VecDeque<AbortHandle>,
    idle: Arc<IdleQueue>,
}

impl Connections {
    /// Creates an empty set of at most `max_open` connections.
    #[must_use]
    pub fn new(max_open: usize, when_busy: WhenBusy) -> Self {
        Self {
            max_open,
            when_busy,
            tasks: JoinSet::new(),
            open: VecDeque::new(),
            idle: Arc::default(),
        }
    }

    /// Spawns a task for one more connection, which is idle at first. If the set is full, the
    /// connection that has been idle for longest is closed, so that clients that hold connections
    /// open cannot exclude others; if none is idle, [`WhenBusy`] applies.
    pub async fn spawn<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        serve: impl FnOnce(ConnActivity) -> F,
    ) {
        while self.tasks.try_join_next().is_some() {}
        if self.tasks.len() >= self.max_open {
            self.make_room();
        }
        while self.tasks.len() >= self.max_open {
            self.tasks.join_next().await;
        }
        self.open.retain(|task| !task.is_finished());
        let activity = ConnActivity {
            queue: Arc::clone(&self.idle),
            evicted: Arc::default(),
            position: Mutex::new(None),
        };
        activity.mark_idle();
        let evicted = Arc::clone(&activity.evicted);
        let connection = serve(activity);
        self.open.push_back(self.tasks.spawn(async move {
            tokio::select! {
                () = connection => {}
                () = evicted.notified() => tracing::debug!("idle connection evicted"),
            }
        }));
    }

    fn make_room(&mut self) {
        if self.idle.evict_longest() || self.when_busy == WhenBusy::Wait {
            return;
        }
        self.open.retain(|task| !task.is_finished());
        if let Some(oldest) = self.open.pop_front() {
            oldest.abort();
        }
    }

    /// Closes the idle connections and waits until the others have ended.
    pub async fn drain(mut self) {
        while self.idle.evict_longest() {}
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Idle connections in the order in which they became idle.
#[derive(Debug, Default)]
struct IdleQueue(Mutex<IdleEntries>);

#[derive(Debug, Default)]
struct IdleEntries {
    last_position: u64,
    by_position: BTreeMap<u64, Arc<Notify>>,
}

impl IdleQueue {
    fn lock(&self) -> MutexGuard<'_, IdleEntries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns false if no connection is idle.
    fn evict_longest(&self) -> bool {
        let longest = self.lock().by_position.pop_first();
        if let Some((_, evicted)) = &longest {
            evicted.notify_one();
        }
        longest.is_some()
    }
}

/// State of one connection: idle while the client is to send, busy while a response is due.
#[derive(Debug)]
pub struct ConnActivity {
    queue: Arc<IdleQueue>,
    evicted: Arc<Notify>,
    /// Position in the queue of idle connections.
    position: Mutex<Option<u64>>,
}

impl ConnActivity {
    /// Marks the connection as idle: it may be evicted from now on.
    pub fn mark_idle(&self) {
        let mut entries = self.queue.lock();
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(previous) = position.take() {
            entries.by_position.remove(&previous);
        }
        entries.last_position += 1;
        let last = entries.last_position;
        entries.by_position.insert(last, Arc::clone(&self.evicted));
        *position = Some(last);
    }

    /// Marks the connection as busy: it is not evicted.
    pub fn mark_busy(&self) {
        let mut entries = self.queue.lock();
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(position) = position.take() {
            entries.by_position.remove(&position);
        }
    }
}

impl Drop for ConnActivity {
    fn drop(&mut self) {
        self.mark_busy();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    /// Connections that end only by eviction, and their names when they do.
    struct Fixture {
        connections: Connections,
        closed: mpsc::UnboundedReceiver<&'static str>,
        close: mpsc::UnboundedSender<&'static str>,
    }

    struct OnDrop(&'static str, mpsc::UnboundedSender<&'static str>);

    impl Drop for OnDrop {
        fn drop(&mut self) {
            let _closed = self.1.send(self.0);
        }
    }

    impl Fixture {
        fn new(when_busy: WhenBusy) -> Self {
            let (close, closed) = mpsc::unbounded_channel();
            Self { connections: Connections::new(2, when_busy), closed, close }
        }

        async fn open(&mut self, name: &'static str, is_busy: bool) {
            let guard = OnDrop(name, self.close.clone());
            let serve = |activity: ConnActivity| {
                if is_busy {
                    activity.mark_busy();
                }
                async move {
                    std::future::pending::<()>().await;
                    drop((guard, activity));
                }
            };
            self.connections.spawn(serve).await;
        }

        async fn next_closed(&mut self) -> &'static str {
            timeout(PATIENCE, self.closed.recv()).await.unwrap().unwrap()
        }
    }

    #[tokio::test]
    async fn the_longest_idle_connection_is_evicted() {
        let mut fixture = Fixture::new(WhenBusy::Wait);
        fixture.open("busy", true).await;
        fixture.open("idle", false).await;
        fixture.open("next", false).await;
        assert_eq!(fixture.next_closed().await, "idle");
    }

    #[tokio::test]
    async fn a_set_of_busy_connections_waits_or_evicts_the_oldest() {
        let mut waiting = Fixture::new(WhenBusy::Wait);
        waiting.open("first", true).await;
        waiting.open("second", true).await;
        let third = timeout(Duration::from_millis(100), waiting.open("third", true)).await;
        assert!(third.is_err(), "three are open");

        let mut evicting = Fixture::new(WhenBusy::EvictOldest);
        for name in ["first", "second", "third"] {
            evicting.open(name, true).await;
        }
        assert_eq!(evicting.next_closed().await, "first");
    }

    #[tokio::test]
    async fn draining_closes_idle_connections_and_awaits_busy_ones() {
        let mut fixture = Fixture::new(WhenBusy::Wait);
        fixture.open("idle", false).await;
        let (finish, finished) = tokio::sync::oneshot::channel::<()>();
        let serve = |activity: ConnActivity| {
            activity.mark_busy();
            async move {
                let _finished = finished.await;
                drop(activity);
            }
        };
        fixture.connections.spawn(serve).await;
        let Fixture { connections, mut closed, .. } = fixture;
        let drained = tokio::spawn(connections.drain());
        assert_eq!(timeout(PATIENCE, closed.recv()).await.unwrap(), Some("idle"));
        assert!(!drained.is_finished());
        finish.send(()).unwrap();
        timeout(PATIENCE, drained).await.unwrap().unwrap();
    }
}
