//! What runs in a directory, as other commands read it.

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

/// How a server asks the verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Authentication {
    /// By the PAM module, over the Unix socket.
    Pam,
    /// By LDAP on loopback.
    Ldap,
    /// By the plugin of MariaDB and MySQL, over the Unix socket.
    Plugin,
}

impl Authentication {
    /// `pam`, `ldap` or `plugin`
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pam => "pam",
            Self::Ldap => "ldap",
            Self::Plugin => "plugin",
        }
    }
}

/// Who had a server made, and so looks after its users and databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CreatedBy {
    /// `local up`: its IAM users are those of `local user`.
    #[default]
    CommandLine,
    /// A client of the RDS API: it has a master user, and whoever that makes.
    Api,
}

/// What is to become of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DesiredState {
    /// It runs, and is started again with the stack.
    #[default]
    Up,
    /// It was stopped through the RDS API, and stays so.
    Stopped,
    /// It is being made or taken away: the next start takes away what is left of it.
    Partial,
}

/// A server that runs, or ran, in the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceState {
    /// Its name.
    pub instance: InstanceId,
    /// What policies name it by.
    pub resource_id: ResourceId,
    /// The server's kind.
    pub engine: Engine,
    /// The server's version.
    pub version: Version,
    /// The host that tokens are signed for.
    pub host: HostName,
    /// The port that it listens on.
    pub port: u16,
    /// A database that is there.
    pub database: String,
    /// The database user that is there from the start.
    pub user: String,
    /// How it asks.
    pub authentication: Authentication,
    /// Why it asks so, where PAM was not to be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who had it made.
    #[serde(default, skip_serializing_if = "is_default")]
    pub maker: CreatedBy,
    /// What is to become of it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub standing: DesiredState,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A server that was asked for and can't be had on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedServer {
    /// Its name.
    pub instance: InstanceId,
    /// The server's kind.
    pub engine: Engine,
    /// Why.
    pub reason: String,
}

/// Which server is meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Which {
    /// The one of this name.
    Named(InstanceId),
    /// The first of one of these engines.
    Of(Vec<Engine>),
    /// The first.
    #[default]
    First,
}

/// How far a stack has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Its servers are being started: those that are listed may run.
    Starting,
    /// All that is listed runs.
    Ready,
}

/// What runs, or ran, in the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The process that runs it.
    pub pid: u32,
    /// How far it has come.
    pub phase: Phase,
    /// The directory.
    pub dir: PathBuf,
    /// The one account.
    pub account: AccountId,
    /// Where its instances are.
    pub region: Region,
    /// The verifier's socket.
    pub socket: PathBuf,
    /// The LDAP front.
    pub ldap: Option<SocketAddr>,
    /// Where AWS clients find STS.
    pub aws_endpoint_url: Option<String>,
    /// Where the machine's metadata are, where somebody asked for them.
    pub metadata_endpoint: Option<String>,
    /// How the issuer of service accounts' tokens calls itself.
    #[serde(default = "usual_issuer")]
    pub issuer: String,
    /// The certificate that clients trust.
    pub ca: PathBuf,
    /// The file of decisions.
    pub audit_log: PathBuf,
    /// The servers.
    pub instances: Vec<InstanceState>,
    /// Those that were asked for and can't be had.
    pub left_out: Vec<SkippedServer>,
    /// The system users, beside the servers' own, who may ask.
    pub allowed_users: Vec<String>,
}

fn usual_issuer() -> String {
    countersign_authority::issuer::DEFAULT_URL.to_owned()
}

impl State {
    /// The state last written, whether or not it runs; none where nothing ever did.
    ///
    /// # Errors
    /// [`LocalError::File`], [`LocalError::Unusable`] for a file of another form.
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
                "{} was not written by this version: {error}",
                path.display()
            ))
        })
    }

    /// The state of what runs now.
    ///
    /// # Errors
    /// [`LocalError::NotRunning`] where nothing does, and those of [`State::read`].
    pub fn of_running(layout: &Layout) -> Result<Self, LocalError> {
        let not_running = || LocalError::NotRunning(layout.root().to_owned());
        if Lock::holder(layout)?.is_none() {
            return Err(not_running());
        }
        Self::read(layout)?.filter(|state| state.phase == Phase::Ready).ok_or_else(not_running)
    }

    /// The instance that is meant: by its name, or the first of an engine, or the first.
    ///
    /// # Errors
    /// [`LocalError::Unusable`], with the names that there are.
    pub fn instance(&self, which: &Which) -> Result<&InstanceState, LocalError> {
        let found = self.instances.iter().find(|instance| match which {
            Which::Named(name) => instance.instance == *name,
            Which::Of(engines) => engines.contains(&instance.engine),
            Which::First => true,
        });
        found.ok_or_else(|| {
            let names: Vec<&str> =
                self.instances.iter().map(|instance| instance.instance.as_str()).collect();
            let left_out = self
                .left_out
                .iter()
                .map(|left| format!("; {} was left out: {}", left.instance, left.reason))
                .collect::<String>();
            LocalError::Unusable(format!(
                "there is no such instance: --instance is one of {}{left_out}",
                names.join(", ")
            ))
        })
    }

    pub(crate) fn write(&self, layout: &Layout) -> Result<(), LocalError> {
        let text = serde_json::to_vec_pretty(self).map_err(|error| {
            LocalError::Unusable(format!("the state can't be written: {error}"))
        })?;
        write_atomically(&layout.state_file(), &text, 0o644, None)
    }
}

/// Held for as long as the stack runs; the system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// The lock, or nothing where another process holds it. The holder's number is written into it.
    pub(crate) fn try_take(layout: &Layout) -> Result<Option<Self>, LocalError> {
        let path = layout.lock_file();
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(at(&path))?;
        // Others look whether it is held, which holds it for a moment.
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

    /// The process that holds the lock.
    pub(crate) fn holder(layout: &Layout) -> Result<Option<Pid>, LocalError> {
        let path = layout.lock_file();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let root = layout.root().display();
                return Err(LocalError::Unusable(format!(
                    "the stack in {root} is another user's: run as that user, or pass another --dir"
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
