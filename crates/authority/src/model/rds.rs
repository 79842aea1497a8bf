//! Records of the RDS API for database instances, clusters and proxies. The verifier uses
//! [`super::Instance`] instead.

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::endpoint::HostName;
use countersign_core::name::{AccountId, InstanceId, ResourceId};
use countersign_core::region::Region;
use serde::{Deserialize, Serialize};

use super::Tags;

/// Status of an instance or a cluster. Source: "Viewing Amazon RDS DB instance status" in the RDS
/// user guide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "each variant is the RDS status of that name")]
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
    /// Returns the status as the RDS API spells it.
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

    /// Returns true if an operation is in progress, so that the status will change by itself.
    #[must_use]
    pub const fn is_transitional(self) -> bool {
        !matches!(self, Self::Available | Self::Stopped | Self::Failed)
    }
}

/// Host and port that the API reports to clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Host name or IP address.
    pub host: HostName,
    /// TCP port.
    pub port: u16,
}

/// Database instance that was created through the API. Its password is not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbInstance {
    /// Name in lower case. Unique over all accounts and regions, because servers identify
    /// themselves by it.
    pub name: InstanceId,
    /// Owning account, 12 digits.
    pub account: AccountId,
    /// AWS region.
    pub region: Region,
    /// Resource id `db-…`. Policies for a member of a cluster use the cluster's resource id
    /// instead.
    pub resource_id: ResourceId,
    /// Engine as requested: `postgres`, `aurora-mysql`, …
    pub engine: String,
    /// Full version of the server, such as `15.18`.
    pub version: String,
    /// Instance class, such as `db.t3.micro`; it has no effect.
    pub class: String,
    /// Current status.
    pub status: DbStatus,
    /// Reason of the failure, if the instance or its last modification failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Time of creation, in seconds since 1970.
    pub created: u64,
    /// Name of the master user.
    pub master: String,
    /// Name of the database created with the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Endpoint; set when the instance first becomes available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Endpoint>,
    /// True if the caller requested IAM authentication; [`super::Instance`] has the setting in
    /// effect.
    pub iam_enabled: bool,
    /// Modifications that wait for the maintenance window, by their names in
    /// `PendingModifiedValues`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pending: BTreeMap<String, String>,
    /// Name of the instance's cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// True if `DeleteDBInstance` is rejected.
    #[serde(default)]
    pub deletion_protection: bool,
    /// Log types that the API reports as exported to CloudWatch Logs.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub exports: BTreeSet<String>,
    /// Settings without effect here, returned unchanged, by parameter name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Tags by key.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Id of the authority process that runs the server, among those that share this store.
    pub runner: String,
}

/// Database cluster: instances that share one resource id in policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbCluster {
    /// Name in lower case; unique in the account and region.
    pub name: String,
    /// Owning account, 12 digits.
    pub account: AccountId,
    /// AWS region.
    pub region: Region,
    /// Resource id, `cluster-…`.
    pub resource_id: ResourceId,
    /// Engine as requested.
    pub engine: String,
    /// Full version of the members' servers.
    pub version: String,
    /// Current status.
    pub status: DbStatus,
    /// Time of creation, in seconds since 1970.
    pub created: u64,
    /// Name of the master user. Its password is among the store's secrets, because the next first
    /// instance needs it.
    pub master: String,
    /// Name of the database created with the first instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// TCP port of the first instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// True if IAM authentication is enabled, for all members.
    pub iam_enabled: bool,
    /// Modifications that wait for the maintenance window, by their names in
    /// `PendingModifiedValues`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pending: BTreeMap<String, String>,
    /// Instance that accepts writes: the first member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<InstanceId>,
    /// True if `DeleteDBCluster` is rejected.
    #[serde(default)]
    pub deletion_protection: bool,
    /// Log types that the API reports as exported to CloudWatch Logs.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub exports: BTreeSet<String>,
    /// Settings without effect here, returned unchanged, by parameter name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Custom endpoints by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub endpoints: BTreeMap<String, CustomEndpoint>,
    /// Tags by key.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// A custom endpoint of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomEndpoint {
    /// Resource id, `cluster-endpoint-…`.
    pub resource_id: String,
    /// True for type `ANY`, which includes the writer; false for `READER`.
    pub any: bool,
    /// Static members. If empty, all members except the excluded ones.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub members: BTreeSet<InstanceId>,
    /// Excluded members.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub excluded: BTreeSet<InstanceId>,
    /// Tags by key.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// One entry of a proxy's `Auth` parameter: how clients may authenticate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyAuth {
    /// `IAMAuth`: `REQUIRED`, `ENABLED` or `DISABLED`.
    pub iam: String,
    /// Other settings of the entry, returned unchanged, by parameter name.
    #[serde(default, alias = "kept", skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

/// RDS Proxy of an instance or a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbProxy {
    /// Name in lower case; unique in the account and region.
    pub name: String,
    /// Owning account, 12 digits.
    pub account: AccountId,
    /// AWS region.
    pub region: Region,
    /// Resource id `prx-…`, which policies use.
    pub resource_id: ResourceId,
    /// Engine family, `POSTGRESQL` or `MYSQL`.
    pub family: String,
    /// Time of creation, in seconds since 1970.
    pub created: u64,
    /// Time of the last modification, in seconds since 1970.
    pub updated: u64,
    /// ARN of the role given by the caller; it has no effect.
    pub role: String,
    /// Subnet ids given by the caller; they have no effect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<String>,
    /// Client authentication.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub auth: Vec<ProxyAuth>,
    /// Settings without effect here, returned unchanged, by parameter name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// TCP port on which the proxy listens.
    pub port: u16,
    /// Target instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// Target cluster; connections go to its writer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Tags by key.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Id of the authority process that listens for this proxy, among those that share this store.
    pub runner: String,
}

impl DbProxy {
    /// Returns true if clients of the proxy may authenticate with IAM tokens.
    #[must_use]
    pub fn accepts_tokens(&self) -> bool {
        let scheme =
            self.settings.get("DefaultAuthScheme").is_some_and(|scheme| scheme == "IAM_AUTH");
        scheme || self.auth.iter().any(|auth| auth.iam != "DISABLED")
    }
}
