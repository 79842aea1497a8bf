//! The servers as the RDS API has them.

use countersign_authority::servers::{
    EngineVersion, LogFile, MasterUser, NewServer, RunningServer, ServerDescription, Servers,
    ServersError,
};
use countersign_core::credentials::Secret;
use countersign_core::endpoint::HostName;
use countersign_core::name::{Engine, InstanceId};

use super::{Fleet, order};
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
        order::check(&self.layout, new)?;
        let _claim = self.claim(&new.instance)?;
        if self.layout.instance(&new.instance).exists() || self.entry(&new.instance).is_ok() {
            return Err(ServersError::Invalid(format!(
                "there is a server {} already",
                new.instance
            )));
        }
        let source = new.replica_of.as_ref().map(|source| self.source(source, new)).transpose()?;
        let installation = match &source {
            Some(source) => {
                Installation::find(source.engine, Some(source.version), &self.unpacked)?
            }
            None => self.fitting(new)?,
        };
        let entry = self.reserve(new, &installation, source.as_ref())?;
        let made = self.make_new(installation, &entry, new, source.as_ref());
        if made.is_err()
            && let Err(second) = self.take_away(&entry)
        {
            tracing::error!(error = %second, "what was made of a server could not be taken away");
        }
        made
    }

    fn describe(&self, instance: &InstanceId) -> Result<ServerDescription, ServersError> {
        let entry = self.entry(instance)?;
        let running = self.running(&entry)?;
        Ok(ServerDescription {
            started: entry.standing == DesiredState::Up,
            running,
            database: entry.database,
            user: entry.user,
        })
    }

    fn start(&self, instance: &InstanceId) -> Result<RunningServer, ServersError> {
        let _claim = self.claim(instance)?;
        self.start_again(self.entry(instance)?)
    }

    fn stop(&self, instance: &InstanceId) -> Result<(), ServersError> {
        let _claim = self.claim(instance)?;
        let entry = self.entry(instance)?;
        self.stop_server(instance)?;
        Ok(self.put(&InstanceState { standing: DesiredState::Stopped, ..entry })?)
    }

    fn reboot(&self, instance: &InstanceId) -> Result<RunningServer, ServersError> {
        let _claim = self.claim(instance)?;
        let entry = self.entry(instance)?;
        self.stop_server(instance)?;
        self.start_again(entry)
    }

    fn delete(&self, instance: &InstanceId) -> Result<(), ServersError> {
        let _claim = self.claim(instance)?;
        Ok(self.take_away(&self.entry(instance)?)?)
    }

    fn set_master_password(
        &self,
        instance: &InstanceId,
        user: &str,
        password: &Secret,
    ) -> Result<(), ServersError> {
        order::check_password(password)?;
        let _claim = self.claim(instance)?;
        let entry = self.entry(instance)?;
        if entry.maker != CreatedBy::Api || entry.user != user {
            return Err(ServersError::Invalid(format!(
                "{user} is not the master user of {instance}"
            )));
        }
        let master = MasterUser { name: user.to_owned(), password: password.clone() };
        Ok(self.server(&entry)?.set_password(entry.port, &master)?)
    }

    fn promote(&self, instance: &InstanceId) -> Result<(), ServersError> {
        let _claim = self.claim(instance)?;
        match self.server(&self.entry(instance)?)? {
            Server::Postgres(server) if server.is_standby() => Ok(server.promote()?),
            _ => Err(ServersError::Invalid(format!("{instance} follows no other server"))),
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
    /// The newest that is installed of the version asked for, whole or by its beginning; what is installed of no version is
    /// unpacked, where it can be.
    fn fitting(&self, new: &NewServer) -> Result<Installation, ServersError> {
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
                Err(self.absent(new))
            };
        }
        let found = installed
            .into_iter()
            .rfind(|installation| installation.release().is_some_and(|release| fits(&release)));
        found.ok_or_else(|| self.absent(new))
    }

    fn absent(&self, new: &NewServer) -> ServersError {
        let here: Vec<String> = Installation::all(new.engine, &self.unpacked)
            .iter()
            .filter_map(Installation::release)
            .collect();
        let (product, wanted) = (new.engine.product(), new.version.as_deref().unwrap_or_default());
        ServersError::NotFound(format!(
            "{product} {wanted} is not installed; here: {}",
            here.join(", ")
        ))
    }

    /// The server that a new one is to follow.
    fn source(&self, source: &InstanceId, new: &NewServer) -> Result<InstanceState, ServersError> {
        let entry = self.entry(source)?;
        if (entry.engine, entry.maker, entry.standing)
            != (new.engine, CreatedBy::Api, DesiredState::Up)
        {
            return Err(ServersError::Invalid(format!(
                "{source} can't be followed: it must run, be of the same engine and made by this API"
            )));
        }
        Ok(entry)
    }

    /// Puts a server into the state, with a port that no other has: also none that is stopped.
    fn reserve(
        &self,
        new: &NewServer,
        installation: &Installation,
        source: Option<&InstanceState>,
    ) -> Result<InstanceState, ServersError> {
        let (authentication, reason) = self.asks(new.engine)?;
        let mut known = self.lock();
        let taken: Vec<u16> = known.state.instances.iter().map(|entry| entry.port).collect();
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
            maker: CreatedBy::Api,
            standing: DesiredState::Partial,
        };
        known.state.instances.push(entry.clone());
        known.state.write(&self.layout)?;
        Ok(entry)
    }

    fn make_new(
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
        let server = self.make(installation, &entry.instance, CreatedBy::Api, source.as_ref())?;
        self.launch(&server, entry)?;
        if let Some(master) = &new.master {
            server.make_master(entry.port, master, new.database.as_deref())?;
        }
        self.put(&InstanceState { standing: DesiredState::Up, ..entry.clone() })?;
        self.running(entry)
    }

    fn start_again(&self, entry: InstanceState) -> Result<RunningServer, ServersError> {
        let server = self.server(&entry)?;
        if !server.is_running() && !port::is_free(entry.port) {
            return Err(ServersError::PortInUse(entry.port));
        }
        let entry = InstanceState { standing: DesiredState::Up, ..entry };
        self.launch(&server, &entry)?;
        self.running(&entry)
    }

    /// Where a server is reached when it runs.
    fn running(&self, entry: &InstanceState) -> Result<RunningServer, ServersError> {
        let said = self.lock().releases.get(&entry.instance).cloned();
        let version = said.map_or_else(|| self.release(entry.engine, entry.version), Ok)?;
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
        // A server that runs has said it before; where it no longer does, the series is what is known.
        Ok(installation.release().unwrap_or_else(|| version.to_string()))
    }
}
