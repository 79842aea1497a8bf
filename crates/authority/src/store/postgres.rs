//! The records in a database of a PostgreSQL server, which authorities on several machines share.
//!
//! One thread of its own talks to the server, over one connection, and does what it is asked in turn. Every quarter of a second
//! it looks whether others have written; what it saw is good for a second. Whoever asks after that waits for an answer, and gets
//! an error where there is none: an authority that is cut off does not go on with what it knew.

mod connection;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::StoreError;
use super::backend::{Backend, Commit, Revision, Row};
use super::location::PostgresLocation;
use connection::Connection;

/// How often it is looked whether others have written.
const LOOK: Duration = Duration::from_millis(250);

/// How long what was seen is good.
const GOOD: Duration = Duration::from_secs(1);

/// How long the server may take to answer. (A state of 100,000 users takes a second or two.)
const ANSWER: Duration = Duration::from_secs(30);

/// How long it may take to say its revision: everybody waits for that.
const GLANCE: Duration = Duration::from_secs(3);

/// What the thread is asked.
enum Order {
    Look(mpsc::Sender<Result<Revision, String>>),
    Changes(Revision, mpsc::Sender<Result<(Revision, Vec<Row>), String>>),
    Commit(Revision, Vec<Row>, mpsc::Sender<Result<Commit, String>>),
}

/// What the thread last saw.
#[derive(Debug, Default)]
struct Seen {
    revision: AtomicI64,
    at: Mutex<Option<Instant>>,
}

impl Seen {
    fn note(&self, revision: Revision, at: Instant) {
        self.revision.store(revision, Ordering::Release);
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    /// The revision, if it was seen lately.
    fn lately(&self) -> Option<Revision> {
        let at = *self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.is_some_and(|at| at.elapsed() < GOOD).then(|| self.revision.load(Ordering::Acquire))
    }
}

/// The thread's other end.
#[derive(Debug)]
pub(super) struct Postgres {
    orders: UnboundedSender<Order>,
    seen: Arc<Seen>,
    place: String,
}

impl Postgres {
    /// Connects, and brings the database to the present schema.
    pub(super) fn open(location: &PostgresLocation) -> Result<Self, StoreError> {
        let (orders, received) = unbounded_channel();
        let (seen, place) = (Arc::new(Seen::default()), location.to_string());
        let failed = |reason: String| StoreError::Database { place: place.clone(), reason };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let (opened, first) = mpsc::channel();
        let worker =
            Worker { location: location.clone(), connection: None, seen: Arc::clone(&seen) };
        let thread = std::thread::Builder::new().name("store".to_owned());
        thread
            .spawn(move || runtime.block_on(worker.work(received, opened)))
            .map_err(|error| failed(error.to_string()))?;
        first.recv().map_err(|_| failed("its thread has ended".to_owned()))?.map_err(&failed)?;
        Ok(Self { orders, seen, place })
    }

    /// Has the thread do something, and waits for what comes of it.
    fn ask<T>(
        &self,
        order: impl FnOnce(mpsc::Sender<Result<T, String>>) -> Order,
    ) -> Result<T, StoreError> {
        let failed = |reason: String| StoreError::Database { place: self.place.clone(), reason };
        let (answer, answered) = mpsc::channel();
        self.orders.send(order(answer)).map_err(|_| failed("its thread has ended".to_owned()))?;
        answered
            .recv_timeout(2 * ANSWER)
            .map_err(|error| failed(error.to_string()))?
            .map_err(failed)
    }
}

impl Backend for Postgres {
    fn stamp(&mut self) -> Result<i64, StoreError> {
        match self.seen.lately() {
            Some(revision) => Ok(revision),
            None => self.ask(Order::Look),
        }
    }

    fn changes(&mut self, since: Revision) -> Result<(Revision, Vec<Row>), StoreError> {
        self.ask(|answer| Order::Changes(since, answer))
    }

    fn commit(&mut self, base: Revision, rows: &[Row]) -> Result<Commit, StoreError> {
        self.ask(|answer| Order::Commit(base, rows.to_vec(), answer))
    }
}

/// The thread.
struct Worker {
    location: PostgresLocation,
    connection: Option<Connection>,
    seen: Arc<Seen>,
}

impl Worker {
    async fn work(
        mut self,
        mut orders: UnboundedReceiver<Order>,
        opened: mpsc::Sender<Result<(), String>>,
    ) {
        let first = self.look().await.map(drop);
        let failed = first.is_err();
        if opened.send(first).is_err() || failed {
            return;
        }
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order).await,
                    None => return,
                },
                _ = tick.tick() => if let Err(error) = self.look().await {
                    tracing::warn!(%error, place = %self.location, "the authority's store can't be reached");
                },
            }
        }
    }

    /// Whoever asked may have gone: then nobody misses the answer.
    async fn obey(&mut self, order: Order) {
        let _nobody_misses_it = match order {
            Order::Look(answer) => answer.send(self.look().await).is_ok(),
            Order::Changes(since, answer) => {
                let changes =
                    self.within(ANSWER, async |connection| connection.changes(since).await).await;
                answer.send(changes).is_ok()
            }
            Order::Commit(base, rows, answer) => {
                let commit = self
                    .within(ANSWER, async |connection| connection.commit(base, &rows).await)
                    .await;
                answer.send(commit).is_ok()
            }
        };
    }

    async fn look(&mut self) -> Result<Revision, String> {
        let began = Instant::now();
        let revision = self.within(GLANCE, async |connection| connection.revision().await).await?;
        self.seen.note(revision, began);
        Ok(revision)
    }

    /// Does `work` on the connection, which is made where there is none. One on which something failed is not used again.
    async fn within<T>(
        &mut self,
        time: Duration,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T, String>,
    ) -> Result<T, String> {
        let mut connection = match self.connection.take().filter(Connection::is_open) {
            Some(connection) => connection,
            None => timeout(ANSWER, Connection::open(&self.location))
                .await
                .map_err(|_| late(ANSWER))??,
        };
        let done = timeout(time, work(&mut connection)).await.map_err(|_| late(time))?;
        if done.is_ok() {
            self.connection = Some(connection);
        }
        done
    }
}

fn late(time: Duration) -> String {
    format!("it did not answer within {} s", time.as_secs())
}
