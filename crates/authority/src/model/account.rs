//! AWS accounts with the control policies of their organization.

use std::collections::BTreeMap;

use countersign_core::name::AccountId;
use countersign_core::region::Partition;
use serde::{Deserialize, Serialize};

/// Documents of the control policies at one level of an organization, by policy name.
pub type Level = BTreeMap<String, String>;

/// AWS account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Account id, 12 digits.
    pub id: AccountId,
    /// Partition of all ARNs of the account.
    pub partition: Partition,
    /// Service control policies, which limit the account's principals: one entry for each of root,
    /// organizational units and account. Index 0 is the root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_control: Vec<Level>,
    /// Resource control policies, which limit the access to the account's resources; same order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_control: Vec<Level>,
}
