//! Operating system user that a server runs as. No server runs as root.

use std::os::unix::fs::lchown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Uid, User, geteuid};

use crate::LocalError;
use crate::error::at;

/// Search path of started programs.
pub(crate) const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Users that may run a server if root starts the stack, in this order.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// Operating system user of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunAs {
    /// The user that started the stack.
    Current,
    /// An unprivileged user, because root started the stack.
    Other { name: String, uid: u32, gid: u32 },
}

impl RunAs {
    /// Chooses the current user, or an unprivileged user if the current one is root.
    pub(crate) fn choose() -> Result<Self, LocalError> {
        if !geteuid().is_root() {
            return Ok(Self::Current);
        }
        let found = CANDIDATES.iter().find_map(|name| User::from_name(name).ok().flatten());
        let user = found.filter(|user| !user.uid.is_root()).ok_or_else(|| {
            LocalError::Unusable(
                "cannot run database servers as root: there is no user \"postgres\" and no \
                 user \"nobody\"; add one, or run as yourself"
                    .to_owned(),
            )
        })?;
        Ok(Self::Other { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() })
    }

    /// Returns a command that runs as this user in a directory that it can enter.
    ///
    /// The environment is cleared: a server's superuser can read the server's environment.
    pub(crate) fn command(&self, program: &Path, directory: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(directory).env_clear().env("PATH", PATH).env("LC_ALL", "C");
        if let Self::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
        command
    }

    /// Gives a directory to this user. Only this user writes there afterwards.
    pub(crate) fn own(&self, directory: &Path) -> Result<(), LocalError> {
        match self {
            Self::Current => Ok(()),
            Self::Other { uid, gid, .. } => {
                lchown(directory, Some(*uid), Some(*gid)).map_err(at(directory))
            }
        }
    }

    /// Refuses a directory that this user cannot enter.
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
            "cannot use {path}: the server's user {name} cannot enter it; pass --dir below a \
             directory that it can enter, such as {fit}"
        )))
    }

    /// Returns the user's name, if the system has one.
    pub(crate) fn name(&self) -> Option<String> {
        match self {
            Self::Current => User::from_uid(geteuid()).ok().flatten().map(|user| user.name),
            Self::Other { name, .. } => Some(name.clone()),
        }
    }

    /// Returns the user's id, and the id of its group if it is not the current user's.
    pub(crate) fn ids(&self) -> (u32, Option<u32>) {
        match self {
            Self::Current => (geteuid().as_raw(), None),
            Self::Other { uid, gid, .. } => (*uid, Some(*gid)),
        }
    }
}

/// Returns the system users that may connect as the server's superuser over its Unix socket: the
/// user that runs the stack, and root.
pub(crate) fn administrators() -> Vec<String> {
    let own = User::from_uid(geteuid()).ok().flatten().map(|user| user.name);
    let root = User::from_uid(Uid::from_raw(0)).ok().flatten().map(|user| user.name);
    let mut names: Vec<String> = own.into_iter().chain(root).collect();
    names.dedup();
    names
}
