//! AWS accounts, and the organization's policies above them.

use std::collections::BTreeMap;

use countersign_core::name::AccountId;
use countersign_core::region::Partition;
use serde::{Deserialize, Serialize};

/// The policies at one level of an organization, by name.
pub type Level = BTreeMap<String, String>;

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its twelve digits.
    pub id: AccountId,
    /// The partition that all its ARNs are in.
    pub partition: Partition,
    /// What its principals may do at the most: one level for each of root, units and account. Level 0 is the root's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_control: Vec<Level>,
    /// What may be done to its resources at the most, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_control: Vec<Level>,
}
