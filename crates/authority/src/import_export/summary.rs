//! Summary of an import.

use std::fmt;

use countersign_core::name::AccessKeyId;
use zeroize::Zeroizing;

/// Action on a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// The record did not exist.
    Created,
    /// The record existed and is different now.
    Changed,
}

/// Record that was created or changed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// Action on the record.
    pub action: ChangeKind,
    /// Kind of the record: `user`, `role`, `access-key`, …
    pub kind: &'static str,
    /// ARN of the record, or its name if it has none.
    pub name: String,
}

/// Access key that was created because the file requests one.
#[derive(Clone, PartialEq, Eq)]
pub struct CreatedAccessKey {
    /// ARN of the user.
    pub user: String,
    /// Access key id.
    pub id: AccessKeyId,
    /// Secret access key. Only an export with secrets shows it again.
    pub secret: Zeroizing<String>,
}

impl fmt::Debug for CreatedAccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedAccessKey")
            .field("user", &self.user)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl ImportSummary {
    /// Returns the summary of a dry run, which has no created keys.
    pub(super) fn without_keys(mut self) -> Self {
        for key in std::mem::take(&mut self.keys) {
            let created = self.changes.iter_mut().filter(|change| change.name == key.id.as_str());
            created.for_each(|change| change.name = format!("for {}", key.user));
        }
        self
    }
}

/// Result of an import or a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportSummary {
    /// Created and changed records, in the order of the changes.
    pub changes: Vec<Change>,
    /// Number of records in the file that were unchanged.
    pub unchanged: usize,
    /// Created access keys.
    pub keys: Vec<CreatedAccessKey>,
}
