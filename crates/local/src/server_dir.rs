//! The directory of one server: what is the owner's in it, and what is the server's own.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_core::name::InstanceId;

use crate::error::at;
use crate::layout::make_directory;
use crate::os_user::RunAs;
use crate::{Layout, LocalError};

/// A server's directory, and who the server runs as.
#[derive(Debug)]
pub(crate) struct ServerDir {
    path: PathBuf,
    run_as: RunAs,
}

impl ServerDir {
    pub(crate) fn new(layout: &Layout, instance: &InstanceId, run_as: RunAs) -> Self {
        Self { path: layout.instance(instance), run_as }
    }

    /// The server's data: its own.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// The data while it is being made.
    pub(crate) fn partial_data(&self) -> PathBuf {
        self.path.join("data.partial")
    }

    /// The server's sockets: its own.
    pub(crate) fn run(&self) -> PathBuf {
        self.path.join("run")
    }

    /// The server's configuration, which it can't change.
    pub(crate) fn etc(&self) -> PathBuf {
        self.path.join("etc")
    }

    /// The server's certificate and key.
    pub(crate) fn tls(&self) -> PathBuf {
        self.path.join("tls")
    }

    /// The plugins that the server may load.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.path.join("plugins")
    }

    /// What the server prints.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join("server.log")
    }

    /// Makes the directories, and has `initialize` fill the data directory where there is none; one that was half made is
    /// made anew.
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

    /// The log, and how much of it there is already. Opened here, as whoever runs the stack: the server inherits it, so that
    /// it needn't be able to make it.
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

    /// What has been logged since `beginning`, and where all of it is.
    pub(crate) fn logged_since(&self, beginning: u64) -> String {
        let path = self.log();
        let said = fs::read(&path).unwrap_or_default();
        let said = said.get(usize::try_from(beginning).unwrap_or(0)..).unwrap_or_default();
        format!("{} (all of it is in {})", String::from_utf8_lossy(said).trim(), path.display())
    }

    pub(crate) const fn run_as(&self) -> &RunAs {
        &self.run_as
    }

    /// A command that runs as the server does.
    pub(crate) fn command(&self, program: &Path) -> Command {
        self.run_as.command(program, &self.path)
    }
}
