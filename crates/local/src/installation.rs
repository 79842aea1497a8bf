//! Installed servers: those of the system, and those unpacked beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use countersign_core::name::Engine;

use crate::{LocalError, Version};

/// Name of the directory in which a version is being unpacked.
pub(crate) const PARTIAL: &str = "partial";

/// Directory of the PostgreSQL versions on Debian and its derivatives.
pub(crate) const POSTGRES: &str = "usr/lib/postgresql";

/// Directories of the MariaDB and MySQL programs on Debian and its derivatives.
const DIRECTORIES: [&str; 2] = ["usr/sbin", "usr/bin"];

/// Programs of one version of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Database engine.
    pub engine: Engine,
    /// Release series.
    pub version: Version,
    /// Root of the installation: `/`, or the directory into which it was unpacked.
    pub root: PathBuf,
}

impl Installation {
    /// Returns the requested version, or the newest one, of the system or below `unpacked`.
    ///
    /// # Errors
    /// [`LocalError::NotInstalled`], with the command that installs it.
    pub fn find(
        engine: Engine,
        wanted: Option<Version>,
        unpacked: &Path,
    ) -> Result<Self, LocalError> {
        let found = Self::all(engine, unpacked);
        let versions: Vec<String> =
            found.iter().map(|installation| installation.version.to_string()).collect();
        let chosen = found
            .into_iter()
            .rfind(|installation| wanted.is_none_or(|wanted| wanted.covers(installation.version)));
        chosen.ok_or(LocalError::NotInstalled { engine, wanted, installed: versions })
    }

    /// Returns all installations of an engine, ordered by version.
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

    /// Returns the full version that the server prints, such as `15.18`, `10.11.19` or `9.7.4`.
    pub(crate) fn release(&self) -> Option<String> {
        release(&version_output(self.engine, &self.program(server_program(self.engine)))?)
            .map(str::to_owned)
    }

    /// Returns the path of a program of this version.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        let places = directories(self.engine, &self.root, Some(self.version));
        let there = places.iter().map(|directory| directory.join(name)).find(|path| path.exists());
        there.unwrap_or_else(|| places.last().unwrap_or(&self.root).join(name))
    }

    /// Returns the plugin directory of MariaDB or MySQL.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.root.join("usr/lib/mysql/plugin")
    }
}

/// Returns the name of the server program.
pub(crate) const fn server_program(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "postgres",
        Engine::Mariadb => "mariadbd",
        Engine::Mysql => "mysqld",
    }
}

/// Returns the directories of an engine's programs below `root`.
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

/// Returns the versions of an engine below `root`. A client without a server does not count.
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
                .filter_map(|program| program_version(engine, &program))
                .map(there)
                .take(1)
                .collect()
        }
    }
}

/// Returns the version that a program prints, as in `mysqld  Ver 9.7.4 for Linux` or
/// `mariadbd  Ver 10.11.19-MariaDB-… for …`.
///
/// Debian installs MariaDB under the name `mysqld` too.
fn program_version(engine: Engine, program: &Path) -> Option<Version> {
    series(engine, &version_output(engine, program)?)
}

/// Runs a server program with `--version`, and returns its output.
fn version_output(engine: Engine, program: &Path) -> Option<String> {
    let mut command = Command::new(program);
    command
        .args((engine != Engine::Postgres).then_some("--no-defaults"))
        .arg("--version")
        .env_clear();
    let output = command.stdin(Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Extracts the full version; PostgreSQL prints `postgres (PostgreSQL) 15.18 (Debian …)`.
fn release(output: &str) -> Option<&str> {
    let (_, rest) = output.split_once("Ver ").or_else(|| output.split_once("(PostgreSQL) "))?;
    rest.split(['-', ' ', '\n']).next().filter(|release| !release.is_empty())
}

pub(crate) fn series(engine: Engine, output: &str) -> Option<Version> {
    if output.contains("MariaDB") != (engine == Engine::Mariadb) {
        return None;
    }
    let whole = release(output)?;
    let (major, rest) = whole.split_once('.')?;
    let minor = rest.split('.').next()?;
    format!("{major}.{minor}").parse().ok()
}

#[cfg(test)]
mod tests;
