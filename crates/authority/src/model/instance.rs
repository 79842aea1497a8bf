//! Database instances as the verifier needs them.

use countersign_core::arn::Arn;
use countersign_core::endpoint::{Endpoint, HostName};
use countersign_core::name::{AccountId, DbUser, Engine, InstanceId, ResourceId};
use countersign_core::region::Region;
use serde::{Deserialize, Serialize};

/// A name and port that a server is reached under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The host as tokens name it.
    pub host: HostName,
    /// The port.
    pub port: u16,
    /// What policies name the database by, where it is reached so: a proxy has a resource id of its own. Without one it is the
    /// instance's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<ResourceId>,
}

/// A database instance: one server that asks the verifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its name, by which the server asks. It is the only one of that name in all accounts and regions.
    pub name: InstanceId,
    /// The account that it belongs to.
    pub account: AccountId,
    /// What policies name it by: the cluster's for a member of one.
    pub resource_id: ResourceId,
    /// The server's kind.
    pub engine: Engine,
    /// Where it is.
    pub region: Region,
    /// Whether IAM authentication is switched on.
    pub iam_enabled: bool,
    /// Every name and port that tokens may be signed for.
    pub addresses: Vec<Address>,
}

impl Instance {
    /// What `rds-db:connect` is decided on for `user`, where the instance is reached at `endpoint`.
    #[must_use]
    pub fn resource(&self, user: &DbUser, endpoint: Option<&Endpoint>) -> Arn {
        let reached = |address: &&Address| {
            endpoint.is_some_and(|at| at.host == address.host && at.port == address.port)
        };
        let named =
            self.addresses.iter().find(reached).and_then(|address| address.resource_id.as_ref());
        Arn::db_user(
            self.region.partition(),
            &self.region,
            &self.account,
            named.unwrap_or(&self.resource_id),
            user,
        )
    }

    /// The addresses as tokens are checked against.
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
