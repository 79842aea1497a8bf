//! A target with its listeners.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use countersign_core::failure::Failure;
use countersign_core::name::Engine;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::inherited::InheritedSocket;
use crate::limit::{Admission, Limit};
use crate::listen::{self, AcceptContext, Listener};
use crate::protocol::mysql::Mysql;
use crate::protocol::postgres::Postgres;
use crate::settings::{Listen, TargetSettings};
use crate::status::{ListenerStatus, TargetStatus};
use crate::target::{SharedState, Target};
use crate::target_handle::TargetHandle;

/// A target with its listeners.
pub(super) struct RunningTarget {
    config: LoadedConfig,
    /// Read by the accept loops; a reload replaces it.
    context: watch::Sender<AcceptContext>,
    listeners: Vec<ConfiguredListener>,
    /// Replaced by a reload, which ends the previous task.
    maintenance: AbortOnDrop,
}

/// Configuration that a target was started with. A reload with an equal one changes nothing.
#[derive(PartialEq, Eq)]
struct LoadedConfig {
    settings: TargetSettings,
    login_timeout: Duration,
    /// Fingerprints of the files that the settings name.
    files: Vec<FileFingerprint>,
}

/// Inode, size and modification time of a file; `None` if it does not exist.
#[derive(PartialEq, Eq)]
struct FileFingerprint(Option<(u64, u64, i64, i64)>);

impl FileFingerprint {
    fn of(path: &Path) -> Self {
        Self(path.metadata().ok().map(|metadata| {
            (metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec())
        }))
    }
}

/// A listener of the settings.
struct ConfiguredListener {
    listen: Listen,
    /// The listener with its accept loop, or the reason why it could not be bound.
    state: Result<(Arc<Listener>, AbortOnDrop), Failure>,
}

impl ConfiguredListener {
    fn listener(&self) -> Option<&Arc<Listener>> {
        self.state.as_ref().ok().map(|(listener, _)| listener)
    }
}

/// Aborts a task when it is dropped.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Owner of the listening sockets when a proxy stops accepting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SocketOwner {
    ThisProxy,
    /// The proxy that has taken over the sockets.
    Successor,
}

impl LoadedConfig {
    fn new(settings: TargetSettings, login_timeout: Duration) -> Self {
        let files = settings.files().map(|path| FileFingerprint::of(path)).collect();
        Self { settings, login_timeout, files }
    }

    /// Creates the target, with `limit` as the limit of its connections.
    fn build(&self, shared: &SharedState, limit: Limit) -> Result<AcceptContext, Failure> {
        let (settings, login_timeout) = (self.settings.clone(), self.login_timeout);
        let target: Arc<dyn TargetHandle> = match settings.engine {
            Engine::Postgres => Arc::new(Target::<Postgres>::new(settings, login_timeout, shared)?),
            Engine::Mariadb | Engine::Mysql => {
                Arc::new(Target::<Mysql>::new(settings, login_timeout, shared)?)
            }
        };
        Ok(AcceptContext {
            target,
            admission: Arc::new(Admission::new(shared.limit.clone(), limit)),
            name: self.settings.name.as_str().into(),
            client_auth: self.settings.client_auth.clone(),
        })
    }
}

impl RunningTarget {
    /// Starts a target. Also returns the failures of listeners that could not be bound.
    pub(super) fn start(
        settings: TargetSettings,
        login_timeout: Duration,
        shared: &SharedState,
        inherited: &mut Vec<InheritedSocket>,
    ) -> Result<(Self, Vec<Failure>), Failure> {
        let limit = Limit::new(settings.max_connections);
        let config = LoadedConfig::new(settings, login_timeout);
        let context = config.build(shared, limit)?;
        let mut target = Self {
            config,
            maintenance: spawn_maintenance(&context),
            context: watch::Sender::new(context),
            listeners: Vec::new(),
        };
        let failures = target.bind_listeners(shared, inherited);
        Ok((target, failures))
    }

    /// Applies new settings. If the target cannot be created from them, it keeps the old ones.
    pub(super) fn reload(
        &mut self,
        settings: TargetSettings,
        login_timeout: Duration,
        shared: &SharedState,
        inherited: &mut Vec<InheritedSocket>,
    ) -> Vec<Failure> {
        let config = LoadedConfig::new(settings, login_timeout);
        let all_bound = self.listeners.iter().all(|listener| listener.state.is_ok());
        if self.config == config && all_bound {
            return Vec::new();
        }
        let limit = self.context.borrow().admission.target().clone();
        let context = match config.build(shared, limit.clone()) {
            Ok(context) => context,
            Err(failure) => return vec![failure],
        };
        limit.set_max(config.settings.max_connections);
        self.config = config;
        self.maintenance = spawn_maintenance(&context);
        let previous = self.context.send_replace(context);
        tokio::spawn(previous.target.clear_pool());
        self.bind_listeners(shared, inherited)
    }

    /// Binds the listeners of the settings. Keeps those that are already bound, and drops those
    /// that are no longer configured. Returns the failures.
    fn bind_listeners(
        &mut self,
        shared: &SharedState,
        inherited: &mut Vec<InheritedSocket>,
    ) -> Vec<Failure> {
        let mut previous = std::mem::take(&mut self.listeners);
        let mut failures = Vec::new();
        for listen in self.config.settings.listen.clone() {
            let is_same =
                |other: &ConfiguredListener| other.listen == listen && other.state.is_ok();
            if let Some(index) = previous.iter().position(is_same) {
                self.listeners.push(previous.swap_remove(index));
                continue;
            }
            let client_auth = &self.config.settings.client_auth;
            let state = listen::open(&listen, client_auth, inherited)
                .map(|listener| self.spawn_accept_loop(listener, shared));
            failures.extend(state.as_ref().err().cloned());
            self.listeners.push(ConfiguredListener { listen, state });
        }
        failures
    }

    fn spawn_accept_loop(
        &self,
        listener: Listener,
        shared: &SharedState,
    ) -> (Arc<Listener>, AbortOnDrop) {
        let listener = Arc::new(listener);
        let gate = shared.accept_gate.clone();
        let accept = listen::accept(Arc::clone(&listener), gate, self.context.subscribe());
        (listener, AbortOnDrop(tokio::spawn(accept)))
    }

    /// Stops accepting, and removes the paths of Unix sockets unless the successor uses them.
    pub(super) fn close_listeners(&mut self, owner: SocketOwner) {
        if owner == SocketOwner::ThisProxy {
            let bound = self.listeners.iter().filter_map(ConfiguredListener::listener);
            bound.for_each(|listener| listener.unlink());
        }
        self.listeners.clear();
    }

    pub(super) fn handle(&self) -> Arc<dyn TargetHandle> {
        Arc::clone(&self.context.borrow().target)
    }

    pub(super) fn status(&self) -> TargetStatus {
        let context = self.context.borrow();
        let listeners = self.listeners.iter().map(|configured| {
            let bound = configured.listener().and_then(|listener| listener.local_addr().ok());
            let address = bound.as_ref().unwrap_or(&configured.listen).to_string();
            let failure = configured.state.as_ref().err();
            ListenerStatus { address, failure: failure.map(|failure| failure.detail.clone()) }
        });
        TargetStatus {
            listeners: listeners.collect(),
            ..context.target.status(context.admission.target())
        }
    }

    /// Returns duplicates of the listening sockets with their bound addresses.
    pub(super) fn listeners(&self) -> impl Iterator<Item = io::Result<InheritedSocket>> {
        let bound = self.listeners.iter().filter_map(ConfiguredListener::listener);
        bound.map(|listener| self.duplicate(listener))
    }

    /// Returns duplicates of the listening sockets for a successor. Those of systemd have the
    /// names by which the successor's settings refer to them.
    pub(super) fn handover_sockets(&self) -> impl Iterator<Item = io::Result<InheritedSocket>> {
        self.listeners.iter().filter_map(|configured| {
            let listener = configured.listener()?;
            Some(match &configured.listen {
                Listen::Activated(name) => listener.duplicate().map(|socket| InheritedSocket {
                    name: name.clone(),
                    listen: configured.listen.clone(),
                    socket,
                }),
                Listen::Tcp(_) | Listen::Unix(_) => self.duplicate(listener),
            })
        })
    }

    fn duplicate(&self, listener: &Listener) -> io::Result<InheritedSocket> {
        Ok(InheritedSocket {
            name: self.config.settings.name.clone(),
            listen: listener.local_addr()?,
            socket: listener.duplicate()?,
        })
    }
}

fn spawn_maintenance(context: &AcceptContext) -> AbortOnDrop {
    AbortOnDrop(tokio::spawn(Arc::clone(&context.target).maintain()))
}

impl fmt::Debug for RunningTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningTarget")
            .field("settings", &self.config.settings)
            .finish_non_exhaustive()
    }
}
