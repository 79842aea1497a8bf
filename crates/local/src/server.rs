//! A server of any engine: where the three of them are told apart.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use countersign_core::name::{DbUser, Engine, InstanceId};
use serde::{Deserialize, Serialize};

use crate::error::at;
use crate::home::Home;
use crate::layout::{make_directory, write_atomically};
use crate::mysql::Mysql;
use crate::os_user::RunAs;
use crate::postgres::Postgres;
use crate::{Installation, Layout, LocalError, Version, mysql, postgres};

/// What an instance's directory is of: written before any data is made, so that [`Server::found`] knows it.
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
        parsed.map(Some).map_err(|error| LocalError::Unusable(format!("{} was not written by this version: {error}", path.display())))
    }

    fn write(self, home: &Path) -> Result<(), LocalError> {
        let text = serde_json::to_vec(&self).map_err(|error| LocalError::Unusable(format!("the version can't be written: {error}")))?;
        write_atomically(&home.join(KIND), &text, 0o644, None)
    }
}

/// A server in its directory.
#[derive(Debug)]
pub(crate) enum Server {
    Postgres(Postgres),
    Mysql(Mysql),
}

impl Server {
    pub(crate) fn new(installation: Installation, instance: InstanceId, layout: &Layout, run_as: RunAs) -> Self {
        let home = Home::new(layout, &instance, run_as);
        match installation.engine {
            Engine::Postgres => Self::Postgres(Postgres::new(installation, instance, home)),
            Engine::Mariadb | Engine::Mysql => Self::Mysql(Mysql::new(installation, instance, home)),
        }
    }

    /// Stops the server whose directory is there, if it runs; PostgreSQL by its own programs, the others also where theirs have
    /// gone.
    pub(crate) fn stop_found(layout: &Layout, instance: &InstanceId, unpacked: &Path, run_as: RunAs) -> Result<(), LocalError> {
        let Some(Kind { engine, version }) = Kind::read(layout, instance)? else { return Ok(()) };
        let home = Home::new(layout, instance, run_as);
        match engine {
            Engine::Postgres => Postgres::new(Installation::find(engine, Some(version), unpacked)?, instance.clone(), home).stop(),
            Engine::Mariadb | Engine::Mysql => mysql::stop(&home),
        }
    }

    /// Makes the data directory where there is none.
    pub(crate) fn create(&self, layout: &Layout, instance: &InstanceId, kind: Kind) -> Result<(), LocalError> {
        let home = layout.instance(instance);
        make_directory(&home, 0o755)?;
        kind.write(&home)?;
        match self {
            Self::Postgres(server) => server.create(),
            Self::Mysql(server) => server.create(),
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

    /// Stops the server; its clients are cut off.
    pub(crate) fn stop(&self) -> Result<(), LocalError> {
        match self {
            Self::Postgres(server) => server.stop(),
            Self::Mysql(server) => server.stop(),
        }
    }

    /// Makes a database user who logs in with IAM, or makes one of a user who is there.
    pub(crate) fn ensure_login(&self, port: u16, user: &DbUser) -> Result<(), LocalError> {
        match self {
            Self::Postgres(server) => server.ensure_login(port, user),
            Self::Mysql(server) => server.ensure_login(user),
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
