//! Temporary credentials: a user's own, or those of an assumed role.

use std::time::{Duration, SystemTime};

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::name::InvalidName;
use countersign_core::policy::PolicyKind;
use rusqlite::params;

use super::identity::new_credentials;
use super::{Identity, IdentityKind, Store, StoreError, instant, policy, random, seconds};

/// What a session is to be.
#[derive(Debug)]
pub struct SessionRequest<'a> {
    /// The user whose session it is, or the role that is assumed.
    pub identity: &'a Identity,
    /// The name of a role's session: 2 to 64 of `[A-Za-z0-9_+=,.@-]`. A user's session has none.
    pub name: Option<&'a str>,
    /// How long it lasts.
    pub duration: Duration,
    /// What the session may do at the most, beside what the identity may.
    pub policy: Option<&'a str>,
}

impl Store {
    /// Makes a session: a key of the form `ASIA…`, with a session token and an end.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Policy`], [`StoreError::Corrupt`] for a name that does not fit,
    /// [`StoreError::Database`].
    pub fn create_session(&self, request: &SessionRequest<'_>, now: SystemTime) -> Result<Credentials, StoreError> {
        check_name(request)?;
        request.policy.map_or(Ok(()), |document| policy::check("session policy", document, PolicyKind::Identity))?;
        let row = self.row_of(request.identity)?;
        let token = random::secret(300)?;
        // A whole second, as the table keeps it: what is handed out and what is checked are the same instant.
        let expires = seconds(now + request.duration);
        let credentials = Credentials {
            session_token: Secret::new(format!("FwoGZXIvYXdzE{}", token.as_str())),
            expires: Some(instant(expires)),
            ..new_credentials("ASIA")?
        };
        self.run(|db| {
            db.execute("DELETE FROM session WHERE expires < ?1", [seconds(now)])?;
            db.execute(
                "INSERT INTO session (access_key, identity, name, secret, token, expires, policy) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    credentials.access_key_id.as_str(),
                    row,
                    request.name,
                    credentials.secret.expose(),
                    credentials.session_token.as_ref().map(Secret::expose),
                    expires,
                    request.policy
                ],
            )
        })?;
        Ok(credentials)
    }
}

fn check_name(request: &SessionRequest<'_>) -> Result<(), InvalidName> {
    match (request.identity.kind, request.name) {
        (IdentityKind::User, None) => Ok(()),
        (IdentityKind::Role, Some(name)) if name.len() >= 2 => {
            Identity::new(request.identity.account.clone(), IdentityKind::Role, name).map(drop)
        }
        (IdentityKind::Role, _) => Err(InvalidName::new("the session name", "of a role needs at least two characters")),
        (IdentityKind::User, Some(_)) => Err(InvalidName::new("the session name", "is for roles: a user's session has none")),
    }
}
