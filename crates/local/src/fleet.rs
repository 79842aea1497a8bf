//! Servers of a stack: created, started and stopped by `local up`, and by the RDS API while it
//! runs.
//!
//! The stack's state is written before a server changes, and only by the fleet: the next start
//! finds everything that a killed stack left. The fleet does not touch the authority's store.

mod api;
mod logs;
mod request_validation;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use countersign_authority::servers::ServersError;
use countersign_core::name::{Engine, InstanceId};

use crate::auth_backend::AuthBackend;
use crate::error::at;
use crate::layout::install_library;
use crate::os_user::RunAs;
use crate::plan::Plan;
use crate::postgres::HbaAuth;
use crate::server::{Kind, Server, Source};
use crate::state::{Authentication, CreatedBy, DesiredState, InstanceState, Phase, State};
use crate::tls::LocalCa;
use crate::{Installation, Layout, LocalError, Version, install, pam};

/// Servers of a stack.
#[derive(Debug)]
pub(crate) struct Fleet {
    layout: Layout,
    unpacked: PathBuf,
    mysql_plugin: Option<PathBuf>,
    run_as: RunAs,
    postgres: AuthBackend,
    ca: LocalCa,
    inner: Mutex<FleetState>,
    changed: Condvar,
}

/// State of the servers, and the instances being changed.
#[derive(Debug)]
struct FleetState {
    state: State,
    /// Full versions, as the servers' programs printed them last.
    releases: BTreeMap<InstanceId, String>,
    busy: BTreeSet<InstanceId>,
    closed: bool,
}

/// Exclusive right to change an instance, released on drop.
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
    /// Returns the fleet of the stack that `state` describes. No server runs yet.
    pub(crate) fn new(
        plan: &Plan,
        run_as: RunAs,
        postgres: AuthBackend,
        state: State,
    ) -> Result<Self, LocalError> {
        let inner =
            FleetState { state, releases: BTreeMap::new(), busy: BTreeSet::new(), closed: false };
        Ok(Self {
            ca: LocalCa::open(&plan.layout)?,
            layout: plan.layout.clone(),
            unpacked: plan.unpacked.clone(),
            mysql_plugin: plan.mysql_plugin.clone(),
            run_as,
            postgres,
            inner: Mutex::new(inner),
            changed: Condvar::new(),
        })
    }

    /// Returns a copy of the current state.
    pub(crate) fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// Changes the state in memory, before the first write.
    pub(crate) fn update_in_memory(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock().state);
    }

    /// Changes the state, and writes it.
    pub(crate) fn update(&self, change: impl FnOnce(&mut State)) -> Result<(), LocalError> {
        let mut inner = self.lock();
        change(&mut inner.state);
        let written = inner.state.write(&self.layout);
        drop(inner);
        self.changed.notify_all();
        written
    }

    /// Refuses all later API calls, and waits for those in progress.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
        drop(
            self.changed
                .wait_while(self.lock(), |fleet| !fleet.busy.is_empty())
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// Stops every server, and returns the first error.
    pub(crate) fn stop_all(&self) -> Result<(), LocalError> {
        let state = self.state();
        let running =
            state.instances.iter().filter(|entry| entry.desired_state != DesiredState::Stopped);
        let stopped: Vec<Result<(), LocalError>> =
            running.map(|entry| self.stop_server(&entry.instance)).collect();
        stopped.into_iter().collect()
    }

    /// Returns the installed programs of a server, or unpacks them. `progress` is called before
    /// unpacking.
    pub(crate) fn installation(
        &self,
        instance: &InstanceId,
        engine: Engine,
        wanted: Option<Version>,
        progress: impl Fn(&str),
    ) -> Result<Installation, LocalError> {
        let kind = Kind::read(&self.layout, instance)?;
        // Data stays with the version that created it, if that satisfies the requested one.
        let created_by = kind
            .map(|kind| kind.version)
            .filter(|version| wanted.is_none_or(|wanted| wanted.covers(*version)));
        let version = created_by.or(wanted);
        match Installation::find(engine, version, &self.unpacked) {
            Err(absent @ LocalError::NotInstalled { .. }) if engine == Engine::Postgres => {
                Err(absent)
            }
            Err(absent @ LocalError::NotInstalled { .. }) => {
                progress(&format!("unpacking {}: no installed version fits", engine.product()));
                let unpacked = install(engine, version, &self.unpacked);
                unpacked.map_err(|error| {
                    LocalError::Unusable(format!("{absent}; unpacking it failed: {error}"))
                })
            }
            found => found,
        }
    }

    /// Creates a server of this version with its data directory, on request as a replica of
    /// `source`.
    pub(crate) fn create_server(
        &self,
        installation: Installation,
        instance: &InstanceId,
        created_by: CreatedBy,
        source: Option<&Source>,
    ) -> Result<Server, LocalError> {
        let kind = Kind { engine: installation.engine, version: installation.version };
        let server = Server::new(
            installation,
            instance.clone(),
            &self.layout,
            self.run_as.clone(),
            created_by,
        );
        server.create(&self.layout, instance, kind, source)?;
        Ok(server)
    }

    /// Configures and starts a server, or reloads a running one. The state is written first.
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
                    let missing = || {
                        LocalError::Unusable(format!(
                            "cannot configure LDAP for {}: the authority has no LDAP listener",
                            entry.instance
                        ))
                    };
                    Some(self.lock().state.ldap.ok_or_else(missing)?)
                } else {
                    pam::register(&self.layout, &entry.instance, &entry.resource_id)?;
                    None
                };
                let master = (entry.created_by == CreatedBy::Api).then_some(&*entry.user);
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
                        "cannot find mysql_countersign.so: name it with --mysql-plugin".to_owned(),
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

    /// Returns how a server of this engine reaches the verifier, and the reason if PostgreSQL does
    /// not use PAM.
    pub(crate) fn authentication(
        &self,
        engine: Engine,
    ) -> Result<(Authentication, Option<String>), LocalError> {
        match engine {
            Engine::Postgres => self.postgres.availability(),
            Engine::Mariadb | Engine::Mysql => Ok((Authentication::Plugin, None)),
        }
    }

    /// Inserts or replaces a server in the state.
    pub(crate) fn put(&self, entry: &InstanceState) -> Result<(), LocalError> {
        self.update(|state| {
            match state.instances.iter_mut().find(|known| known.instance == entry.instance) {
                Some(known) => *known = entry.clone(),
                None => state.instances.push(entry.clone()),
            }
        })
    }

    /// Removes a server and everything created for it, whether it runs or not.
    pub(crate) fn remove(&self, entry: &InstanceState) -> Result<(), LocalError> {
        self.put(&InstanceState { desired_state: DesiredState::Partial, ..entry.clone() })?;
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
        self.update(|state| state.instances.retain(|known| known.instance != entry.instance))
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
            entry.created_by,
        ))
    }

    fn entry(&self, instance: &InstanceId) -> Result<InstanceState, ServersError> {
        let found =
            self.lock().state.instances.iter().find(|entry| entry.instance == *instance).cloned();
        found.ok_or_else(|| ServersError::InstanceNotFound(instance.clone()))
    }

    /// Claims an instance. Waits until the stack has started.
    fn claim<'a>(&'a self, instance: &'a InstanceId) -> Result<Claim<'a>, ServersError> {
        let starting =
            |fleet: &mut FleetState| fleet.state.phase == Phase::Starting && !fleet.closed;
        let mut inner =
            self.changed.wait_while(self.lock(), starting).unwrap_or_else(PoisonError::into_inner);
        if inner.closed {
            return Err(ServersError::Failed(
                "cannot change the server: the stack is stopping".to_owned(),
            ));
        }
        if !inner.busy.insert(instance.clone()) {
            return Err(ServersError::Invalid(format!(
                "cannot change {instance}: another change is in progress; wait until it is done"
            )));
        }
        Ok(Claim { fleet: self, instance })
    }

    fn lock(&self) -> MutexGuard<'_, FleetState> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
