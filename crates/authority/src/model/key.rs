//! Access keys: what users sign with for good.

use std::fmt;

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::name::{AccessKeyId, AccountId};
use countersign_core::token::KeyStatus;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A user's access key. Its secret is in the store as it is: whoever checks a signature needs it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// `AKIA…`
    pub id: AccessKeyId,
    /// The user's account.
    pub account: AccountId,
    /// The user's name.
    pub user: String,
    /// The secret half.
    pub secret: Zeroizing<String>,
    /// Whether it may be used.
    pub status: KeyStatus,
    /// When it was made, in seconds since 1970.
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
    /// What signatures are checked with; none where the secret is empty, which none of the authority's own is.
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
