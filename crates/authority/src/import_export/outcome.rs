//! What an import did.

use std::fmt;

use countersign_core::name::AccessKeyId;
use zeroize::Zeroizing;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It was not there.
    Created,
    /// It was there and is different now.
    Changed,
}

/// A record that was created or changed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// What became of it.
    pub done: ChangeKind,
    /// Which kind of record it is: `user`, `role`, `access-key`, …
    pub kind: &'static str,
    /// Its ARN, or its name where it has none.
    pub what: String,
}

/// An access key that was made because the file asks for one.
#[derive(Clone, PartialEq, Eq)]
pub struct CreatedAccessKey {
    /// The ARN of the user.
    pub user: String,
    /// The key.
    pub id: AccessKeyId,
    /// The secret half, which nothing shows again but an export with secrets.
    pub secret: Zeroizing<String>,
}

impl fmt::Debug for CreatedAccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedKey")
            .field("user", &self.user)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl ImportSummary {
    /// The outcome of a dry run: the keys that would be made are none.
    pub(super) fn without_keys(mut self) -> Self {
        for key in std::mem::take(&mut self.keys) {
            let made = self.changes.iter_mut().filter(|change| change.what == key.id.as_str());
            made.for_each(|change| change.what = format!("for {}", key.user));
        }
        self
    }
}

/// What an import did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportSummary {
    /// What was created or changed, in the order in which it was done.
    pub changes: Vec<Change>,
    /// How many records of the file were so already.
    pub unchanged: usize,
    /// The access keys that were made.
    pub keys: Vec<CreatedAccessKey>,
}
