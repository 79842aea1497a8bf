//! State file of a stack, as other commands read it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use countersign_core::endpoint::HostName;
use countersign_core::name::{AccountId, Engine, InstanceId, ResourceId};
use countersign_core::region::Region;
use rustix::fs::{FlockOperation, flock};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::error::at;
use crate::layout::write_atomically;
use crate::{Layout, LocalError, Version};

/// How a server reaches the verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Authentication {
    /// PAM module, over the Unix socket.
    Pam,
    /// LDAP on loopback.
    Ldap,
    /// Plugin of MariaDB and MySQL, over the Unix socket.
    Plugin,
}

impl Authentication {
    /// Returns `pam`, `ldap` or `plugin`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pam => "pam",
            Self::Ldap => "ldap",
            Self::Plugin => "plugin",
        }
    }
}

/// Creator of a server, which manages its users and databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CreatedBy {
    /// `local up`. Its IAM users are those of `local user`.
    #[default]
    CommandLine,
    /// A client of the RDS API. It has a master user.
    Api,
}

/// State in which the next start leaves a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DesiredState {
    /// RunningServer; started again with the stack.
    #[default]
    Up,
    /// Stopped through the RDS API, and kept stopped.
    Stopped,
    /// Being created or deleted: the next start removes its remains.
    Partial,
}

/// A server of the directory. Aliases are names in state files of earlier builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceState {
    /// Instance name.
    pub instance: InstanceId,
    /// Resource id, which policies refer to.
    pub resource_id: ResourceId,
    /// Database engine.
    pub engine: Engine,
    /// Server version.
    pub version: Version,
    /// Host that tokens are signed for.
    pub host: HostName,
    /// Port that it listens on.
    pub port: u16,
    /// Database that exists from the start.
    pub database: String,
    /// Database user that exists from the start.
    pub user: String,
    /// How it reaches the verifier.
    pub authentication: Authentication,
    /// Reason for that method, if PAM was not available.
    #[serde(alias = "because", skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Creator.
    #[serde(default, alias = "maker", skip_serializing_if = "is_default")]
    pub created_by: CreatedBy,
    /// State in which the next start leaves it.
    #[serde(default, alias = "standing", skip_serializing_if = "is_default")]
    pub desired_state: DesiredState,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A server that was requested and cannot run on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedServer {
    /// Instance name.
    pub instance: InstanceId,
    /// Database engine.
    pub engine: Engine,
    /// Reason.
    #[serde(alias = "because")]
    pub reason: String,
}

/// Selects a server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum InstanceSelector {
    /// By name.
    Named(InstanceId),
    /// The first one of these engines.
    Of(Vec<Engine>),
    /// The first one.
    #[default]
    First,
}

/// Phase of a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Servers are being started: the listed ones may run.
    Starting,
    /// All listed servers run.
    Ready,
}

/// Contents of the state file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Id of the process that runs the stack.
    pub pid: u32,
    /// Phase of the start.
    pub phase: Phase,
    /// Directory of the stack.
    pub dir: PathBuf,
    /// AWS account of every instance.
    pub account: AccountId,
    /// AWS region of every instance.
    pub region: Region,
    /// Path of the verifier's Unix socket.
    pub socket: PathBuf,
    /// Address of the LDAP listener.
    pub ldap: Option<SocketAddr>,
    /// URL of the AWS API.
    pub aws_endpoint_url: Option<String>,
    /// URL of the metadata service, if requested.
    pub metadata_endpoint: Option<String>,
    /// URL of the OpenID Connect issuer of service account tokens.
    #[serde(default = "default_issuer")]
    pub issuer: String,
    /// Path of the CA certificate that clients trust.
    pub ca: PathBuf,
    /// Path of the decision log.
    pub audit_log: PathBuf,
    /// Servers.
    pub instances: Vec<InstanceState>,
    /// Servers that were requested and cannot run here.
    #[serde(alias = "left_out")]
    pub skipped: Vec<SkippedServer>,
    /// System users, besides the servers' own, whose processes may query the verifier.
    pub allowed_users: Vec<String>,
}

fn default_issuer() -> String {
    countersign_authority::issuer::DEFAULT_URL.to_owned()
}

impl State {
    /// Reads the state last written, whether or not the stack runs. `None` if there is none.
    ///
    /// # Errors
    /// [`LocalError::File`], or [`LocalError::Unusable`] for a file of another format.
    pub fn read(layout: &Layout) -> Result<Option<Self>, LocalError> {
        let path = layout.state_file();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(&path)(error)),
        };
        let parsed = serde_json::from_slice(&text);
        parsed.map(Some).map_err(|error| {
            LocalError::Unusable(format!(
                "cannot read {}: another version wrote it: {error}",
                path.display()
            ))
        })
    }

    /// Reads the state of a running stack.
    ///
    /// # Errors
    /// [`LocalError::NotRunning`] if no stack runs, and those of [`State::read`].
    pub fn read_running(layout: &Layout) -> Result<Self, LocalError> {
        let not_running = || LocalError::NotRunning(layout.root().to_owned());
        if Lock::holder(layout)?.is_none() {
            return Err(not_running());
        }
        Self::read(layout)?.filter(|state| state.phase == Phase::Ready).ok_or_else(not_running)
    }

    /// Returns the selected instance.
    ///
    /// # Errors
    /// [`LocalError::Unusable`], with the names of all instances.
    pub fn instance(&self, which: &InstanceSelector) -> Result<&InstanceState, LocalError> {
        let found = self.instances.iter().find(|instance| match which {
            InstanceSelector::Named(name) => instance.instance == *name,
            InstanceSelector::Of(engines) => engines.contains(&instance.engine),
            InstanceSelector::First => true,
        });
        found.ok_or_else(|| {
            let names: Vec<&str> =
                self.instances.iter().map(|instance| instance.instance.as_str()).collect();
            let skipped = self
                .skipped
                .iter()
                .map(|left| format!("; {} was skipped: {}", left.instance, left.reason))
                .collect::<String>();
            LocalError::Unusable(format!(
                "no such instance: --instance is one of {}{skipped}",
                names.join(", ")
            ))
        })
    }

    pub(crate) fn write(&self, layout: &Layout) -> Result<(), LocalError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| LocalError::Unusable(format!("cannot write the state: {error}")))?;
        write_atomically(&layout.state_file(), &text, 0o644, None)
    }
}

/// Lock of a running stack. The system releases it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock and writes this process's id into it. `None` if another process holds it.
    pub(crate) fn try_take(layout: &Layout) -> Result<Option<Self>, LocalError> {
        let path = layout.lock_file();
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(at(&path))?;
        // `Lock::holder` of another process takes the lock for an instant.
        for _ in 0..50 {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    let written =
                        file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
                    return written.map(|()| Some(Self { _file: file })).map_err(at(&path));
                }
                Err(rustix::io::Errno::WOULDBLOCK) if Self::holder(layout)?.is_none() => {
                    std::thread::sleep(Duration::from_millis(1))
                }
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(at(&path)(error.into())),
            }
        }
        Ok(None)
    }

    /// Returns the process that holds the lock.
    pub(crate) fn holder(layout: &Layout) -> Result<Option<Pid>, LocalError> {
        let path = layout.lock_file();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let root = layout.root().display();
                return Err(LocalError::Unusable(format!(
                    "cannot read the stack in {root}: it belongs to another user; run as that \
                     user, or pass another --dir"
                )));
            }
            Err(error) => return Err(at(&path)(error)),
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let text = fs::read_to_string(&path).map_err(at(&path))?;
                Ok(text.trim().parse().ok().and_then(Pid::from_raw))
            }
            Err(error) => Err(at(&path)(error.into())),
        }
    }
}

#[cfg(test)]
mod tests;
