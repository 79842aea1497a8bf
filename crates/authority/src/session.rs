//! Temporary credentials: a user's own, those of an assumed role, or a federated user's.
//!
//! The authority remembers none of them. All that there is to know of a session, its secret too, is sealed in its session
//! token, so that every authority with the same store can check it. What a session may do is decided by what the user or role
//! may do when it is used; deleting that ends its sessions, and a policy on `aws:TokenIssueTime` ends those of before an instant,
//! as on AWS.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::name::{AccessKeyId, AccountId};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::model::{Tags, instant};
use crate::random;
use crate::seal::SealingKey;
use crate::store::StoreError;

/// Whose session it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Subject {
    /// A user's own: GetSessionToken.
    User {
        /// The user's name.
        name: String,
    },
    /// A role that was assumed.
    Role {
        /// The role's name.
        name: String,
        /// The session's name: 2 to 64 of `[A-Za-z0-9_+=,.@-]`.
        session: String,
    },
    /// Somebody to whom a user lends a part of its rights: GetFederationToken.
    Federated {
        /// The user's name.
        user: String,
        /// The federated user's name: 2 to 32 characters.
        name: String,
    },
}

/// A session, as it is sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The account of the user or role.
    pub account: AccountId,
    /// Whose it is.
    pub subject: Subject,
    /// The unique id of the user or role: another one of the same name is not meant.
    pub unique_id: String,
    /// When it began, in seconds since 1970.
    pub issued: u64,
    /// When it ends, likewise.
    pub expires: u64,
    /// Documents that say what it may do at the most: inline first, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// ARNs of managed policies that say so too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy_arns: Vec<String>,
    /// Tags of the session, which go before those of the identity.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// The keys of the tags that the sessions which come out of this one inherit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transitive_tag_keys: Vec<String>,
    /// Who is behind it all, which stays through a chain of roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_identity: Option<String>,
    /// Further condition keys that hold for as long as the session does: `aws:FederatedProvider`, `ISSUER:sub`, …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
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

/// What is in a session token.
#[derive(Serialize, Deserialize)]
struct Sealed {
    secret: Zeroizing<String>,
    #[serde(flatten)]
    session: Session,
}

impl Session {
    /// Credentials of the form `ASIA…`, with all of the session in their token.
    ///
    /// # Errors
    /// [`StoreError::Random`]; [`StoreError::Corrupt`] for a session with more in it than a token can hold.
    pub fn issue(&self, sealing: &SealingKey) -> Result<Credentials, StoreError> {
        let bare = random::credentials("ASIA")?;
        let sealed = Sealed {
            secret: Zeroizing::new(bare.secret.expose().to_owned()),
            session: self.clone(),
        };
        let unusable = |error: &dyn fmt::Display| {
            StoreError::Corrupt(format!("the session can't be sealed: {error}"))
        };
        let text = Zeroizing::new(serde_json::to_vec(&sealed).map_err(|error| unusable(&error))?);
        let token = sealing
            .seal(&text, bare.access_key_id.as_str().as_bytes())
            .map_err(|error| unusable(&error))?;
        Ok(Credentials {
            session_token: Secret::new(token.as_str()),
            expires: Some(instant(self.expires)),
            ..bare
        })
    }

    /// The session in `token`, which must have come with the access key `id`, and its credentials. Whether it has ended is not
    /// looked at.
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

    /// When it ends.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        instant(self.expires)
    }
}
