//! Access keys: long-term credentials of users.

use std::fmt;

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::name::{AccessKeyId, AccountId};
use countersign_core::token::KeyStatus;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Access key of a user. The store holds the secret in clear: verifying a signature requires it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// Access key id, `AKIA…`.
    pub id: AccessKeyId,
    /// Account of the user, 12 digits.
    pub account: AccountId,
    /// Name of the user.
    pub user: String,
    /// Secret access key.
    pub secret: Zeroizing<String>,
    /// Active or inactive.
    pub status: KeyStatus,
    /// Time of creation, in seconds since 1970.
    pub created: u64,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey")
            .field("id", &self.id)
            .field("user", &self.user)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl AccessKey {
    /// Returns the credentials that signatures are verified with; `None` if the secret is empty,
    /// which no key created by the authority is.
    #[must_use]
    pub fn credentials(&self) -> Option<Credentials> {
        let secret = Secret::new(self.secret.as_str())?;
        Some(Credentials {
            access_key_id: self.id.clone(),
            secret,
            session_token: None,
            expires: None,
        })
    }
}
