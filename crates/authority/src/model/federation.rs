//! Where identities come from that have no key here: identity providers, and the credentials that machines are given.

use std::fmt;

use countersign_core::name::AccountId;
use countersign_core::region::Partition;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Tags;

/// An OpenID Connect provider whose tokens roles may trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OidcProvider {
    /// The account that trusts it.
    pub account: AccountId,
    /// The partition of its ARN.
    pub partition: Partition,
    /// The issuer without `https://`, as in the provider's ARN and in condition keys.
    pub host: String,
    /// The issuer's URL as its tokens have it in `iss`.
    pub url: String,
    /// The audiences that it may issue tokens for.
    pub client_ids: Vec<String>,
    /// Fingerprints of its server's certificates, kept as they were given. (AWS no longer goes by them where a well-known CA
    /// signed the certificate; here the system's roots decide.)
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thumbprints: Vec<String>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

impl OidcProvider {
    /// `arn:PARTITION:iam::ACCOUNT:oidc-provider/HOST`
    #[must_use]
    pub fn arn(&self) -> String {
        format!("arn:{}:iam::{}:oidc-provider/{}", self.partition, self.account, self.host)
    }
}

/// A Kubernetes service account of the authority's own issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAccount {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The ARN of the role that EKS Pod Identity gives its pods: an association. IRSA needs none: there the pod names the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_identity_role: Option<String>,
}

/// A container's right to a role's credentials, by ECS's endpoint.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerGrant {
    /// The last part of the URL.
    pub id: String,
    /// The ARN of the role.
    pub role: String,
    /// What the container sends as `Authorization`.
    pub token: Zeroizing<String>,
}

/// A person's sign-in to the SSO portal.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortalGrant {
    /// SHA-256 of the access token, in hexadecimal: the token itself is the person's.
    pub token_hash: String,
    /// The user who signed in, as session name.
    pub user: String,
    /// The ARNs of the roles that the portal offers.
    pub roles: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub expires: u64,
}

/// A key of the authority's own, under a name: `session/…` seals session tokens, `issuer/…` signs identity tokens.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRecord {
    /// Its name.
    pub name: String,
    /// The key, as text.
    pub text: Zeroizing<String>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
}

impl fmt::Debug for ContainerGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContainerGrant")
            .field("id", &self.id)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PortalGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortalGrant")
            .field("user", &self.user)
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SecretRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretRecord").field("name", &self.name).finish_non_exhaustive()
    }
}
