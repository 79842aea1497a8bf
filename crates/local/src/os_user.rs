//! The system's user that a server runs as: none of them runs as root.

use std::os::unix::fs::lchown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Uid, User, geteuid};

use crate::LocalError;
use crate::error::at;

/// Where programs find others.
pub(crate) const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Who may run a server in root's place, in this order.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// Who a server runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunAs {
    /// Whoever started the stack.
    Self_,
    /// Another user, since root started it.
    Other { name: String, uid: u32, gid: u32 },
}

impl RunAs {
    /// Ourselves, or where we are root, an unprivileged user.
    pub(crate) fn choose() -> Result<Self, LocalError> {
        if !geteuid().is_root() {
            return Ok(Self::Self_);
        }
        let found = CANDIDATES.iter().find_map(|name| User::from_name(name).ok().flatten());
        let user = found.filter(|user| !user.uid.is_root()).ok_or_else(|| {
            LocalError::Unusable(
                "database servers do not run as root, and there is neither a user postgres nor nobody: add one, or run as yourself"
                    .to_owned(),
            )
        })?;
        Ok(Self::Other { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() })
    }

    /// A command that runs as this user, in a directory that it can enter, and without the environment of whoever starts
    /// it: a server's superuser can read the server's.
    pub(crate) fn command(&self, program: &Path, directory: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(directory).env_clear().env("PATH", PATH).env("LC_ALL", "C");
        if let Self::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
        command
    }

    /// Gives a directory to this user, for good: nothing is written there by anybody else afterwards.
    pub(crate) fn own(&self, directory: &Path) -> Result<(), LocalError> {
        match self {
            Self::Self_ => Ok(()),
            Self::Other { uid, gid, .. } => {
                lchown(directory, Some(*uid), Some(*gid)).map_err(at(directory))
            }
        }
    }

    /// Refuses a directory that this user can't enter.
    pub(crate) fn check_entry(&self, directory: &Path) -> Result<(), LocalError> {
        let Self::Other { name, .. } = self else {
            return Ok(());
        };
        let tested = self
            .command(Path::new("/usr/bin/test"), Path::new("/"))
            .arg("-x")
            .arg(directory)
            .status();
        if tested.map_err(at(directory))?.success() {
            return Ok(());
        }
        let (path, fit) = (directory.display(), "/var/lib/countersign");
        Err(LocalError::Unusable(format!(
            "the server's user {name} can't enter {path}: pass --dir below a directory that it can, such as {fit}"
        )))
    }

    /// The user's name, where the system has one for it.
    pub(crate) fn name(&self) -> Option<String> {
        match self {
            Self::Self_ => User::from_uid(geteuid()).ok().flatten().map(|user| user.name),
            Self::Other { name, .. } => Some(name.clone()),
        }
    }

    /// The number of the user, and of its group where it is another one.
    pub(crate) fn ids(&self) -> (u32, Option<u32>) {
        match self {
            Self::Self_ => (geteuid().as_raw(), None),
            Self::Other { uid, gid, .. } => (*uid, Some(*gid)),
        }
    }
}

/// The names of the users who may be the server's superuser over its Unix socket: whoever runs the stack, and root.
pub(crate) fn administrators() -> Vec<String> {
    let own = User::from_uid(geteuid()).ok().flatten().map(|user| user.name);
    let root = User::from_uid(Uid::from_raw(0)).ok().flatten().map(|user| user.name);
    let mut names: Vec<String> = own.into_iter().chain(root).collect();
    names.dedup();
    names
}
