//! Servers that are installed here: those of the system, and those that were unpacked beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use countersign_core::name::Engine;

use crate::{LocalError, Version};

/// Where a version is being unpacked, beside those that are.
pub(crate) const PARTIAL: &str = "partial";

/// Where Debian and its relatives put each version of PostgreSQL.
pub(crate) const POSTGRES: &str = "usr/lib/postgresql";

/// Where they put the programs of MariaDB and MySQL.
const DIRECTORIES: [&str; 2] = ["usr/sbin", "usr/bin"];

/// The programs of one version of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The server's kind.
    pub engine: Engine,
    /// Its release series.
    pub version: Version,
    /// The directory that everything lies below: `/`, or where it was unpacked.
    pub root: PathBuf,
}

impl Installation {
    /// The version asked for that is installed, or the newest: of the system, or unpacked below `unpacked` by [`crate::install`].
    ///
    /// # Errors
    /// [`LocalError::NotInstalled`], with how to install it.
    pub fn find(
        engine: Engine,
        wanted: Option<Version>,
        unpacked: &Path,
    ) -> Result<Self, LocalError> {
        let found = Self::all(engine, unpacked);
        let here: Vec<String> =
            found.iter().map(|installation| installation.version.to_string()).collect();
        let chosen = found
            .into_iter()
            .rfind(|installation| wanted.is_none_or(|wanted| wanted.covers(installation.version)));
        chosen.ok_or(LocalError::NotInstalled { engine, wanted, here })
    }

    /// Every one of an engine, from the oldest version to the newest.
    pub(crate) fn all(engine: Engine, unpacked: &Path) -> Vec<Self> {
        let mut found = installed(engine, Path::new("/"));
        for entry in fs::read_dir(unpacked)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| !entry.path().ends_with(PARTIAL))
        {
            found.extend(installed(engine, &entry.path()));
        }
        found.sort_by_key(|installation| installation.version);
        found
    }

    /// The whole version, as the server itself says it: `15.18`, `10.11.19`, `9.7.4`.
    pub(crate) fn release(&self) -> Option<String> {
        release(&said(self.engine, &self.program(server_program(self.engine)))?).map(str::to_owned)
    }

    /// A program of this version.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        let places = directories(self.engine, &self.root, Some(self.version));
        let there = places.iter().map(|directory| directory.join(name)).find(|path| path.exists());
        there.unwrap_or_else(|| places.last().unwrap_or(&self.root).join(name))
    }

    /// Where MariaDB or MySQL finds its plugins.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.root.join("usr/lib/mysql/plugin")
    }
}

/// The server itself.
pub(crate) const fn server_program(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "postgres",
        Engine::Mariadb => "mariadbd",
        Engine::Mysql => "mysqld",
    }
}

/// Where the programs of an engine lie below `root`.
fn directories(engine: Engine, root: &Path, version: Option<Version>) -> Vec<PathBuf> {
    match (engine, version) {
        (Engine::Postgres, Some(version)) => {
            vec![root.join(POSTGRES).join(version.to_string()).join("bin")]
        }
        (Engine::Postgres, None) => Vec::new(),
        (Engine::Mariadb | Engine::Mysql, _) => {
            DIRECTORIES.iter().map(|directory| root.join(directory)).collect()
        }
    }
}

/// The versions of an engine below `root`. A client alone is no server.
pub(crate) fn installed(engine: Engine, root: &Path) -> Vec<Installation> {
    let there = |version: Version| Installation { engine, version, root: root.to_owned() };
    let server = server_program(engine);
    match engine {
        Engine::Postgres => {
            let entries = fs::read_dir(root.join(POSTGRES)).into_iter().flatten().flatten();
            let versions = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
            versions
                .map(there)
                .filter(|installation| installation.program(server).exists())
                .collect()
        }
        Engine::Mariadb | Engine::Mysql => {
            let programs = DIRECTORIES.iter().map(|directory| root.join(directory).join(server));
            programs
                .filter(|program| program.exists())
                .filter_map(|program| said_version(engine, &program))
                .map(there)
                .take(1)
                .collect()
        }
    }
}

/// What a server says of itself, as in `mysqld  Ver 9.7.4 for Linux` or `mariadbd  Ver 10.11.19-MariaDB-… for …`. Debian has
/// MariaDB under the name of `mysqld` too.
fn said_version(engine: Engine, program: &Path) -> Option<Version> {
    series(engine, &said(engine, program)?)
}

/// What a server prints of its version.
fn said(engine: Engine, program: &Path) -> Option<String> {
    let mut command = Command::new(program);
    command
        .args((engine != Engine::Postgres).then_some("--no-defaults"))
        .arg("--version")
        .env_clear();
    let output = command.stdin(Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The whole version in it: `postgres (PostgreSQL) 15.18 (Debian …)` is PostgreSQL's way.
fn release(said: &str) -> Option<&str> {
    let (_, rest) = said.split_once("Ver ").or_else(|| said.split_once("(PostgreSQL) "))?;
    rest.split(['-', ' ', '\n']).next().filter(|release| !release.is_empty())
}

pub(crate) fn series(engine: Engine, said: &str) -> Option<Version> {
    if said.contains("MariaDB") != (engine == Engine::Mariadb) {
        return None;
    }
    let whole = release(said)?;
    let (major, rest) = whole.split_once('.')?;
    let minor = rest.split('.').next()?;
    format!("{major}.{minor}").parse().ok()
}

#[cfg(test)]
mod tests;
