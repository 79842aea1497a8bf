//! Configuration of a stack to start.

use std::net::IpAddr;
use std::path::PathBuf;

use countersign_authority::verifier::VerifierConfig;
use countersign_aws_api::Machine;
use countersign_core::name::{AccountId, Engine, InstanceId};
use countersign_core::region::Region;

use crate::{Layout, Version};

/// How PostgreSQL servers reach the verifier. MariaDB and MySQL always use their plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuthPreference {
    /// PAM if it can be set up, otherwise LDAP.
    #[default]
    Automatic,
    /// PAM; an error if it cannot be set up.
    Pam,
    /// LDAP.
    Ldap,
}

/// A server to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSpec {
    /// Instance name.
    pub instance: InstanceId,
    /// Database engine.
    pub engine: Engine,
    /// Version; `None` selects the newest installed one.
    pub version: Option<Version>,
    /// Port; `None` selects the port of the previous run, or a free one.
    pub port: Option<u16>,
}

/// Configuration of a stack to start.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Paths of the stack.
    pub layout: Layout,
    /// Servers to start. If empty: those of the previous run, or one PostgreSQL server.
    pub servers: Vec<ServerSpec>,
    /// How PostgreSQL servers reach the verifier.
    pub preference: AuthPreference,
    /// Path of the PAM module, if found.
    pub pam_module: Option<PathBuf>,
    /// Path of the MariaDB and MySQL plugin, if found.
    pub mysql_plugin: Option<PathBuf>,
    /// Directory into which [`crate::install`] unpacks newer versions.
    pub unpacked: PathBuf,
    /// AWS account of every resource.
    pub account: AccountId,
    /// AWS region of every resource.
    pub region: Region,
    /// Address of the LDAP listener, if a server needs one.
    pub ldap_address: IpAddr,
    /// System users, besides the user that runs the servers, whose processes may query the
    /// verifier.
    pub allowed_users: Vec<String>,
    /// Configuration of the verifier.
    pub settings: VerifierConfig,
    /// URL of the OpenID Connect issuer of service account tokens.
    pub issuer: String,
    /// Machine whose metadata service listens on loopback. Every local user can reach it.
    pub machine: Option<Machine>,
    /// File with the initial state of the authority, instead of [`crate::seed::DEFAULT`].
    pub seed_file: Option<PathBuf>,
}
