//! Grants through which pods, containers and people get a role's credentials.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use countersign_core::name::InvalidName;
use zeroize::Zeroizing;

use super::error::StoreError;
use super::handle::Store;
use super::state::account_key;
use crate::model::{ContainerGrant, PortalGrant, ServiceAccount, seconds};
use crate::random;

/// Request for a sign-in to the SSO portal.
#[derive(Debug, Clone, Copy)]
pub struct PortalRequest<'a> {
    /// Name of the user, used as role session name: 2 to 64 of `[A-Za-z0-9_+=,.@-]`.
    pub user: &'a str,
    /// ARN of a role that the portal is to offer.
    pub role: &'a str,
    /// Access token of an earlier sign-in.
    pub token: Option<&'a str>,
    /// Lifetime of a new token.
    pub lifetime: Duration,
}

/// Sign-in to the SSO portal.
pub struct PortalAccess {
    /// Access token.
    pub token: Zeroizing<String>,
    /// ARNs of the roles that the portal offers.
    pub roles: Vec<String>,
    /// Time of expiry, in seconds since 1970.
    pub expires: u64,
}

impl std::fmt::Debug for PortalAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PortalAccess")
            .field("roles", &self.roles)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Creates a service account unless it exists. If `role` is given, associates it by EKS Pod
    /// Identity.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`] for a name that Kubernetes rejects, [`StoreError::Database`].
    pub fn ensure_service_account(
        &self,
        namespace: &str,
        name: &str,
        role: Option<&str>,
    ) -> Result<Arc<ServiceAccount>, StoreError> {
        for (field, value, max_length) in
            [("the namespace", namespace, 63), ("the service account", name, 253)]
        {
            let plain = value.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
            });
            let ends = [value.as_bytes().first(), value.as_bytes().last()];
            let alphanumeric = |end: &Option<&u8>| end.is_some_and(u8::is_ascii_alphanumeric);
            if !plain
                || value.len() > max_length
                || !ends.iter().all(alphanumeric)
                || (max_length == 63 && value.contains('.'))
            {
                return Err(InvalidName::new(
                    field,
                    format!("{value:?} is not a Kubernetes name (RFC 1123)"),
                )
                .into());
            }
        }
        self.change(|draft| {
            let known = draft.service_accounts.get(&account_key(namespace, name));
            if let Some(known) =
                known.filter(|known| role.is_none() || known.pod_identity_role.as_deref() == role)
            {
                return Ok(Arc::clone(known));
            }
            draft.put(ServiceAccount {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                pod_identity_role: role.map(str::to_owned),
            })
        })
    }

    /// Returns the container grant for a role, after creating it if necessary.
    ///
    /// # Errors
    /// [`StoreError::Random`], [`StoreError::Database`].
    pub fn ensure_container(&self, role: &str) -> Result<Arc<ContainerGrant>, StoreError> {
        let (id, token) = (random::uuid()?, random::secret(43)?);
        self.change(|draft| match draft.containers.values().find(|grant| grant.role == role) {
            Some(grant) => Ok(Arc::clone(grant)),
            None => draft.put(ContainerGrant {
                id: id.clone(),
                role: role.to_owned(),
                token: token.clone(),
            }),
        })
    }

    /// Signs a user in to the SSO portal for a role. Keeps the given access token if at least half
    /// of its lifetime remains. Deletes expired grants.
    ///
    /// # Errors
    /// [`StoreError::InvalidName`], [`StoreError::Random`], [`StoreError::Database`].
    pub fn ensure_portal_access(
        &self,
        request: &PortalRequest<'_>,
        now: SystemTime,
    ) -> Result<PortalAccess, StoreError> {
        let PortalRequest { user, role, token, lifetime } = *request;
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
        if !(2..=64).contains(&user.len()) || !user.bytes().all(word) {
            return Err(InvalidName::new(
                "the user",
                format!("{user:?} is not 2 to 64 letters, digits or characters of _+=,.@-"),
            )
            .into());
        }
        let fresh = random::secret(64)?;
        self.change(|draft| {
            let ended: Vec<String> = draft
                .portal
                .values()
                .filter(|grant| grant.expires <= seconds(now))
                .map(|grant| grant.token_hash.clone())
                .collect();
            for hash in ended {
                draft.remove::<PortalGrant>(&hash);
            }
            let held = token.and_then(|token| Some((token, draft.portal.get(&token_hash(token))?)));
            let held = held.filter(|(_, grant)| grant.user == user);
            let young = |grant: &PortalGrant| grant.expires >= seconds(now + lifetime / 2);
            let (token, mut grant) = match held {
                Some((token, grant)) if young(grant) => {
                    (Zeroizing::new(token.to_owned()), PortalGrant::clone(grant))
                }
                held => {
                    let roles = held.map(|(_, grant)| grant.roles.clone()).unwrap_or_default();
                    let (token_hash, user, expires) =
                        (token_hash(&fresh), user.to_owned(), seconds(now + lifetime));
                    (fresh.clone(), PortalGrant { token_hash, user, roles, expires })
                }
            };
            if !grant.roles.iter().any(|known| known == role) {
                grant.roles.push(role.to_owned());
            }
            let access = PortalAccess { token, roles: grant.roles.clone(), expires: grant.expires };
            draft.put(grant)?;
            Ok(access)
        })
    }
}

/// Returns the hash under which a portal grant is stored, so that a reader of the store does not
/// learn the tokens.
pub fn token_hash(token: &str) -> String {
    digest(&SHA256, token.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
