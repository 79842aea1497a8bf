//! Paths of the workspace.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::apt::is_root;
use crate::problem::Problem;

pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Finds the workspace that this program was built from.
    pub(crate) fn here() -> Result<Self, Problem> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned);
        // Cargo puts this program into TARGET/PROFILE/, whichever directory its settings name.
        let program = std::env::current_exe().ok();
        let target =
            program.as_deref().and_then(|program| program.ancestors().nth(2)).map(Path::to_owned);
        root.zip(target).map(|(root, target)| Self { root, target }).ok_or_else(|| {
            Problem::new("cannot find the workspace: start this program as `cargo xtask`")
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Path of a binary of the debug build.
    pub(crate) fn binary(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(name)
    }

    /// Command line of the cargo that started this program, at the root.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root);
        cargo
    }

    /// Virtual environment of the AWS CLI, for machines that have none.
    pub(crate) fn aws_environment(&self) -> PathBuf {
        self.target.join("tools/aws")
    }

    /// Directory for local stacks. Started by root, their servers run as another user, who must be
    /// able to reach it.
    pub(crate) fn stacks(&self) -> PathBuf {
        let is_open = |path: &Path| path.metadata().is_ok_and(|found| found.mode() & 0o001 != 0);
        if !is_root() || self.target.ancestors().all(is_open) {
            self.target.clone()
        } else {
            PathBuf::from("/var/lib/countersign-xtask")
        }
    }

    /// `PATH` with the tools that setup installed into the target directory.
    pub(crate) fn path(&self) -> OsString {
        let tools = self.aws_environment().join("bin");
        prepend(
            tools.join("aws").is_file().then_some(tools),
            std::env::var_os("PATH").unwrap_or_default(),
        )
    }
}

/// Puts a directory before a search path.
pub(crate) fn prepend(directory: Option<PathBuf>, path: OsString) -> OsString {
    std::env::join_paths(directory.into_iter().chain(std::env::split_paths(&path))).unwrap_or(path)
}
