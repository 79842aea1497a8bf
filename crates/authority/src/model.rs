//! Records of the authority's store. Each record is one row, encoded as JSON.

mod federation;
mod identity;
mod instance;
mod key;
mod policy;
mod rds;

pub use federation::{ContainerGrant, OidcProvider, PortalGrant, SecretRecord, ServiceAccount};
pub use identity::{
    Account, Group, Identity, IdentityKind, InstanceProfile, Level, PrincipalRecord, Role, User,
};
pub use instance::{Address, Instance};
pub use key::AccessKey;
pub use policy::{AwsPolicy, ManagedPolicy, PolicyVersion, Tags};
pub use rds::{CustomEndpoint, DbCluster, DbInstance, DbProxy, DbStatus, Endpoint, ProxyAuth};

use std::time::{Duration, SystemTime};

/// Returns the seconds since 1970-01-01T00:00:00Z, the form of all instants in records.
#[must_use]
pub fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Returns the instant that is `seconds` after 1970-01-01T00:00:00Z.
#[must_use]
pub fn instant(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
