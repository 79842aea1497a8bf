//! The authenticated identity of a token.

use crate::arn::Arn;
use crate::name::{AccessKeyId, AccountId, InvalidName};
use crate::policy::Caller;
use crate::token::VerifiedToken;

/// The identity that owns an access key, from the authority's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOwner {
    /// The user, or the session of an assumed role:
    /// `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`.
    pub arn: Arn,
    /// The account that the identity belongs to.
    pub account: AccountId,
    /// `AIDA…` of a user, `AROA…:SESSION` of a role session.
    pub unique_id: String,
    /// The role of a session, with its path.
    pub role: Option<Arn>,
    /// Tags of the session, then those of the identity.
    pub tags: Vec<(String, String)>,
}

/// An authenticated identity. It is constructed only from a [`VerifiedToken`] and the owner of the
/// key that signed it.
#[derive(Debug, Clone)]
pub struct Principal {
    owner: KeyOwner,
    access_key_id: AccessKeyId,
}

impl Principal {
    /// Returns the principal that `token` authenticates.
    #[must_use]
    pub fn new(token: &VerifiedToken, owner: KeyOwner) -> Self {
        Self { owner, access_key_id: token.access_key_id().clone() }
    }

    /// Returns the caller for policy evaluation.
    ///
    /// # Errors
    /// The ARN is not that of an identity.
    pub fn caller(&self) -> Result<Caller, InvalidName> {
        let caller = Caller::new(&self.owner.arn)?.with_unique_id(&self.owner.unique_id);
        Ok(match &self.owner.role {
            Some(role) => caller.with_role(role),
            None => caller,
        })
    }

    /// The user's or session's ARN.
    #[must_use]
    pub fn arn(&self) -> &Arn {
        &self.owner.arn
    }

    /// The owner of the key.
    #[must_use]
    pub fn identity(&self) -> &KeyOwner {
        &self.owner
    }

    /// The key that signed.
    #[must_use]
    pub fn access_key_id(&self) -> &AccessKeyId {
        &self.access_key_id
    }
}
