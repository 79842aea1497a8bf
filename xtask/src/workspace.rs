//! Where things are.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::problem::Problem;

pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// The workspace that this program was built from and in.
    pub(crate) fn here() -> Result<Self, Problem> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned);
        // Cargo put this program into TARGET/PROFILE/: that is right whatever the configuration says.
        let program = std::env::current_exe().ok();
        let target =
            program.as_deref().and_then(|program| program.ancestors().nth(2)).map(Path::to_owned);
        root.zip(target).map(|(root, target)| Self { root, target }).ok_or_else(|| {
            Problem::new("xtask does not know where it is: start it as `cargo xtask`")
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// What `cargo build` made of the binary `name`.
    pub(crate) fn binary(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(name)
    }

    /// The cargo that started this program, at the root.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root);
        cargo
    }

    /// The virtual environment that holds the AWS command line where the machine has none.
    pub(crate) fn aws_environment(&self) -> PathBuf {
        self.target.join("tools/aws")
    }

    /// `PATH` with the tools that setup installed into the target directory.
    pub(crate) fn path(&self) -> OsString {
        let own = self.aws_environment().join("bin");
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let own = own.join("aws").is_file().then_some(own);
        std::env::join_paths(own.into_iter().chain(std::env::split_paths(&inherited)))
            .unwrap_or(inherited)
    }
}
