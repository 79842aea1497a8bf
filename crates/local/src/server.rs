//! A server of any engine: where the three of them are told apart.

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

/// What an instance's directory is of: written before any data is made, so that [`Server::stop_found`] knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kind {
    pub(crate) engine: Engine,
    pub(crate) version: Version,
}

/// The file that holds the [`Kind`].
const KIND: &str = "server.json";

impl Kind {
    /// What lies in the directory of `instance`; nothing where nothing does.
    pub(crate) fn read(layout: &Layout, instance: &InstanceId) -> Result<Option<Self>, LocalError> {
        let path = layout.instance(instance).join(KIND);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(at(&path))?,
        };
        let parsed = serde_json::from_slice(&text);
        parsed.map(Some).map_err(|error| {
            LocalError::Unusable(format!(
                "{} was not written by this version: {error}",
                path.display()
            ))
        })
    }

    fn write(self, home: &Path) -> Result<(), LocalError> {
        let text = serde_json::to_vec(&self).map_err(|error| {
            LocalError::Unusable(format!("the version can't be written: {error}"))
        })?;
        write_atomically(&home.join(KIND), &text, 0o644, None)
    }
}

/// Where a server that is to be followed listens.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) sockets: PathBuf,
    pub(crate) port: u16,
}

/// A server in its directory.
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
        maker: CreatedBy,
    ) -> Self {
        let home = ServerDir::new(layout, &instance, run_as);
        match installation.engine {
            Engine::Postgres => Self::Postgres(Postgres::new(installation, instance, home, maker)),
            Engine::Mariadb | Engine::Mysql => {
                Self::Mysql(Mysql::new(installation, instance, home, maker))
            }
        }
    }

    /// Stops the server whose directory is there, if it runs; PostgreSQL by its own programs, the others also where theirs have
    /// gone.
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
                // Stopping it takes no superuser: it does not matter who made it.
                Postgres::new(installation, instance.clone(), home, CreatedBy::CommandLine).stop()
            }
            Engine::Mariadb | Engine::Mysql => mysql::stop(&home),
        }
    }

    /// Makes the data directory where there is none: on request as a copy of another server's, which it follows then.
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

    /// Whether the server runs: also one that an earlier stack left behind.
    pub(crate) fn is_running(&self) -> bool {
        match self {
            Self::Postgres(server) => server.is_running(),
            Self::Mysql(server) => server.is_running(),
        }
    }

    /// Starts the server, or has one that runs take its configuration again.
    pub(crate) fn start(&self, port: u16) -> Result<(), LocalError> {
        match self {
            Self::Postgres(server) => server.start(port),
            Self::Mysql(server) => server.start(),
        }
    }

    /// Makes a database user who logs in with IAM, or makes one of a user who is there.
    pub(crate) fn ensure_login(&self, port: u16, user: &DbUser) -> Result<(), LocalError> {
        match self {
            Self::Postgres(server) => server.ensure_login(port, user),
            Self::Mysql(server) => server.ensure_login(user),
        }
    }

    /// Makes the master user of RDS, and a database that is its own.
    pub(crate) fn make_master(
        &self,
        port: u16,
        master: &MasterUser,
        database: Option<&str>,
    ) -> Result<(), LocalError> {
        match self {
            Self::Postgres(server) => server.make_master(port, master, database),
            Self::Mysql(server) => server.make_master(master, database),
        }
    }

    /// Gives the master user another password.
    pub(crate) fn set_password(&self, port: u16, master: &MasterUser) -> Result<(), LocalError> {
        match self {
            Self::Postgres(server) => server.set_password(port, master),
            Self::Mysql(server) => server.set_password(master),
        }
    }

    /// psql, mariadb or mysql as the server's administrator.
    pub(crate) fn client(&self, port: u16) -> Command {
        match self {
            Self::Postgres(server) => server.psql(port),
            Self::Mysql(server) => server.client(),
        }
    }
}

/// The host that tokens are signed for and clients are told: clients of MySQL take `localhost` for its Unix socket.
pub(crate) const fn host(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "localhost",
        Engine::Mariadb | Engine::Mysql => "127.0.0.1",
    }
}

/// The database that a new server has.
pub(crate) const fn database(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => postgres::DATABASE,
        Engine::Mariadb | Engine::Mysql => mysql::DATABASE,
    }
}
