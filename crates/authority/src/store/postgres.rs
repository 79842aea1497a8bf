//! Records in a database of a PostgreSQL server, shared by authorities on several machines.
//!
//! A thread executes commands one after the other over one connection. It polls the revision every
//! 250 ms; a result is valid for one second. A caller after that waits for a new result, and gets
//! an error if the server does not respond: an authority that lost its database does not continue
//! with an outdated state.

mod connection;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use super::backend::{Backend, Commit, Revision, Row};
use super::error::StoreError;
use super::location::PostgresLocation;
use connection::Connection;

/// Interval between polls of the revision.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Time for which a polled revision is valid.
const POLL_VALIDITY: Duration = Duration::from_secs(1);

/// Maximum time for a query. (Reading a state of 100,000 users takes one to two seconds.)
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum time for a poll, during which all callers wait.
const POLL_TIMEOUT: Duration = Duration::from_secs(3);
/// Reason of an error after the thread ended.
const THREAD_ENDED: &str = "the store's thread has ended; restart the authority";

/// Command to the thread, with the channel for its result.
enum Command {
    Poll(mpsc::Sender<Result<Revision, String>>),
    Changes(Revision, mpsc::Sender<Result<(Revision, Vec<Row>), String>>),
    Commit(Revision, Vec<Row>, mpsc::Sender<Result<Commit, String>>),
}

/// Last polled revision, and when it was polled.
#[derive(Debug, Default)]
struct LastPoll {
    revision: AtomicI64,
    at: Mutex<Option<Instant>>,
}

impl LastPoll {
    fn record(&self, revision: Revision, at: Instant) {
        self.revision.store(revision, Ordering::Release);
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    /// Returns the revision if it is still valid.
    fn valid(&self) -> Option<Revision> {
        let at = *self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.is_some_and(|at| at.elapsed() < POLL_VALIDITY)
            .then(|| self.revision.load(Ordering::Acquire))
    }
}

/// Handle to the thread.
#[derive(Debug)]
pub(super) struct Postgres {
    commands: UnboundedSender<Command>,
    last_poll: Arc<LastPoll>,
    location: String,
}

impl Postgres {
    /// Connects, and migrates the database to the current schema.
    pub(super) fn open(location: &PostgresLocation) -> Result<Self, StoreError> {
        let (commands, receiver) = unbounded_channel();
        let (last_poll, url) = (Arc::new(LastPoll::default()), location.to_string());
        let failed = |reason: String| StoreError::Database { location: url.clone(), reason };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let (opened, first) = mpsc::channel();
        let worker = Worker {
            location: location.clone(),
            connection: None,
            last_poll: Arc::clone(&last_poll),
        };
        let thread = std::thread::Builder::new().name("store".to_owned());
        thread
            .spawn(move || runtime.block_on(worker.run(receiver, opened)))
            .map_err(|error| failed(error.to_string()))?;
        first.recv().map_err(|_| failed(THREAD_ENDED.to_owned()))?.map_err(&failed)?;
        Ok(Self { commands, last_poll, location: url })
    }

    /// Sends a command to the thread and waits for the result.
    fn execute<T>(
        &self,
        command: impl FnOnce(mpsc::Sender<Result<T, String>>) -> Command,
    ) -> Result<T, StoreError> {
        let failed =
            |reason: String| StoreError::Database { location: self.location.clone(), reason };
        let (sender, result) = mpsc::channel();
        self.commands.send(command(sender)).map_err(|_| failed(THREAD_ENDED.to_owned()))?;
        result
            .recv_timeout(2 * QUERY_TIMEOUT)
            .map_err(|error| failed(error.to_string()))?
            .map_err(failed)
    }
}

impl Backend for Postgres {
    fn data_version(&mut self) -> Result<i64, StoreError> {
        match self.last_poll.valid() {
            Some(revision) => Ok(revision),
            None => self.execute(Command::Poll),
        }
    }

    fn changes(&mut self, since: Revision) -> Result<(Revision, Vec<Row>), StoreError> {
        self.execute(|sender| Command::Changes(since, sender))
    }

    fn commit(&mut self, base: Revision, rows: &[Row]) -> Result<Commit, StoreError> {
        self.execute(|sender| Command::Commit(base, rows.to_vec(), sender))
    }
}

/// State of the thread.
struct Worker {
    location: PostgresLocation,
    connection: Option<Connection>,
    last_poll: Arc<LastPoll>,
}

impl Worker {
    async fn run(
        mut self,
        mut commands: UnboundedReceiver<Command>,
        opened: mpsc::Sender<Result<(), String>>,
    ) {
        let first = self.poll_revision().await.map(drop);
        let failed = first.is_err();
        if opened.send(first).is_err() || failed {
            return;
        }
        let mut tick = tokio::time::interval(POLL_INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.run_command(command).await,
                    None => return,
                },
                _ = tick.tick() => if let Err(error) = self.poll_revision().await {
                    tracing::warn!(%error, location = %self.location, "store unreachable");
                },
            }
        }
    }

    /// Executes a command. The caller may have stopped waiting; the result is dropped then.
    async fn run_command(&mut self, command: Command) {
        let _delivered = match command {
            Command::Poll(sender) => sender.send(self.poll_revision().await).is_ok(),
            Command::Changes(since, sender) => {
                let changes = self
                    .with_connection(QUERY_TIMEOUT, async |connection| {
                        connection.changes(since).await
                    })
                    .await;
                sender.send(changes).is_ok()
            }
            Command::Commit(base, rows, sender) => {
                let commit = self
                    .with_connection(QUERY_TIMEOUT, async |connection| {
                        connection.commit(base, &rows).await
                    })
                    .await;
                sender.send(commit).is_ok()
            }
        };
    }

    async fn poll_revision(&mut self) -> Result<Revision, String> {
        let began = Instant::now();
        let revision = self
            .with_connection(POLL_TIMEOUT, async |connection| connection.revision().await)
            .await?;
        self.last_poll.record(revision, began);
        Ok(revision)
    }

    /// Runs `work` on the connection, after connecting if necessary. Drops the connection after an
    /// error.
    async fn with_connection<T>(
        &mut self,
        limit: Duration,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T, String>,
    ) -> Result<T, String> {
        let mut connection = match self.connection.take().filter(Connection::is_open) {
            Some(connection) => connection,
            None => timeout(QUERY_TIMEOUT, Connection::open(&self.location))
                .await
                .map_err(|_| timed_out(QUERY_TIMEOUT))??,
        };
        let result = timeout(limit, work(&mut connection)).await.map_err(|_| timed_out(limit))?;
        if result.is_ok() {
            self.connection = Some(connection);
        }
        result
    }
}

fn timed_out(limit: Duration) -> String {
    format!("the server did not respond within {} s", limit.as_secs())
}
