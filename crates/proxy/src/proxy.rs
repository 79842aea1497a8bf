//! A running proxy: its targets, reloads and shutdown.

mod running;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use countersign_core::failure::Failure;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::handover::{AcceptGate, Predecessor};
use crate::inherited::InheritedSocket;
use crate::lifecycle::ShutdownPhase;
use crate::limit::Limit;
use crate::metrics::{Metrics, ProxyMetrics};
use crate::settings::Settings;
use crate::status::Status;
use crate::target::{Context, SharedState};
use crate::target_handle::TargetHandle;
use running::{RunningTarget, SocketOwner};

/// Maximum duration of closing connections at the end of the shutdown.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Failure of one target to start or to reload. The other targets are not affected.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Name of the target.
    pub target: String,
    /// Failure of the target or of one of its listeners.
    pub failure: Failure,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "target {:?}: {}", self.target, self.failure.detail)
    }
}

/// A running proxy. Clones refer to the same one.
#[derive(Debug, Clone)]
pub struct Proxy(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: SharedState,
    started_at: SystemTime,
    shutdown: watch::Sender<ShutdownPhase>,
    targets: Mutex<BTreeMap<String, RunningTarget>>,
    startup_complete: watch::Sender<bool>,
}

impl Proxy {
    /// Binds every listener and serves clients. Inherited sockets that no listener uses are
    /// closed.
    pub async fn start(
        settings: Settings,
        context: Context,
        inherited: Vec<InheritedSocket>,
    ) -> (Self, Vec<Problem>) {
        let (shutdown, phase) = watch::channel(ShutdownPhase::Running);
        let shared = SharedState {
            context,
            limit: Limit::new(settings.max_connections),
            metrics: Metrics::default(),
            sessions: Arc::default(),
            shutdown: phase,
            accept_gate: AcceptGate::default(),
            predecessor: Arc::default(),
        };
        let started_at = SystemTime::now();
        let proxy = Self(Arc::new(Inner {
            shared,
            started_at,
            shutdown,
            targets: Mutex::default(),
            startup_complete: watch::Sender::new(false),
        }));
        let seconds = started_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let ProxyMetrics { started, .. } = proxy.metrics().proxy();
        started.set(i64::try_from(seconds.as_secs()).unwrap_or(i64::MAX));
        let problems = proxy.apply(settings, inherited);
        proxy.0.startup_complete.send_replace(true);
        (proxy, problems)
    }

    /// Applies new settings. Targets with equal settings are not changed. Listeners with equal
    /// addresses are kept, and all sessions continue.
    pub fn reload(&self, settings: Settings) -> Vec<Problem> {
        self.metrics().proxy().reloads.inc();
        self.apply(settings, Vec::new())
    }

    fn apply(&self, settings: Settings, mut inherited: Vec<InheritedSocket>) -> Vec<Problem> {
        let Settings { targets, max_connections, login_timeout } = settings;
        let shared = &self.0.shared;
        shared.limit.set_max(max_connections);
        let limit = i64::try_from(max_connections).unwrap_or(i64::MAX);
        self.metrics().proxy().connection_limit.set(limit);
        let mut running = self.targets();
        let names = targets.iter().map(|target| target.name.as_str()).collect();
        remove_targets(&mut running, &names, self.metrics());
        let mut problems = Vec::new();
        for settings in targets {
            let name = settings.name.clone();
            let failures = match running.get_mut(&name) {
                Some(target) => target.reload(settings, login_timeout, shared, &mut inherited),
                None => match RunningTarget::start(settings, login_timeout, shared, &mut inherited)
                {
                    Ok((target, failures)) => {
                        running.insert(name.clone(), target);
                        failures
                    }
                    Err(failure) => vec![failure],
                },
            };
            let problem = |failure| Problem { target: name.clone(), failure };
            problems.extend(failures.into_iter().map(problem));
        }
        problems
    }

    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> Status {
        let shared = &self.0.shared;
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: self.0.started_at,
            startup_complete: *self.0.startup_complete.borrow(),
            draining: *self.0.shutdown.borrow() != ShutdownPhase::Running,
            connections: shared.limit.open(),
            max_connections: shared.limit.max(),
            clients_per_worker: shared.context.workers.clients(),
            targets: self.targets().values().map(RunningTarget::status).collect(),
            sessions: shared.sessions.report(),
        }
    }

    /// Returns the metrics. Call [`Self::update_metrics`] before they are encoded.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.0.shared.metrics
    }

    /// Returns the gate of the accept loops, for the handover of the listeners.
    #[must_use]
    pub fn accept_gate(&self) -> AcceptGate {
        self.0.shared.accept_gate.clone()
    }

    /// Updates the metrics that are counted elsewhere.
    pub fn update_metrics(&self) {
        self.handles().iter().for_each(|(_, target)| target.update_metrics());
        self.0.shared.sessions.export_bytes();
    }

    /// Sets the proxy that this one replaced. Cancel requests for its sessions are forwarded to
    /// it.
    pub fn set_predecessor(&self, predecessor: Predecessor) {
        // A proxy takes over at most once, when it starts.
        let _first = self.0.shared.predecessor.set(predecessor);
    }

    /// Forwards a cancel request that the successor received for a session of this proxy.
    pub fn cancel(&self, target: &str, key: &[u8]) {
        if let Some(target) = self.targets().get(target).map(RunningTarget::handle) {
            target.cancel(key.to_vec());
        }
    }

    /// Stops accepting after the successor has taken over the listeners.
    pub fn stop_accepting(&self) {
        self.begin_draining(SocketOwner::Successor);
    }

    fn begin_draining(&self, owner: SocketOwner) {
        self.0.shutdown.send_if_modified(|phase| {
            let is_running = *phase == ShutdownPhase::Running;
            if is_running {
                *phase = ShutdownPhase::Draining;
            }
            is_running
        });
        self.metrics().proxy().draining.set(1);
        self.0.shared.accept_gate.close();
        self.targets().values_mut().for_each(|target| target.close_listeners(owner));
    }

    /// Stops accepting, and waits until every session has ended. Terminates the remaining ones
    /// after `grace_period`, and returns their number.
    pub async fn drain(&self, grace_period: Duration) -> usize {
        self.begin_draining(SocketOwner::ThisProxy);
        let sessions = Arc::clone(&self.0.shared.sessions);
        let drained = timeout(grace_period, sessions.wait_until_empty()).await;
        let terminated = if drained.is_err() { sessions.count() } else { 0 };
        self.0.shutdown.send_replace(ShutdownPhase::Terminating);
        let _elapsed = timeout(CLOSE_TIMEOUT, sessions.wait_until_empty()).await;
        for (_, target) in self.handles() {
            let _elapsed = timeout(CLOSE_TIMEOUT, target.clear_pool()).await;
        }
        terminated
    }

    /// Returns duplicates of the listening sockets with their bound addresses.
    ///
    /// # Errors
    /// The operating system's.
    pub fn listeners(&self) -> io::Result<Vec<InheritedSocket>> {
        let targets = self.targets();
        targets.values().flat_map(RunningTarget::listeners).collect()
    }

    /// Returns duplicates of the listening sockets with the names by which a successor with the
    /// same settings looks for them.
    ///
    /// # Errors
    /// The operating system's.
    pub fn handover_sockets(&self) -> io::Result<Vec<InheritedSocket>> {
        let targets = self.targets();
        targets.values().flat_map(RunningTarget::handover_sockets).collect()
    }

    /// Logs in to each target once. Targets without a user are connected to without a login.
    pub async fn probe(&self) -> Vec<(String, Result<(), Failure>)> {
        let mut results = Vec::new();
        for (name, target) in self.handles() {
            results.push((name, target.probe().await));
        }
        results
    }

    fn handles(&self) -> Vec<(String, Arc<dyn TargetHandle>)> {
        self.targets().iter().map(|(name, target)| (name.clone(), target.handle())).collect()
    }

    fn targets(&self) -> MutexGuard<'_, BTreeMap<String, RunningTarget>> {
        self.0.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the targets that are not among `names`, and ends their metric series.
fn remove_targets(
    running: &mut BTreeMap<String, RunningTarget>,
    names: &BTreeSet<&str>,
    metrics: &Metrics,
) {
    running.retain(|name, _| {
        let is_kept = names.contains(name.as_str());
        if !is_kept {
            metrics.remove_target(name);
        }
        is_kept
    });
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use countersign_connect::clock::Clock;
    use countersign_connect::credentials_cache::CredentialsConfig;
    use countersign_connect::resolve::Resolver;
    use countersign_connect::tls::Verification;
    use countersign_core::name::Engine;

    use super::*;
    use crate::metrics::Format;
    use crate::settings::{
        ClientAuth, Listen, PoolSettings, ServerAuth, ServerTls, TargetSessionAttrs, TargetSettings,
    };
    use crate::workers::Workers;

    fn target(name: &str) -> TargetSettings {
        TargetSettings {
            name: name.to_owned(),
            engine: Engine::Postgres,
            host: "127.0.0.1".parse().unwrap(),
            port: 5432,
            sign: None,
            region: None,
            user: None,
            database: None,
            server_auth: ServerAuth::Iam(CredentialsConfig::default()),
            tls: ServerTls { verification: Verification::VerifyFull, ca_file: None },
            target_session_attrs: TargetSessionAttrs::Any,
            listen: vec![Listen::Tcp("127.0.0.1:0".parse().unwrap())],
            client_auth: ClientAuth::Trust,
            client_tls: None,
            pool: PoolSettings {
                min_idle: 0,
                reuse: false,
                max_idle: 0,
                idle_timeout: Duration::ZERO,
                max_lifetime: Duration::ZERO,
            },
            max_connections: 0,
            logins_per_second: 0,
            connect_timeout: Duration::from_secs(1),
            session_timeout: None,
        }
    }

    fn settings(names: &[&str]) -> Settings {
        let targets = names.iter().map(|name| target(name)).collect();
        Settings { targets, max_connections: 0, login_timeout: Duration::from_secs(1) }
    }

    #[tokio::test]
    async fn a_reload_keeps_listeners_and_ends_the_series_of_removed_targets() {
        let context = Context {
            clock: Clock::system(),
            resolver: Resolver::system(),
            workers: Workers::start(NonZeroUsize::MIN).unwrap(),
            environment_region: None,
        };
        let (proxy, problems) =
            Proxy::start(settings(&["orders", "billing"]), context, Vec::new()).await;
        assert!(problems.is_empty(), "{problems:?}");
        let addresses = || -> Vec<_> {
            let sockets = proxy.listeners().unwrap();
            sockets.into_iter().map(|socket| (socket.name, socket.listen)).collect()
        };
        let has_series = |name: &str| {
            let text = proxy.metrics().encode(Format::OpenMetrics).unwrap();
            text.contains(&format!("{{target=\"{name}\"}}"))
        };
        let before = addresses();
        assert!(has_series("orders") && has_series("billing"));
        assert!(proxy.reload(settings(&["orders"])).is_empty());
        assert!(has_series("orders") && !has_series("billing"));
        assert_eq!(addresses(), before[1..], "the listener of orders is the same");
        assert!(proxy.reload(settings(&["orders", "billing"])).is_empty());
        assert!(has_series("billing"));
    }
}
