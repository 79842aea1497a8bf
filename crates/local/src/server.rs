//! A database server of any engine: dispatches to the engine's module.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_authority::servers::MasterUser;
use countersign_core::name::{DbUser, Engine, InstanceId};
use serde::{Deserialize, Serialize};

use crate::error::at;
use crate::layout::{make_directory, write_atomically};
use crate::mysql::Mysql;
use crate::os_user::RunAs;
use crate::postgres::Postgres;
use crate::server_dir::ServerDir;
use crate::state::CreatedBy;
use crate::{Installation, Layout, LocalError, Version, mysql, postgres};

/// Engine and version of an instance's directory.
///
/// Written before any data is created, so that [`Server::stop_found`] can read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kind {
    pub(crate) engine: Engine,
    pub(crate) version: Version,
}

/// Name of the file that holds the [`Kind`].
const KIND: &str = "server.json";

impl Kind {
    /// Reads the file of `instance`. `None` if the instance has none.
    pub(crate) fn read(layout: &Layout, instance: &InstanceId) -> Result<Option<Self>, LocalError> {
        let path = layout.instance(instance).join(KIND);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(at(&path))?,
        };
        let parsed = serde_json::from_slice(&text);
        parsed.map(Some).map_err(|error| {
            LocalError::Unusable(format!(
                "cannot read {}: another version wrote it: {error}",
                path.display()
            ))
        })
    }

    fn write(self, home: &Path) -> Result<(), LocalError> {
        let text = serde_json::to_vec(&self).map_err(|error| {
            LocalError::Unusable(format!("cannot write the server's version: {error}"))
        })?;
        write_atomically(&home.join(KIND), &text, 0o644, None)
    }
}

/// Primary server of a replica.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) sockets: PathBuf,
    pub(crate) port: u16,
}

/// A database server in its directory.
#[derive(Debug)]
pub(crate) enum Server {
    Postgres(Postgres),
    Mysql(Mysql),
}

impl Server {
    pub(crate) fn new(
        installation: Installation,
        instance: InstanceId,
        layout: &Layout,
        run_as: RunAs,
        created_by: CreatedBy,
    ) -> Self {
        let home = ServerDir::new(layout, &instance, run_as);
        match installation.engine {
            Engine::Postgres => {
                Self::Postgres(Postgres::new(installation, instance, home, created_by))
            }
            Engine::Mariadb | Engine::Mysql => {
                Self::Mysql(Mysql::new(installation, instance, home, created_by))
            }
        }
    }

    /// Stops the server of a directory, if it runs.
    ///
    /// PostgreSQL is stopped by its own programs; MariaDB and MySQL also if theirs are gone.
    pub(crate) fn stop_found(
        layout: &Layout,
        instance: &InstanceId,
        unpacked: &Path,
        run_as: RunAs,
    ) -> Result<(), LocalError> {
        let Some(Kind { engine, version }) = Kind::read(layout, instance)? else {
            return Ok(());
        };
        let home = ServerDir::new(layout, instance, run_as);
        match engine {
            Engine::Postgres => {
                let installation = Installation::find(engine, Some(version), unpacked)?;
                // Stopping needs no superuser, so the creator does not matter.
                Postgres::new(installation, instance.clone(), home, CreatedBy::CommandLine).stop()
            }
            Engine::Mariadb | Engine::Mysql => mysql::stop(&home),
        }
    }

    /// Creates the data directory if there is none, on request as a replica of `source`.
    pub(crate) fn create(
        &self,
        layout: &Layout,
        instance: &InstanceId,
        kind: Kind,
        source: Option<&Source>,
    ) -> Result<(), LocalError> {
        let home = layout.instance(instance);
        make_directory(&home, 0o755)?;
        kind.write(&home)?;
        match (self, source) {
            (Self::Postgres(server), Some(Source { sockets, port })) => server.copy(sockets, *port),
            (Self::Postgres(server), None) => server.create(),
            (Self::Mysql(server), _) => server.create(),
        }
    }

    /// Returns true if the server runs, including one that an earlier stack left running.
    pub(crate) fn is_running(&self) -> bool {
        match self {
            Self::Postgres(server) => server.is_running(),
            Self::Mysql(server) => server.is_running(),
        }
    }

    /// Starts the server, or reloads the configuration of a running one.
    pub(crate) fn start(&self, port: u16) -> Result<(), LocalError> {
        match self {
            Self::Postgres(server) => server.start(port),
            Self::Mysql(server) => server.start(),
        }
    }

    /// Creates a database user that logs in with IAM, or converts an existing user.
    pub(crate) fn ensure_login(&self, port: u16, user: &DbUser) -> Result<(), LocalError> {
        match self {
            Self::Postgres(server) => server.ensure_login(port, user),
            Self::Mysql(server) => server.ensure_login(user),
        }
    }

    /// Creates the RDS master user and a database that it owns.
    pub(crate) fn create_master(
        &self,
        port: u16,
        master: &MasterUser,
        database: Option<&str>,
    ) -> Result<(), LocalError> {
        match self {
            Self::Postgres(server) => server.create_master(port, master, database),
            Self::Mysql(server) => server.create_master(master, database),
        }
    }

    /// Changes the master user's password.
    pub(crate) fn set_password(&self, port: u16, master: &MasterUser) -> Result<(), LocalError> {
        match self {
            Self::Postgres(server) => server.set_password(port, master),
            Self::Mysql(server) => server.set_password(master),
        }
    }

    /// Returns a psql, mariadb or mysql command that connects as the server's administrator.
    pub(crate) fn client(&self, port: u16) -> Command {
        match self {
            Self::Postgres(server) => server.psql(port),
            Self::Mysql(server) => server.client(),
        }
    }
}

/// Returns the host that tokens are signed for.
///
/// MySQL clients connect to the Unix socket if the host is `localhost`.
pub(crate) const fn host(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "localhost",
        Engine::Mariadb | Engine::Mysql => "127.0.0.1",
    }
}

/// Returns the name of a new server's database.
pub(crate) const fn database(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => postgres::DATABASE,
        Engine::Mariadb | Engine::Mysql => mysql::DATABASE,
    }
}
