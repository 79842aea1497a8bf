//! What the authority knows about: each record is one row of its store, written as JSON.

mod account;
mod federation;
mod identity;
mod instance;
mod key;
mod policy;
mod rds;

pub use account::{Account, Level};
pub use federation::{ContainerGrant, OidcProvider, PortalGrant, SecretRecord, ServiceAccount};
pub use identity::{Group, Identity, IdentityKind, InstanceProfile, Role, User};
pub use instance::{Address, Instance};
pub use key::AccessKey;
pub use policy::{AwsPolicy, ManagedPolicy, PolicyVersion, Tags};
pub use rds::{CustomEndpoint, DbCluster, DbInstance, DbProxy, DbStatus, Endpoint, ProxyAuth};

use std::time::{Duration, SystemTime};

/// Seconds since 1970, as records have them.
#[must_use]
pub fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The instant of [`seconds`].
#[must_use]
pub fn instant(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
