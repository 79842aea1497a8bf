//! The servers of a stack, made, started and stopped in one way: by `local up`, and by the RDS API while it runs.
//!
//! What is known of them is the stack's state, which is written before it comes true and by nobody else: a killed stack leaves
//! nothing behind that its next start does not find. The authority's store is not touched here.

mod api;
mod asking;
mod logs;
mod order;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use countersign_authority::servers::ServersError;
use countersign_core::name::{Engine, InstanceId};

use crate::error::at;
use crate::layout::install_library;
use crate::os_user::RunAs;
use crate::postgres::HbaAuth;
use crate::server::{Kind, Server, Source};
use crate::stack::Plan;
use crate::state::{Authentication, CreatedBy, DesiredState, InstanceState, Phase, State};
use crate::tls::LocalCa;
use crate::{Installation, Layout, LocalError, Version, install, pam};

pub(crate) use asking::AuthBackend;

/// The servers of a stack.
#[derive(Debug)]
pub(crate) struct Fleet {
    layout: Layout,
    unpacked: PathBuf,
    mysql_plugin: Option<PathBuf>,
    run_as: RunAs,
    postgres: AuthBackend,
    ca: LocalCa,
    known: Mutex<Known>,
    changed: Condvar,
}

/// What is known of the servers, and who is at work on them.
#[derive(Debug)]
struct Known {
    state: State,
    /// The whole versions, as the servers' programs said them when they were last asked.
    releases: BTreeMap<InstanceId, String>,
    busy: BTreeSet<InstanceId>,
    closed: bool,
}

/// An instance that nobody else works on meanwhile.
#[derive(Debug)]
struct Claim<'a> {
    fleet: &'a Fleet,
    instance: &'a InstanceId,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.fleet.lock().busy.remove(self.instance);
        self.fleet.changed.notify_all();
    }
}

impl Fleet {
    /// The servers of the stack that `state` describes, none of which runs yet.
    pub(crate) fn new(
        plan: &Plan,
        run_as: RunAs,
        postgres: AuthBackend,
        state: State,
    ) -> Result<Self, LocalError> {
        let known =
            Known { state, releases: BTreeMap::new(), busy: BTreeSet::new(), closed: false };
        Ok(Self {
            ca: LocalCa::open(&plan.layout)?,
            layout: plan.layout.clone(),
            unpacked: plan.unpacked.clone(),
            mysql_plugin: plan.mysql_plugin.clone(),
            run_as,
            postgres,
            known: Mutex::new(known),
            changed: Condvar::new(),
        })
    }

    /// The state as it is now.
    pub(crate) fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// Changes what is known before anything is done.
    pub(crate) fn amend(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock().state);
    }

    /// Changes the state, and writes it.
    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) -> Result<(), LocalError> {
        let mut known = self.lock();
        change(&mut known.state);
        let written = known.state.write(&self.layout);
        drop(known);
        self.changed.notify_all();
        written
    }

    /// Has every call of the API that comes from now on refused, and waits for those that are at work.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
        drop(
            self.changed
                .wait_while(self.lock(), |known| !known.busy.is_empty())
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// Stops every server, also where one of them does not stop: the first error is the one to report.
    pub(crate) fn stop_all(&self) -> Result<(), LocalError> {
        let state = self.state();
        let running =
            state.instances.iter().filter(|entry| entry.standing != DesiredState::Stopped);
        let stopped: Vec<Result<(), LocalError>> =
            running.map(|entry| self.stop_server(&entry.instance)).collect();
        stopped.into_iter().collect()
    }

    /// The programs of a server: those that are installed, or else those that can be unpacked. `progress` hears of the latter.
    pub(crate) fn installation(
        &self,
        instance: &InstanceId,
        engine: Engine,
        wanted: Option<Version>,
        progress: impl Fn(&str),
    ) -> Result<Installation, LocalError> {
        let kind = Kind::read(&self.layout, instance)?;
        // Data stays with the version that made it, where that is one of those asked for.
        let made_by = kind
            .map(|kind| kind.version)
            .filter(|version| wanted.is_none_or(|wanted| wanted.covers(*version)));
        let version = made_by.or(wanted);
        match Installation::find(engine, version, &self.unpacked) {
            Err(absent @ LocalError::NotInstalled { .. }) if engine == Engine::Postgres => {
                Err(absent)
            }
            Err(absent @ LocalError::NotInstalled { .. }) => {
                progress(&format!(
                    "unpacking {} beside the system, which has none that fits",
                    engine.product()
                ));
                let unpacked = install(engine, version, &self.unpacked);
                unpacked.map_err(|error| {
                    LocalError::Unusable(format!("{absent}, and that failed: {error}"))
                })
            }
            found => found,
        }
    }

    /// A server of this version, with its data directory; on request a copy of another's.
    pub(crate) fn make(
        &self,
        installation: Installation,
        instance: &InstanceId,
        maker: CreatedBy,
        source: Option<&Source>,
    ) -> Result<Server, LocalError> {
        let kind = Kind { engine: installation.engine, version: installation.version };
        let server =
            Server::new(installation, instance.clone(), &self.layout, self.run_as.clone(), maker);
        server.create(&self.layout, instance, kind, source)?;
        Ok(server)
    }

    /// Starts a server, configured anew, or has one that runs take its configuration again. It is in the state before.
    pub(crate) fn launch(&self, server: &Server, entry: &InstanceState) -> Result<(), LocalError> {
        self.put(entry)?;
        self.lock().releases.remove(&entry.instance);
        self.configure(server, entry)?;
        server.start(entry.port)
    }

    fn configure(&self, server: &Server, entry: &InstanceState) -> Result<(), LocalError> {
        match server {
            Server::Postgres(server) => {
                let ldap = if entry.authentication == Authentication::Ldap {
                    let silent = || {
                        LocalError::Unusable(format!(
                            "nothing listens that {} could ask by LDAP",
                            entry.instance
                        ))
                    };
                    Some(self.lock().state.ldap.ok_or_else(silent)?)
                } else {
                    pam::register(&self.layout, &entry.instance, &entry.resource_id)?;
                    None
                };
                let master = (entry.maker == CreatedBy::Api).then_some(&*entry.user);
                let service = pam::service(&entry.resource_id);
                server.configure(
                    &self.ca,
                    entry.port,
                    &HbaAuth::new(ldap, &service, &entry.instance),
                    master,
                )
            }
            Server::Mysql(server) => {
                let missing = || {
                    LocalError::Unusable(
                        "mysql_countersign.so was not found: name it with --mysql-plugin"
                            .to_owned(),
                    )
                };
                install_library(
                    self.mysql_plugin.as_deref().ok_or_else(missing)?,
                    &self.layout.mysql_plugin(),
                )?;
                server.configure(&self.ca, entry.port, &self.layout)
            }
        }
    }

    /// Keeps what is known of a server, in the place of what was.
    pub(crate) fn put(&self, entry: &InstanceState) -> Result<(), LocalError> {
        self.change(|state| {
            match state.instances.iter_mut().find(|known| known.instance == entry.instance) {
                Some(known) => *known = entry.clone(),
                None => state.instances.push(entry.clone()),
            }
        })
    }

    /// Takes a server away with all that was made for it, whether it runs or not.
    pub(crate) fn take_away(&self, entry: &InstanceState) -> Result<(), LocalError> {
        self.put(&InstanceState { standing: DesiredState::Partial, ..entry.clone() })?;
        self.stop_server(&entry.instance)?;
        if entry.authentication == Authentication::Pam {
            pam::remove(&entry.resource_id)?;
        }
        let home = self.layout.instance(&entry.instance);
        match fs::remove_dir_all(&home) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&home)(error)),
            _ => {}
        }
        self.lock().releases.remove(&entry.instance);
        self.change(|state| state.instances.retain(|known| known.instance != entry.instance))
    }

    fn stop_server(&self, instance: &InstanceId) -> Result<(), LocalError> {
        Server::stop_found(&self.layout, instance, &self.unpacked, self.run_as.clone())
    }

    fn server(&self, entry: &InstanceState) -> Result<Server, LocalError> {
        let installation = Installation::find(entry.engine, Some(entry.version), &self.unpacked)?;
        Ok(Server::new(
            installation,
            entry.instance.clone(),
            &self.layout,
            self.run_as.clone(),
            entry.maker,
        ))
    }

    fn entry(&self, instance: &InstanceId) -> Result<InstanceState, ServersError> {
        let found =
            self.lock().state.instances.iter().find(|entry| entry.instance == *instance).cloned();
        found.ok_or_else(|| ServersError::InstanceNotFound(instance.clone()))
    }

    /// Claims an instance, once the stack has started.
    fn claim<'a>(&'a self, instance: &'a InstanceId) -> Result<Claim<'a>, ServersError> {
        let starting = |known: &mut Known| known.state.phase == Phase::Starting && !known.closed;
        let mut known =
            self.changed.wait_while(self.lock(), starting).unwrap_or_else(PoisonError::into_inner);
        if known.closed {
            return Err(ServersError::Failed("the stack is being stopped".to_owned()));
        }
        if !known.busy.insert(instance.clone()) {
            return Err(ServersError::Invalid(format!(
                "{instance} is being changed already: wait until that is done"
            )));
        }
        Ok(Claim { fleet: self, instance })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
