//! A target that is served, and its listeners.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
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
use crate::service::TargetHandle;
use crate::settings::{Listen, Target as Settings};
use crate::status;
use crate::target::{SharedState, Target};

/// A target that is served.
pub(super) struct RunningTarget {
    settings: Settings,
    /// The settings' files, as they were when they were read.
    files: Vec<FileFingerprint>,
    login_timeout: Duration,
    reception: watch::Sender<AcceptContext>,
    listening: Vec<Listening>,
    /// Looks after the sessions that wait.
    tending: Task,
}

struct Listening {
    /// As the settings ask for it.
    listen: Listen,
    /// The listener, or why it isn't there.
    state: Result<(Arc<Listener>, Task), Failure>,
}

/// Tells a file from what it was before; none is one that isn't there.
type FileFingerprint = Option<(u64, u64, i64, i64)>;

fn stamps(settings: &Settings) -> Vec<FileFingerprint> {
    let stamp = |file: &PathBuf| {
        file.metadata().ok().map(|data| (data.ino(), data.size(), data.mtime(), data.mtime_nsec()))
    };
    settings.files().map(stamp).collect()
}

/// A task that ends when this is dropped.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whose the listening sockets are when a target is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sockets {
    Ours,
    /// Those of the proxy that has taken this one's place.
    HandedOver,
}

/// What came of starting or changing a target: it may run with some of its listeners only.
type Started = (Option<RunningTarget>, Vec<Failure>);

impl RunningTarget {
    pub(super) fn start(
        settings: Settings,
        login_timeout: Duration,
        house: &SharedState,
        limit: &Limit,
        inherited: &mut Vec<InheritedSocket>,
    ) -> Started {
        let files = stamps(&settings);
        let reception = match reception(
            &settings,
            login_timeout,
            house,
            Limit::new(settings.max_connections),
            limit,
        ) {
            Ok(reception) => reception,
            Err(failure) => return (None, vec![failure]),
        };
        let tending = Task(tokio::spawn(Arc::clone(&reception.service).tend()));
        let running = Self {
            settings,
            files,
            login_timeout,
            reception: watch::Sender::new(reception),
            listening: Vec::new(),
            tending,
        };
        running.listen(Vec::new(), house, inherited)
    }

    /// The same target with other settings. What can't be applied leaves it as it was.
    pub(super) fn change(
        mut self,
        settings: Settings,
        login_timeout: Duration,
        house: &SharedState,
        limit: &Limit,
        inherited: &mut Vec<InheritedSocket>,
    ) -> Started {
        let broken = self.listening.iter().any(|listening| listening.state.is_err());
        let files = stamps(&settings);
        if self.settings == settings
            && self.files == files
            && self.login_timeout == login_timeout
            && !broken
        {
            return (Some(self), Vec::new());
        }
        let own = self.reception.borrow().entrance.target().clone();
        let reception = match reception(&settings, login_timeout, house, own.clone(), limit) {
            Ok(reception) => reception,
            Err(failure) => return (Some(self), vec![failure]),
        };
        own.set(settings.max_connections);
        let before = Arc::clone(&self.reception.borrow().service);
        tokio::spawn(before.clear());
        self.tending = Task(tokio::spawn(Arc::clone(&reception.service).tend()));
        self.reception.send_replace(reception);
        self.settings = settings;
        self.files = files;
        self.login_timeout = login_timeout;
        let kept = std::mem::take(&mut self.listening);
        self.listen(kept, house, inherited)
    }

    /// Listens where the settings say: with what is kept where it is there already, else anew.
    fn listen(
        mut self,
        mut kept: Vec<Listening>,
        house: &SharedState,
        inherited: &mut Vec<InheritedSocket>,
    ) -> Started {
        let mut failures = Vec::new();
        for listen in self.settings.listen.clone() {
            let known = kept.iter().position(|one| one.listen == listen && one.state.is_ok());
            if let Some(at) = known {
                self.listening.push(kept.swap_remove(at));
                continue;
            }
            let state = listen::open(&listen, &self.settings.access, inherited).map(|listener| {
                let listener = Arc::new(listener);
                let task = tokio::spawn(listen::accept(
                    Arc::clone(&listener),
                    house.door.clone(),
                    self.reception.subscribe(),
                ));
                (listener, Task(task))
            });
            failures.extend(state.as_ref().err().cloned());
            self.listening.push(Listening { listen, state });
        }
        (Some(self), failures)
    }

    /// Takes in nobody new. The paths of its sockets go too, unless somebody else listens there by now.
    pub(super) fn close(&mut self, sockets: Sockets) {
        for listener in self.open().filter(|_| sockets == Sockets::Ours) {
            listener.unlink();
        }
        self.listening.clear();
    }

    pub(super) fn service(&self) -> Arc<dyn TargetHandle> {
        Arc::clone(&self.reception.borrow().service)
    }

    pub(super) fn report(&self) -> status::Target {
        let reception = self.reception.borrow();
        let listeners = self.listening.iter().map(|listening| match &listening.state {
            Ok((listener, _)) => status::Listener { address: listener.place(), failure: None },
            Err(failure) => status::Listener {
                address: place(&listening.listen),
                failure: Some(failure.detail.clone()),
            },
        });
        status::Target {
            listeners: listeners.collect(),
            ..reception.service.report(reception.entrance.target())
        }
    }

    pub(super) fn places(&self) -> Vec<String> {
        self.open().map(|listener| listener.place()).collect()
    }

    pub(super) fn listeners(&self) -> impl Iterator<Item = std::io::Result<InheritedSocket>> {
        self.open().map(|listener| {
            Ok(InheritedSocket {
                name: self.settings.name.clone(),
                listen: listener.listen()?,
                socket: listener.duplicate()?,
            })
        })
    }

    /// The same for another proxy, which asks for those that systemd made by the names that they have from there.
    pub(super) fn estate(&self) -> impl Iterator<Item = std::io::Result<InheritedSocket>> {
        self.listening
            .iter()
            .filter_map(|listening| Some((&listening.listen, &listening.state.as_ref().ok()?.0)))
            .map(|(asked, listener)| {
                let socket = listener.duplicate()?;
                Ok(match asked {
                    Listen::Activated(name) => {
                        InheritedSocket { name: name.clone(), listen: asked.clone(), socket }
                    }
                    Listen::Tcp(_) | Listen::Unix(_) => InheritedSocket {
                        name: self.settings.name.clone(),
                        listen: listener.listen()?,
                        socket,
                    },
                })
            })
    }

    fn open(&self) -> impl Iterator<Item = &Arc<Listener>> {
        self.listening.iter().filter_map(|listening| Some(&listening.state.as_ref().ok()?.0))
    }
}

fn place(listen: &Listen) -> String {
    match listen {
        Listen::Tcp(address) => address.to_string(),
        Listen::Unix(path) => path.display().to_string(),
        Listen::Activated(name) => name.clone(),
    }
}

fn reception(
    settings: &Settings,
    login_timeout: Duration,
    house: &SharedState,
    own: Limit,
    limit: &Limit,
) -> Result<AcceptContext, Failure> {
    let service: Arc<dyn TargetHandle> = match settings.engine {
        Engine::Postgres => {
            Arc::new(Target::<Postgres>::new(settings.clone(), login_timeout, house)?)
        }
        Engine::Mariadb | Engine::Mysql => {
            Arc::new(Target::<Mysql>::new(settings.clone(), login_timeout, house)?)
        }
    };
    Ok(AcceptContext {
        service,
        entrance: Arc::new(Admission::new(limit.clone(), own)),
        name: settings.name.as_str().into(),
        access: settings.access.clone(),
    })
}

impl fmt::Debug for RunningTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("settings", &self.settings)
            .field("places", &self.places())
            .finish_non_exhaustive()
    }
}
