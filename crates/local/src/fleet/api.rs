//! The fleet's implementation of `Servers` for the RDS API.

use countersign_authority::servers::{
    EngineVersion, LogFile, MasterUser, NewServer, RunningServer, ServerDescription, Servers,
    ServersError,
};
use countersign_core::credentials::Secret;
use countersign_core::endpoint::HostName;
use countersign_core::name::{Engine, InstanceId};

use super::{Fleet, request_validation};
use crate::server::{Server, Source, database, host};
use crate::server_dir::ServerDir;
use crate::state::{CreatedBy, DesiredState, InstanceState};
use crate::tls::HOSTS;
use crate::{Installation, LocalError, Version, port};

impl From<LocalError> for ServersError {
    fn from(error: LocalError) -> Self {
        match error {
            LocalError::NotInstalled { .. } => Self::NotFound(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl Servers for Fleet {
    fn versions(&self) -> Result<Vec<EngineVersion>, ServersError> {
        let engines = [Engine::Postgres, Engine::Mariadb, Engine::Mysql];
        let installed =
            engines.into_iter().flat_map(|engine| Installation::all(engine, &self.unpacked));
        let mut versions: Vec<EngineVersion> = installed
            .filter_map(|installation| {
                Some(EngineVersion {
                    engine: installation.engine,
                    version: installation.release()?,
                })
            })
            .collect();
        versions.dedup();
        Ok(versions)
    }

    fn create(&self, new: &NewServer) -> Result<RunningServer, ServersError> {
        request_validation::check(&self.layout, new)?;
        let _claim = self.claim(&new.instance)?;
        if self.layout.instance(&new.instance).exists() || self.entry(&new.instance).is_ok() {
            return Err(ServersError::Invalid(format!(
                "cannot create {}: a server of that name exists",
                new.instance
            )));
        }
        let source =
            new.replica_of.as_ref().map(|source| self.replica_source(source, new)).transpose()?;
        let installation = match &source {
            Some(source) => {
                Installation::find(source.engine, Some(source.version), &self.unpacked)?
            }
            None => self.matching_installation(new)?,
        };
        let entry = self.reserve(new, &installation, source.as_ref())?;
        let created = self.create_reserved(installation, &entry, new, source.as_ref());
        if created.is_err()
            && let Err(second) = self.remove(&entry)
        {
            tracing::error!(error = %second, "cannot remove the remains of a failed create");
        }
        created
    }

    fn describe(&self, instance: &InstanceId) -> Result<ServerDescription, ServersError> {
        let entry = self.entry(instance)?;
        let running = self.running_endpoint(&entry)?;
        Ok(ServerDescription {
            started: entry.desired_state == DesiredState::Up,
            running,
            database: entry.database,
            user: entry.user,
        })
    }

    fn start(&self, instance: &InstanceId) -> Result<RunningServer, ServersError> {
        let _claim = self.claim(instance)?;
        self.start_entry(self.entry(instance)?)
    }

    fn stop(&self, instance: &InstanceId) -> Result<(), ServersError> {
        let _claim = self.claim(instance)?;
        let entry = self.entry(instance)?;
        self.stop_server(instance)?;
        Ok(self.put(&InstanceState { desired_state: DesiredState::Stopped, ..entry })?)
    }

    fn reboot(&self, instance: &InstanceId) -> Result<RunningServer, ServersError> {
        let _claim = self.claim(instance)?;
        let entry = self.entry(instance)?;
        self.stop_server(instance)?;
        self.start_entry(entry)
    }

    fn delete(&self, instance: &InstanceId) -> Result<(), ServersError> {
        let _claim = self.claim(instance)?;
        Ok(self.remove(&self.entry(instance)?)?)
    }

    fn set_master_password(
        &self,
        instance: &InstanceId,
        user: &str,
        password: &Secret,
    ) -> Result<(), ServersError> {
        request_validation::check_password(password)?;
        let _claim = self.claim(instance)?;
        let entry = self.entry(instance)?;
        if entry.created_by != CreatedBy::Api || entry.user != user {
            return Err(ServersError::Invalid(format!(
                "cannot change the password of {user}: it is not the master user of {instance}"
            )));
        }
        let master = MasterUser { name: user.to_owned(), password: password.clone() };
        Ok(self.server(&entry)?.set_password(entry.port, &master)?)
    }

    fn promote(&self, instance: &InstanceId) -> Result<(), ServersError> {
        let _claim = self.claim(instance)?;
        match self.server(&self.entry(instance)?)? {
            Server::Postgres(server) if server.is_standby() => Ok(server.promote()?),
            _ => Err(ServersError::Invalid(format!(
                "cannot promote {instance}: it is not a replica"
            ))),
        }
    }

    fn logs(&self, instance: &InstanceId) -> Result<Vec<LogFile>, ServersError> {
        Ok(self.log_files(&self.entry(instance)?)?)
    }

    fn read_log(
        &self,
        instance: &InstanceId,
        name: &str,
        offset: u64,
        max: u64,
    ) -> Result<Vec<u8>, ServersError> {
        self.log_portion(&self.entry(instance)?, name, offset, max)
    }
}

impl Fleet {
    /// Returns the newest installed version that matches the requested one or begins with it.
    ///
    /// If no version of the engine is installed, one is unpacked.
    fn matching_installation(&self, new: &NewServer) -> Result<Installation, ServersError> {
        let fits = |release: &str| {
            new.version.as_deref().is_none_or(|wanted| {
                let rest = release.strip_prefix(wanted);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        let installed = Installation::all(new.engine, &self.unpacked);
        if installed.is_empty() {
            let progress = |step: &str| tracing::info!(instance = %new.instance, "{step}");
            let unpacked = self.installation(&new.instance, new.engine, None, progress);
            let unpacked = unpacked.map_err(|error| ServersError::NotFound(error.to_string()))?;
            return if unpacked.release().is_some_and(|release| fits(&release)) {
                Ok(unpacked)
            } else {
                Err(self.not_installed(new))
            };
        }
        let found = installed
            .into_iter()
            .rfind(|installation| installation.release().is_some_and(|release| fits(&release)));
        found.ok_or_else(|| self.not_installed(new))
    }

    fn not_installed(&self, new: &NewServer) -> ServersError {
        let versions: Vec<String> = Installation::all(new.engine, &self.unpacked)
            .iter()
            .filter_map(Installation::release)
            .collect();
        let (product, wanted) = (new.engine.product(), new.version.as_deref().unwrap_or_default());
        ServersError::NotFound(format!(
            "cannot find {product} {wanted}; installed: {}",
            versions.join(", ")
        ))
    }

    /// Returns the source of a new read replica.
    fn replica_source(
        &self,
        source: &InstanceId,
        new: &NewServer,
    ) -> Result<InstanceState, ServersError> {
        let entry = self.entry(source)?;
        if (entry.engine, entry.created_by, entry.desired_state)
            != (new.engine, CreatedBy::Api, DesiredState::Up)
        {
            return Err(ServersError::Invalid(format!(
                "cannot replicate {source}: it must run, be of the same engine, and have been \
                 created through this API"
            )));
        }
        Ok(entry)
    }

    /// Adds a server to the state with a port that no other server of the state has.
    fn reserve(
        &self,
        new: &NewServer,
        installation: &Installation,
        source: Option<&InstanceState>,
    ) -> Result<InstanceState, ServersError> {
        let (authentication, reason) = self.authentication(new.engine)?;
        let mut inner = self.lock();
        let taken: Vec<u16> = inner.state.instances.iter().map(|entry| entry.port).collect();
        let port = match new.port {
            Some(port) if taken.contains(&port) || !port::is_free(port) => {
                return Err(ServersError::PortInUse(port));
            }
            Some(port) => port,
            None => port::free_beside(&taken)?,
        };
        let default = if new.engine == Engine::Postgres { database(new.engine) } else { "" };
        let (database, user) = source.map_or_else(
            || {
                (
                    new.database.as_deref().unwrap_or(default),
                    new.master.as_ref().map_or("", |master| &master.name),
                )
            },
            |source| (&source.database, &source.user),
        );
        let entry = InstanceState {
            instance: new.instance.clone(),
            resource_id: new.resource_id.clone(),
            engine: new.engine,
            version: installation.version,
            host: host(new.engine).parse().map_err(LocalError::from)?,
            port,
            database: database.to_owned(),
            user: user.to_owned(),
            authentication,
            reason,
            created_by: CreatedBy::Api,
            desired_state: DesiredState::Partial,
        };
        inner.state.instances.push(entry.clone());
        inner.state.write(&self.layout)?;
        Ok(entry)
    }

    fn create_reserved(
        &self,
        installation: Installation,
        entry: &InstanceState,
        new: &NewServer,
        source: Option<&InstanceState>,
    ) -> Result<RunningServer, ServersError> {
        let sockets = |source: &InstanceState| {
            ServerDir::new(&self.layout, &source.instance, self.run_as.clone()).run()
        };
        let source = source.map(|source| Source { sockets: sockets(source), port: source.port });
        let server =
            self.create_server(installation, &entry.instance, CreatedBy::Api, source.as_ref())?;
        self.launch(&server, entry)?;
        if let Some(master) = &new.master {
            server.create_master(entry.port, master, new.database.as_deref())?;
        }
        self.put(&InstanceState { desired_state: DesiredState::Up, ..entry.clone() })?;
        self.running_endpoint(entry)
    }

    fn start_entry(&self, entry: InstanceState) -> Result<RunningServer, ServersError> {
        let server = self.server(&entry)?;
        if !server.is_running() && !port::is_free(entry.port) {
            return Err(ServersError::PortInUse(entry.port));
        }
        let entry = InstanceState { desired_state: DesiredState::Up, ..entry };
        self.launch(&server, &entry)?;
        self.running_endpoint(&entry)
    }

    /// Returns the address and version of a server.
    fn running_endpoint(&self, entry: &InstanceState) -> Result<RunningServer, ServersError> {
        let cached = self.lock().releases.get(&entry.instance).cloned();
        let version = cached.map_or_else(|| self.release(entry.engine, entry.version), Ok)?;
        self.lock().releases.insert(entry.instance.clone(), version.clone());
        let hosts = HOSTS
            .iter()
            .map(|host| host.parse::<HostName>())
            .collect::<Result<_, _>>()
            .map_err(LocalError::from)?;
        Ok(RunningServer { hosts, host: entry.host.clone(), port: entry.port, version })
    }

    fn release(&self, engine: Engine, version: Version) -> Result<String, ServersError> {
        let installation = Installation::find(engine, Some(version), &self.unpacked)?;
        // The release series, if the program no longer prints a version.
        Ok(installation.release().unwrap_or_else(|| version.to_string()))
    }
}
