//! Database instances, as the verifier uses them.

use countersign_core::arn::Arn;
use countersign_core::endpoint::{Endpoint, HostName};
use countersign_core::name::{AccountId, DbUser, Engine, InstanceId, ResourceId};
use countersign_core::region::Region;
use serde::{Deserialize, Serialize};

/// Host and port at which clients reach a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Host name or IP address, as tokens name it.
    pub host: HostName,
    /// TCP port.
    pub port: u16,
    /// Resource id that policies use for connections to this address; an RDS Proxy has its own.
    /// `None`: the resource id of the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<ResourceId>,
}

/// A database instance: one server that sends requests to the verifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Name, which the server sends in its requests. Unique over all accounts and regions.
    pub name: InstanceId,
    /// Owning account, 12 digits.
    pub account: AccountId,
    /// Resource id that policies use: `db-…`, or `cluster-…` for a member of a cluster.
    pub resource_id: ResourceId,
    /// Database engine.
    pub engine: Engine,
    /// AWS region.
    pub region: Region,
    /// True if IAM authentication is enabled.
    pub iam_enabled: bool,
    /// Addresses that tokens may be signed for.
    pub addresses: Vec<Address>,
}

impl Instance {
    /// Returns the resource of `rds-db:connect` for `user` on a connection to `endpoint`.
    #[must_use]
    pub fn resource(&self, user: &DbUser, endpoint: Option<&Endpoint>) -> Arn {
        let matches = |address: &&Address| {
            endpoint.is_some_and(|at| at.host == address.host && at.port == address.port)
        };
        let resource_id =
            self.addresses.iter().find(matches).and_then(|address| address.resource_id.as_ref());
        Arn::db_user(
            self.region.partition(),
            &self.region,
            &self.account,
            resource_id.unwrap_or(&self.resource_id),
            user,
        )
    }

    /// Returns the addresses in the form that tokens are checked against.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Endpoint> {
        let endpoint = |at: &Address| Endpoint {
            engine: self.engine,
            host: at.host.clone(),
            port: at.port,
            region: self.region.clone(),
        };
        self.addresses.iter().map(endpoint).collect()
    }
}
