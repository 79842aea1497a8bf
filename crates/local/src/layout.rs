//! Where everything of a local stack lies, below one directory.
//!
//! ```text
//! DIR/state.json        what runs               DIR/lib/pam_countersign.so
//! DIR/lock              held while it runs      DIR/run/verifier.sock
//! DIR/authority/…       state and log           DIR/tls/ca.pem, ca.key
//! DIR/identity/…        tokens of pods, a person's sign-in
//! DIR/lib/mysql_countersign.so
//! DIR/instances/NAME/{etc,tls,plugins}/             the owner's: the server reads them
//! DIR/instances/NAME/server.json, server.log
//! DIR/instances/NAME/{data,run}/                    the server's own: nobody else writes there
//! ```
//! What root writes lies where the server's user can't write: a link that it laid there would lead root astray.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use countersign_core::name::InstanceId;

use crate::LocalError;
use crate::error::at;

/// The longest path that a Unix socket can have, in bytes, with its closing NUL.
const MAX_SOCKET_PATH: usize = 108;

/// The paths of one stack.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout below `root`: an absolute path of letters, digits and `/._@+-`, since it stands in the configuration of
    /// PAM, of PostgreSQL and of a shell.
    ///
    /// # Errors
    /// [`LocalError::Unusable`]
    pub fn new(root: &Path) -> Result<Self, LocalError> {
        let plain = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._@+-".contains(&byte))
        };
        if !root.is_absolute() || !root.to_str().is_some_and(plain) {
            return Err(unusable(root, "is not an absolute path of letters, digits and /._@+-"));
        }
        let layout = Self { root: root.to_owned() };
        // An instance's name is here an engine's with a version, unless a client of the RDS API has chosen it.
        if layout.longest_socket(16) >= MAX_SOCKET_PATH {
            return Err(unusable(root, "is too long for a Unix socket below it"));
        }
        Ok(layout)
    }

    /// The length of the longest path of a socket: that of a server whose name has `name` bytes.
    fn longest_socket(&self, name: usize) -> usize {
        self.root.as_os_str().len() + "/instances//run/.s.PGSQL.65535".len() + name
    }

    /// Whether the sockets of a server of this name can be had.
    pub(crate) fn has_room_for(&self, instance: &InstanceId) -> bool {
        self.longest_socket(instance.as_str().len()) < MAX_SOCKET_PATH
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What runs, for other commands to read.
    #[must_use]
    pub fn state_file(&self) -> PathBuf {
        self.root.join("state.json")
    }

    /// Held by the process that runs the stack.
    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// The output of a stack that runs in the background.
    #[must_use]
    pub fn output_file(&self) -> PathBuf {
        self.root.join("up.log")
    }

    /// The authority's state and log.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.root.join("authority")
    }

    /// What pods, containers and people are given: their tokens, and the configuration of their clients.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.root.join("identity")
    }

    /// The verifier's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.root.join("run/verifier.sock")
    }

    /// The certificate that clients trust.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.root.join("tls/ca.pem")
    }

    pub(crate) fn ca_key(&self) -> PathBuf {
        self.root.join("tls/ca.key")
    }

    pub(crate) fn pam_module(&self) -> PathBuf {
        self.root.join("lib/pam_countersign.so")
    }

    pub(crate) fn mysql_plugin(&self) -> PathBuf {
        self.root.join("lib/mysql_countersign.so")
    }

    pub(crate) fn instance(&self, name: &InstanceId) -> PathBuf {
        self.root.join("instances").join(name.as_str())
    }

    /// The instances that have a directory.
    pub(crate) fn instances(&self) -> Result<Vec<InstanceId>, LocalError> {
        let directory = self.root.join("instances");
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(at(&directory))?,
        };
        Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
    }

    /// Makes the directories that are everybody's to pass through; what is private lies in private ones below.
    pub(crate) fn create(&self) -> Result<(), LocalError> {
        self.claim()?;
        for directory in [
            self.root.clone(),
            self.root.join("run"),
            self.root.join("lib"),
            self.root.join("tls"),
            self.root.join("instances"),
        ] {
            make_directory(&directory, 0o755)?;
        }
        Ok(())
    }

    /// Takes away what [`Layout::create`] and those who use it made, and nothing else.
    pub(crate) fn wipe(&self) -> Result<(), LocalError> {
        for name in [
            "authority",
            "identity",
            "instances",
            "lib",
            "run",
            "tls",
            "state.json",
            "state.new",
            "up.log",
            "lock",
        ] {
            let path = self.root.join(name);
            let removed =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(at(&path)(error));
                }
                _ => {}
            }
        }
        match fs::remove_dir(&self.root) {
            // Somebody else's files lie there.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            removed => removed.map_err(at(&self.root)),
        }
    }

    /// The directory must be new, empty or a stack's already; and nobody but its owner may change it, or swap it for another.
    fn claim(&self) -> Result<(), LocalError> {
        fs::create_dir_all(&self.root).map_err(at(&self.root))?;
        let own = rustix::process::geteuid().as_raw();
        for directory in self.root.ancestors() {
            let found = fs::metadata(directory).map_err(at(directory))?;
            let sticky = found.mode() & 0o1000 != 0 && directory != self.root;
            if (found.uid() != own && found.uid() != 0) || (found.mode() & 0o022 != 0 && !sticky) {
                return Err(unusable(
                    &self.root,
                    &format!(
                        "can be changed by others than its owner through {}",
                        directory.display()
                    ),
                ));
            }
        }
        let mut entries = fs::read_dir(&self.root).map_err(at(&self.root))?.flatten();
        if !self.lock_file().exists() && entries.any(|entry| entry.path() != self.output_file()) {
            return Err(unusable(&self.root, "holds something else than a stack"));
        }
        Ok(())
    }
}

fn unusable(root: &Path, why: &str) -> LocalError {
    LocalError::Unusable(format!("the directory {} {why}: pass another with --dir", root.display()))
}

/// Makes a directory with this mode, whatever the umask: the server runs as another user, and must get through.
pub(crate) fn make_directory(path: &Path, mode: u32) -> Result<(), LocalError> {
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(at(path))?;
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(at(path))
}

/// Writes a file whole or not at all: a process that is killed half way leaves the old one. On request it goes to a group.
pub(crate) fn write_atomically(
    path: &Path,
    content: &[u8],
    mode: u32,
    group: Option<u32>,
) -> Result<(), LocalError> {
    use std::io::Write;
    use std::os::unix::fs::{OpenOptionsExt, fchown};

    let fresh = path.with_extension("new");
    let write = || {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(mode)
            .open(&fresh)?;
        fchown(&file, None, group)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().map_err(at(path))
}

/// Puts a library where the servers can load it: by rename, since a server may have the old one mapped.
pub(crate) fn install_library(from: &Path, to: &Path) -> Result<(), LocalError> {
    let content = fs::read(from).map_err(at(from))?;
    write_atomically(to, &content, 0o755, None)
}

#[cfg(test)]
mod tests;
