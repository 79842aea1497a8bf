//! Paths of a local stack below one directory.
//!
//! ```text
//! DIR/state.json        state file              DIR/lib/pam_countersign.so
//! DIR/lock              held by the process     DIR/run/verifier.sock
//! DIR/authority/…       state and log           DIR/tls/ca.pem, ca.key
//! DIR/identity/…        tokens of pods, sign-ins of users
//! DIR/lib/mysql_countersign.so
//! DIR/instances/NAME/{etc,tls,plugins}/         written by the owner, read by the server
//! DIR/instances/NAME/server.json, server.log
//! DIR/instances/NAME/{data,run}/                written by the server only
//! ```
//! Root writes only where the server's user cannot: that user could otherwise plant a symbolic
//! link.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use countersign_core::name::InstanceId;

use crate::LocalError;
use crate::error::at;

/// Maximum length of a Unix socket's path in bytes, including the closing NUL.
const MAX_SOCKET_PATH: usize = 108;

/// Paths of one stack.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Returns the layout below `root`.
    ///
    /// `root` is an absolute path of letters, digits and `/._@+-`, since it stands in the
    /// configuration of PAM and PostgreSQL and in shell commands.
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
        // The name of an instance is an engine and a version, unless an RDS API client chose it.
        if layout.longest_socket(16) >= MAX_SOCKET_PATH {
            return Err(unusable(root, "is too long for a Unix socket below it"));
        }
        Ok(layout)
    }

    /// Returns the length of the longest socket path of a server whose name has `name` bytes.
    fn longest_socket(&self, name: usize) -> usize {
        self.root.as_os_str().len() + "/instances//run/.s.PGSQL.65535".len() + name
    }

    /// Returns true if the socket paths of a server with this name are short enough.
    pub(crate) fn has_room_for(&self, instance: &InstanceId) -> bool {
        self.longest_socket(instance.as_str().len()) < MAX_SOCKET_PATH
    }

    /// Directory of the stack.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// State file, for other commands to read.
    #[must_use]
    pub fn state_file(&self) -> PathBuf {
        self.root.join("state.json")
    }

    /// Lock file, held by the process that runs the stack.
    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        self.root.join("lock")
    }

    /// Output of a stack that runs in the background.
    #[must_use]
    pub fn output_file(&self) -> PathBuf {
        self.root.join("up.log")
    }

    /// State and log of the authority.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.root.join("authority")
    }

    /// Tokens and client configuration of pods, containers and users.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.root.join("identity")
    }

    /// Unix socket of the verifier.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.root.join("run/verifier.sock")
    }

    /// CA certificate that clients trust.
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

    /// Returns the instances that have a directory.
    pub(crate) fn instances(&self) -> Result<Vec<InstanceId>, LocalError> {
        let directory = self.root.join("instances");
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(at(&directory))?,
        };
        Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
    }

    /// Creates the directories. All users may traverse them; private files lie in private ones
    /// below.
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

    /// Deletes the stack's own files, and only those.
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
            // Other files lie in the directory.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            removed => removed.map_err(at(&self.root)),
        }
    }

    /// Requires a directory that is new, empty or a stack's, and that only its owner can change or
    /// replace.
    fn claim(&self) -> Result<(), LocalError> {
        fs::create_dir_all(&self.root).map_err(at(&self.root))?;
        let own = rustix::process::geteuid().as_raw();
        for directory in self.root.ancestors() {
            let found = fs::metadata(directory).map_err(at(directory))?;
            let sticky = found.mode() & 0o1000 != 0 && directory != self.root;
            if (found.uid() != own && found.uid() != 0) || (found.mode() & 0o022 != 0 && !sticky) {
                return Err(unusable(
                    &self.root,
                    &format!("can be changed by other users through {}", directory.display()),
                ));
            }
        }
        let mut entries = fs::read_dir(&self.root).map_err(at(&self.root))?.flatten();
        if !self.lock_file().exists() && entries.any(|entry| entry.path() != self.output_file()) {
            return Err(unusable(&self.root, "holds files that are not a stack's"));
        }
        Ok(())
    }
}

fn unusable(root: &Path, why: &str) -> LocalError {
    LocalError::Unusable(format!(
        "cannot use the directory {}: it {why}; pass another with --dir",
        root.display()
    ))
}

/// Creates a directory with this mode, whatever the umask: the server runs as another user.
pub(crate) fn make_directory(path: &Path, mode: u32) -> Result<(), LocalError> {
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(at(path))?;
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(at(path))
}

/// Writes a file atomically by renaming a temporary one. `group` becomes its group, if given.
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

/// Installs a library by rename: a running server may have the old file mapped.
pub(crate) fn install_library(from: &Path, to: &Path) -> Result<(), LocalError> {
    let content = fs::read(from).map_err(at(from))?;
    write_atomically(to, &content, 0o755, None)
}

#[cfg(test)]
mod tests;
