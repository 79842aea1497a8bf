//! Directory of one server: parts that the stack's owner writes, and parts that the server writes.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_core::name::InstanceId;

use crate::error::at;
use crate::layout::make_directory;
use crate::os_user::RunAs;
use crate::{Layout, LocalError};

/// Directory of a server, and the user that the server runs as.
#[derive(Debug)]
pub(crate) struct ServerDir {
    path: PathBuf,
    run_as: RunAs,
}

impl ServerDir {
    pub(crate) fn new(layout: &Layout, instance: &InstanceId, run_as: RunAs) -> Self {
        Self { path: layout.instance(instance), run_as }
    }

    /// Data directory; the server owns it.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Data directory while it is being created.
    pub(crate) fn partial_data(&self) -> PathBuf {
        self.path.join("data.partial")
    }

    /// Directory of the server's sockets; the server owns it.
    pub(crate) fn run(&self) -> PathBuf {
        self.path.join("run")
    }

    /// Directory of the configuration; the server cannot write it.
    pub(crate) fn etc(&self) -> PathBuf {
        self.path.join("etc")
    }

    /// Directory of the certificate and key.
    pub(crate) fn tls(&self) -> PathBuf {
        self.path.join("tls")
    }

    /// Directory of the plugins that the server may load.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.path.join("plugins")
    }

    /// Log of the server's standard output and error.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("server.log")
    }

    /// Creates the directories, and calls `initialize` for a new data directory.
    ///
    /// A data directory that was created only in part is created anew.
    pub(crate) fn create(
        &self,
        initialize: impl FnOnce(&Path) -> Result<(), LocalError>,
    ) -> Result<(), LocalError> {
        for directory in [self.etc(), self.tls(), self.plugins()] {
            make_directory(&directory, 0o755)?;
        }
        if !self.run().exists() {
            make_directory(&self.run(), 0o755)?;
        }
        self.run_as.own(&self.run())?;
        if self.data().exists() {
            return Ok(());
        }
        let partial = self.partial_data();
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(at(&partial))?;
        }
        make_directory(&partial, 0o700)?;
        self.run_as.own(&partial)?;
        initialize(&partial)?;
        fs::rename(&partial, self.data()).map_err(at(&partial))
    }

    /// Opens the log, and returns its current length.
    ///
    /// The server inherits the file, so that it needs no permission to create it.
    pub(crate) fn open_log(&self) -> Result<(File, u64), LocalError> {
        let path = self.log();
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(at(&path))?;
        let length = log.metadata().map_err(at(&path))?.len();
        Ok((log, length))
    }

    /// Returns the log since `offset`, and the path of the log.
    pub(crate) fn logged_since(&self, offset: u64) -> String {
        let path = self.log();
        let log = fs::read(&path).unwrap_or_default();
        let new = log.get(usize::try_from(offset).unwrap_or(0)..).unwrap_or_default();
        format!("{} (full log: {})", String::from_utf8_lossy(new).trim(), path.display())
    }

    pub(crate) const fn run_as(&self) -> &RunAs {
        &self.run_as
    }

    /// Returns a command that runs as the server's user.
    pub(crate) fn command(&self, program: &Path) -> Command {
        self.run_as.command(program, &self.path)
    }
}
