//! What the RDS API keeps of database instances, clusters and proxies, beside what the verifier needs ([`super::Instance`]).

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::endpoint::HostName;
use countersign_core::name::{AccountId, InstanceId, ResourceId};
use countersign_core::region::Region;
use serde::{Deserialize, Serialize};

use super::Tags;

/// Where an instance or a cluster is in its life.
/// Source: "Viewing Amazon RDS DB instance status" in the RDS user guide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "each variant is the status of that name")]
pub enum DbStatus {
    Creating,
    Available,
    Modifying,
    Rebooting,
    Starting,
    Stopping,
    Stopped,
    Deleting,
    Failed,
}

impl DbStatus {
    /// As the API says it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Available => "available",
            Self::Modifying => "modifying",
            Self::Rebooting => "rebooting",
            Self::Starting => "starting",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Deleting => "deleting",
            Self::Failed => "failed",
        }
    }

    /// Whether somebody is at work on it: it does not stay so.
    #[must_use]
    pub const fn is_transitional(self) -> bool {
        !matches!(self, Self::Available | Self::Stopped | Self::Failed)
    }
}

/// A host and port that clients are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The host.
    pub host: HostName,
    /// The port.
    pub port: u16,
}

/// A database instance that was made through the API. Its password is kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbInstance {
    /// Its name, in lower case. It is the only one of that name in all accounts and regions, since servers ask by it.
    pub name: InstanceId,
    /// The account that it belongs to.
    pub account: AccountId,
    /// Where it is.
    pub region: Region,
    /// `db-…`; policies name a member of a cluster by the cluster's.
    pub resource_id: ResourceId,
    /// The engine as it was asked for: `postgres`, `aurora-mysql`, …
    pub engine: String,
    /// The server's whole version.
    pub version: String,
    /// `db.t3.micro`, …: it has no effect.
    pub class: String,
    /// Where it is in its life.
    pub status: DbStatus,
    /// Why it failed, or why the last change of it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The master user.
    pub master: String,
    /// The database that it was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Where clients reach it, once it has been available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// Whether IAM authentication was asked for; [`super::Instance`] says what counts.
    pub iam_enabled: bool,
    /// Changes that wait for the maintenance window, by their names in `PendingModifiedValues`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pending: BTreeMap<String, String>,
    /// The name of its cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Whether it may not be deleted.
    #[serde(default)]
    pub deletion_protection: bool,
    /// The logs that are said to be exported.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub exports: BTreeSet<String>,
    /// What has no effect here, and is given back by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Which of the authorities over this store runs the server.
    pub runner: String,
}

/// A cluster: instances that policies name by one resource id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbCluster {
    /// Its name, in lower case.
    pub name: String,
    /// The account that it belongs to.
    pub account: AccountId,
    /// Where it is.
    pub region: Region,
    /// `cluster-…`
    pub resource_id: ResourceId,
    /// The engine as it was asked for.
    pub engine: String,
    /// The members' whole version.
    pub version: String,
    /// Where it is in its life.
    pub status: DbStatus,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The master user. Its password is among the store's secrets, for the next first instance.
    pub master: String,
    /// The database that the first instance is made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The port that the first instance gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Whether IAM authentication is switched on, for all members.
    pub iam_enabled: bool,
    /// As an instance's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pending: BTreeMap<String, String>,
    /// The instance that is written to: the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<InstanceId>,
    /// Whether it may not be deleted.
    #[serde(default)]
    pub deletion_protection: bool,
    /// As an instance's.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub exports: BTreeSet<String>,
    /// As an instance's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// The custom endpoints, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoints: BTreeMap<String, CustomEndpoint>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// A custom endpoint of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomEndpoint {
    /// `cluster-endpoint-…`
    pub resource_id: String,
    /// Whether it may lead to the writer: `ANY`, else `READER`.
    pub any: bool,
    /// The members that it leads to; where there are none, all but the excluded.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub members: BTreeSet<InstanceId>,
    /// The members that it does not lead to.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub excluded: BTreeSet<InstanceId>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// How a proxy's clients may authenticate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyAuth {
    /// `REQUIRED`, `ENABLED` or `DISABLED`.
    pub iam: String,
    /// What else was given, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

/// A proxy in front of an instance or a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbProxy {
    /// Its name, in lower case.
    pub name: String,
    /// The account that it belongs to.
    pub account: AccountId,
    /// Where it is.
    pub region: Region,
    /// `prx-…`, which policies name it by.
    pub resource_id: ResourceId,
    /// `POSTGRESQL` or `MYSQL`.
    pub family: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// When it was last changed, likewise.
    pub updated: u64,
    /// The role that was given; it has no effect.
    pub role: String,
    /// The subnets that were given; they have no effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<String>,
    /// How clients may authenticate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub auth: Vec<ProxyAuth>,
    /// What has no effect here, and is given back by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// The port that it listens on.
    pub port: u16,
    /// The instance behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// The cluster behind it, whose writer is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Which of the authorities over this store listens for it.
    pub runner: String,
}

impl DbProxy {
    /// Whether tokens for its endpoint are accepted.
    #[must_use]
    pub fn accepts_tokens(&self) -> bool {
        let scheme =
            self.settings.get("DefaultAuthScheme").is_some_and(|scheme| scheme == "IAM_AUTH");
        scheme || self.auth.iter().any(|auth| auth.iam != "DISABLED")
    }
}
