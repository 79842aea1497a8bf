//! Federation: identity providers, and grants through which machines and people get credentials.

use std::fmt;

use countersign_core::name::AccountId;
use countersign_core::region::Partition;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Tags;

/// OpenID Connect provider whose tokens the trust policies of roles may accept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OidcProvider {
    /// Owning account, 12 digits.
    pub account: AccountId,
    /// Partition of the provider's ARN.
    pub partition: Partition,
    /// Issuer without `https://`, as in the provider's ARN and in condition keys.
    pub host: String,
    /// URL of the issuer, equal to `iss` of its tokens.
    pub url: String,
    /// Accepted audiences (`aud`).
    pub client_ids: Vec<String>,
    /// Fingerprints of the server's certificates, stored as given. They have no effect: the
    /// system's root certificates decide. (AWS ignores them too if a well-known CA signed the
    /// certificate.)
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thumbprints: Vec<String>,
    /// Time of creation, in seconds since 1970.
    pub created: u64,
    /// Tags by key.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

impl OidcProvider {
    /// Returns `arn:PARTITION:iam::ACCOUNT:oidc-provider/HOST`.
    #[must_use]
    pub fn arn(&self) -> String {
        format!("arn:{}:iam::{}:oidc-provider/{}", self.partition, self.account, self.host)
    }
}

/// Kubernetes service account of the authority's own issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAccount {
    /// Kubernetes namespace.
    pub namespace: String,
    /// Name in the namespace.
    pub name: String,
    /// ARN of the role that EKS Pod Identity associates with the service account. IRSA needs no
    /// association: the pod names the role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_identity_role: Option<String>,
}

/// Right of a container to a role's credentials, through the container credentials endpoint of ECS.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerGrant {
    /// Last segment of the URL's path.
    pub id: String,
    /// ARN of the role.
    pub role: String,
    /// Value of the `Authorization` header that the container sends.
    pub token: Zeroizing<String>,
}

/// Sign-in of a user to the SSO portal.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortalGrant {
    /// SHA-256 of the access token, in hexadecimal. The store does not hold the token.
    pub token_hash: String,
    /// Name of the user, used as role session name.
    pub user: String,
    /// ARNs of the roles that the portal offers.
    pub roles: Vec<String>,
    /// Time of expiry, in seconds since 1970.
    pub expires: u64,
}

/// Key of the authority. Keys named `session/…` seal session tokens, `issuer/…` sign identity
/// tokens.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRecord {
    /// Name of the key.
    pub name: String,
    /// Key in its text encoding.
    pub text: Zeroizing<String>,
    /// Time of creation, in seconds since 1970.
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
