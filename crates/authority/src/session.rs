//! Temporary credentials: of a user, an assumed role or a federated user.
//!
//! The authority stores no sessions. All data of a session, including its secret key, is sealed in
//! its session token, so that every authority with the same store can verify it. The permissions of
//! a session follow from the current policies of its user or role. Deleting the user or role ends
//! its sessions, and a policy on `aws:TokenIssueTime` ends those issued before an instant, as on
//! AWS.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::name::{AccessKeyId, AccountId};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::model::{Tags, instant};
use crate::random;
use crate::seal::{SealError, SealingKey};

/// Identity that a session belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// Session of a user (`GetSessionToken`).
    User {
        /// Name of the user.
        name: String,
    },
    /// Session of an assumed role.
    Role {
        /// Name of the role.
        name: String,
        /// Role session name: 2 to 64 of `[A-Za-z0-9_+=,.@-]`.
        session: String,
    },
    /// Federated user with a part of a user's permissions (`GetFederationToken`).
    Federated {
        /// Name of the user.
        user: String,
        /// Name of the federated user: 2 to 32 characters.
        name: String,
    },
}

/// Data of a session, which its session token holds sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Account of the user or role, 12 digits.
    pub account: AccountId,
    /// Identity that the session belongs to.
    pub subject: Subject,
    /// Unique id of the user or role. A later identity of the same name does not match.
    pub unique_id: String,
    /// Time of issue, in seconds since 1970.
    pub issued: u64,
    /// Time of expiry, in seconds since 1970.
    pub expires: u64,
    /// Session policies: documents that limit the permissions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// ARNs of managed policies that limit the permissions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy_arns: Vec<String>,
    /// Session tags, which take precedence over the tags of the identity.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Keys of the tags that sessions of chained roles inherit (`TransitiveTagKeys`).
    ///
    /// The alias is the name in session tokens of earlier builds.
    #[serde(default, alias = "transitive", skip_serializing_if = "Vec::is_empty")]
    pub transitive_tag_keys: Vec<String>,
    /// Source identity, which persists through a chain of roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_identity: Option<String>,
    /// Condition keys that hold for the session's lifetime: `aws:FederatedProvider`, `ISSUER:sub`,
    /// …
    ///
    /// The alias is the name in session tokens of earlier builds.
    #[serde(default, alias = "facts", skip_serializing_if = "BTreeMap::is_empty")]
    pub context_keys: BTreeMap<String, String>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("account", &self.account)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// Plaintext of a session token.
#[derive(Serialize, Deserialize)]
struct Sealed {
    secret: Zeroizing<String>,
    #[serde(flatten)]
    session: Session,
}

impl Session {
    /// Issues credentials with an id `ASIA…` and the session sealed in their token.
    ///
    /// # Errors
    /// [`SealError::Random`], [`SealError::Encode`]; [`SealError::TooLong`] if the session exceeds
    /// the maximum size of a token.
    pub fn issue(&self, sealing: &SealingKey) -> Result<Credentials, SealError> {
        let credentials = random::credentials("ASIA").map_err(|_| SealError::Random)?;
        let sealed = Sealed {
            secret: Zeroizing::new(credentials.secret.expose().to_owned()),
            session: self.clone(),
        };
        let text = Zeroizing::new(serde_json::to_vec(&sealed).map_err(|_| SealError::Encode)?);
        let token = sealing.seal(&text, credentials.access_key_id.as_str().as_bytes())?;
        Ok(Credentials {
            session_token: Secret::new(token.as_str()),
            expires: Some(instant(self.expires)),
            ..credentials
        })
    }

    /// Opens `token`, which must have come with the access key `id`, and returns its session and
    /// credentials. Does not check the expiry.
    #[must_use]
    pub fn open(
        sealing: &SealingKey,
        id: &AccessKeyId,
        token: &str,
    ) -> Option<(Self, Credentials)> {
        let text = sealing.open(token, id.as_str().as_bytes())?;
        let Sealed { secret, session } = serde_json::from_slice(&text).ok()?;
        let credentials = Credentials {
            access_key_id: id.clone(),
            secret: Secret::new(secret.as_str())?,
            session_token: Secret::new(token),
            expires: Some(instant(session.expires)),
        };
        Some((session, credentials))
    }

    /// Returns the time of expiry.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        instant(self.expires)
    }
}
