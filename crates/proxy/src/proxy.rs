//! A whole proxy: its targets, what it does when its settings change, and its end.

mod running;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use countersign_core::failure::Failure;
use tokio::sync::watch;

use crate::context::Context;
use crate::handover::{AcceptGate, Predecessor};
use crate::inherited::InheritedSocket;
use crate::limit::Limit;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::shutdown::ShutdownPhase;
use crate::status::Status;
use crate::target::SharedState;
use running::{RunningTarget, Sockets};

/// What could not be started or changed, while the rest goes on.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The target that it is about.
    pub target: String,
    /// What is wrong.
    pub failure: Failure,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the target {:?}: {}", self.target, self.failure.detail)
    }
}

/// A proxy that runs. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Proxy(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    house: SharedState,
    limit: Limit,
    started: SystemTime,
    stop: watch::Sender<ShutdownPhase>,
    targets: Mutex<BTreeMap<String, RunningTarget>>,
    up: watch::Sender<bool>,
}

impl Proxy {
    /// Binds every listener and serves. What is inherited and nobody asks for is closed.
    pub async fn start(
        settings: Settings,
        context: Context,
        inherited: Vec<InheritedSocket>,
    ) -> (Self, Vec<Problem>) {
        let (stop, stopped) = watch::channel(ShutdownPhase::Running);
        let house = SharedState {
            context,
            metrics: Metrics::default(),
            sessions: Arc::default(),
            stop: stopped,
            door: AcceptGate::default(),
            predecessor: Arc::default(),
        };
        let proxy = Self(Arc::new(Inner {
            house,
            limit: Limit::new(settings.max_connections),
            started: SystemTime::now(),
            stop,
            targets: Mutex::default(),
            up: watch::Sender::new(false),
        }));
        let since =
            proxy.0.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        proxy.metrics().proxy().started.set(i64::try_from(since).unwrap_or(i64::MAX));
        let problems = proxy.apply(settings, inherited);
        proxy.0.up.send_replace(true);
        (proxy, problems)
    }

    /// Applies new settings. Targets that are the same go on as they are; listeners that stay are kept, whatever else changes about
    /// their target; sessions go on in any case.
    pub fn reload(&self, settings: Settings) -> Vec<Problem> {
        self.metrics().proxy().reloads.inc();
        self.apply(settings, Vec::new())
    }

    fn apply(&self, settings: Settings, mut inherited: Vec<InheritedSocket>) -> Vec<Problem> {
        let Settings { targets, max_connections, login_timeout } = settings;
        self.0.limit.set(max_connections);
        self.metrics()
            .proxy()
            .connection_limit
            .set(i64::try_from(max_connections).unwrap_or(i64::MAX));
        let mut problems = Vec::new();
        let mut running = self.targets();
        let names: Vec<String> = targets.iter().map(|target| target.name.clone()).collect();
        running.retain(|name, _| names.contains(name));
        for target in targets {
            let name = target.name.clone();
            let result = match running.remove(&name) {
                Some(before) => before.change(
                    target,
                    login_timeout,
                    &self.0.house,
                    &self.0.limit,
                    &mut inherited,
                ),
                None => RunningTarget::start(
                    target,
                    login_timeout,
                    &self.0.house,
                    &self.0.limit,
                    &mut inherited,
                ),
            };
            let (now, failures) = result;
            problems.extend(
                failures.into_iter().map(|failure| Problem { target: name.clone(), failure }),
            );
            if let Some(now) = now {
                running.insert(name, now);
            }
        }
        problems
    }

    /// What it is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: self.0.started,
            up: *self.0.up.borrow(),
            draining: self.is_draining(),
            connections: self.0.limit.open(),
            max_connections: self.0.limit.most(),
            workers: self.0.house.context.workers.clients(),
            targets: self.targets().values().map(RunningTarget::report).collect(),
            sessions: self.0.house.sessions.report(),
        }
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.house.metrics
    }

    /// Whether it takes in nobody new.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.0.stop.borrow() != ShutdownPhase::Running
    }

    /// Whether clients are accepted: what hands the listeners over goes by this too.
    #[must_use]
    pub fn door(&self) -> AcceptGate {
        self.0.house.door.clone()
    }

    /// Brings up to date those of its counters that nobody bumps.
    pub fn refresh(&self) {
        let services: Vec<_> = self.targets().values().map(RunningTarget::service).collect();
        services.iter().for_each(|service| service.refresh());
        self.0.house.sessions.count_bytes();
    }

    /// Remembers the proxy whose place this one has taken: requests to cancel that are for its sessions are passed on.
    pub fn set_predecessor(&self, predecessor: Predecessor) {
        // A proxy takes one place, once.
        let _first = self.0.house.predecessor.set(predecessor);
    }

    /// Does what a client of this proxy asks of its `target` by way of the one that has taken its place.
    pub fn cancel(&self, target: &str, key: &[u8]) {
        if let Some(service) = self.targets().get(target).map(RunningTarget::service) {
            service.call(key);
        }
    }

    /// Takes in nobody new: another proxy has the listeners.
    pub fn stop_accepting(&self) {
        self.begin_draining(Sockets::HandedOver);
    }

    fn begin_draining(&self, sockets: Sockets) {
        self.0.stop.send_if_modified(|stop| {
            let open = *stop == ShutdownPhase::Running;
            if open {
                *stop = ShutdownPhase::Draining;
            }
            open
        });
        self.metrics().proxy().draining.set(1);
        self.door().close();
        self.targets().values_mut().for_each(|running| running.close(sockets));
    }

    /// Stops accepting, and waits until every client has left. Who is still there after `within` is cut off: returns how many that
    /// were.
    pub async fn drain(&self, within: Duration) -> usize {
        self.begin_draining(Sockets::Ours);
        let sessions = Arc::clone(&self.0.house.sessions);
        let left = tokio::time::timeout(within, sessions.empty()).await;
        let cut = if left.is_err() { sessions.count() } else { 0 };
        self.0.stop.send_replace(ShutdownPhase::Terminating);
        // What remains are words of farewell, which have time limits of their own.
        let _late = tokio::time::timeout(FAREWELL, sessions.empty()).await;
        let services: Vec<_> = self.targets().values().map(RunningTarget::service).collect();
        for service in services {
            let _late = tokio::time::timeout(FAREWELL, service.clear()).await;
        }
        cut
    }

    /// The listening sockets, each with its target's name.
    ///
    /// # Errors
    /// What the system says.
    pub fn listeners(&self) -> std::io::Result<Vec<InheritedSocket>> {
        let targets = self.targets();
        targets.values().flat_map(RunningTarget::listeners).collect()
    }

    /// The listening sockets for the proxy that takes this one's place, which asks for them as the settings do.
    ///
    /// # Errors
    /// What the system says.
    pub fn handover_sockets(&self) -> std::io::Result<Vec<InheritedSocket>> {
        let targets = self.targets();
        targets.values().flat_map(RunningTarget::estate).collect()
    }

    /// Where each target takes clients in, as people write it.
    #[must_use]
    pub fn listen_addrs(&self) -> Vec<(String, Vec<String>)> {
        self.targets().iter().map(|(name, running)| (name.clone(), running.places())).collect()
    }

    /// Logs in to each target once: as its user where it has one, or as far as it goes without.
    pub async fn probe(&self) -> Vec<(String, Result<(), Failure>)> {
        let services: Vec<_> = self
            .targets()
            .iter()
            .map(|(name, running)| (name.clone(), running.service()))
            .collect();
        let mut results = Vec::new();
        for (name, service) in services {
            results.push((name, service.probe().await));
        }
        results
    }

    fn targets(&self) -> MutexGuard<'_, BTreeMap<String, RunningTarget>> {
        self.0.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long goodbyes may take at the end.
const FAREWELL: Duration = Duration::from_secs(5);
