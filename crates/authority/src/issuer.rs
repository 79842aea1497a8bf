//! The authority's own OpenID Connect issuer: keys that sign the tokens of service accounts, and
//! their rotation.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use crate::model::{SecretRecord, instant, seconds};
use crate::oidc::issuer_key::{
    ClusterObject, IssuerKey, IssuerKeyError, ServiceAccountClaims, jwks_document,
};
use crate::oidc::jwk::Jwks;
use crate::random;
use crate::store::{State, Store, StoreError, account_key};

/// Default URL of the issuer. It does not resolve (RFC 9476, `.internal`): the authority verifies
/// its own tokens with its own keys, without a request.
pub const DEFAULT_URL: &str = "https://oidc.countersign.internal";

/// Time for which a key signs. The previous key stays in the key set until its tokens have expired.
pub const KEY_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// Prefix of the keys' names in the store: `issuer/KEY-ID`.
const KEY_PREFIX: &str = "issuer/";

/// Reason for which the issuer cannot sign or publish its keys.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key cannot be created, or a stored key is invalid.
    #[error("cannot use a key of the issuer: {0}")]
    Key(#[from] IssuerKeyError),
    /// The published key set cannot be parsed.
    #[error("cannot use the issuer's keys: they do not form a JWK set")]
    Keys,
}

/// Returns the key that signs now: the newest key, or a new one if that is older than
/// [`KEY_LIFETIME`]. Deletes keys whose tokens have all expired.
///
/// # Errors
/// [`SigningKeyError`]
pub fn signing_key(store: &Store, now: SystemTime) -> Result<IssuerKey, SigningKeyError> {
    let newest = |state: &State| records(state).max_by_key(|record| record.created).cloned();
    let young = |record: &Arc<SecretRecord>| now < instant(record.created) + KEY_LIFETIME;
    if let Some(record) = newest(store.state()?.as_ref()).filter(young) {
        return Ok(IssuerKey::from_base64(&record.text)?);
    }
    // The key is generated outside the change, which may run several times.
    let key = IssuerKey::generate()?;
    let text = key.to_base64()?;
    store.change(|draft| {
        if let Some(record) = newest(draft).filter(young) {
            return Ok(IssuerKey::from_base64(&record.text)?);
        }
        let outdated =
            |record: &&Arc<SecretRecord>| now >= instant(record.created) + 2 * KEY_LIFETIME;
        let old: Vec<String> =
            records(draft).filter(outdated).map(|record| record.name.clone()).collect();
        for name in old {
            draft.remove::<SecretRecord>(&name);
        }
        draft.put(SecretRecord {
            name: format!("{KEY_PREFIX}{}", key.id()),
            text: text.clone(),
            created: seconds(now),
        })?;
        Ok(IssuerKey::from_base64(&text)?)
    })
}

/// Returns the JWK set of the current key and of earlier keys whose tokens may still be valid.
///
/// # Errors
/// [`SigningKeyError::Key`]
pub fn jwks(state: &State) -> Result<serde_json::Value, SigningKeyError> {
    let keys: Vec<IssuerKey> = records(state)
        .map(|record| IssuerKey::from_base64(&record.text))
        .collect::<Result<_, _>>()?;
    Ok(jwks_document(&keys))
}

/// Returns the same keys in the form that verifies tokens.
///
/// # Errors
/// [`SigningKeyError`]
pub fn public_keys(state: &State) -> Result<Arc<Jwks>, SigningKeyError> {
    let document = jwks(state)?.to_string();
    Jwks::parse(document.as_bytes()).map(Arc::new).map_err(|_| SigningKeyError::Keys)
}

fn records(state: &State) -> impl Iterator<Item = &Arc<SecretRecord>> {
    state.secrets.iter().filter(|(name, _)| name.starts_with(KEY_PREFIX)).map(|(_, record)| record)
}

/// Prefix of a service account's `sub`, before namespace and name.
pub const SUBJECT_PREFIX: &str = "system:serviceaccount:";

/// Audience of tokens for IRSA.
pub const STS_AUDIENCE: &str = "sts.amazonaws.com";
/// Audience of tokens for EKS Pod Identity.
pub const POD_IDENTITY_AUDIENCE: &str = "pods.eks.amazonaws.com";

/// Service account token of a pod, as the kubelet projects it into a file.
#[derive(Debug, Clone, Copy)]
pub struct TokenProjection<'a> {
    /// URL of the issuer.
    pub issuer: &'a str,
    /// Kubernetes namespace of the service account.
    pub namespace: &'a str,
    /// Name of the service account.
    pub name: &'a str,
    /// Name of the pod.
    pub pod: &'a str,
    /// Audience of the token.
    pub audience: &'a str,
    /// Lifetime of the token.
    pub lifetime: Duration,
}

impl TokenProjection<'_> {
    /// Issues the token.
    ///
    /// # Errors
    /// [`SigningKeyError`]; [`StoreError::NotFound`] if the service account does not exist.
    pub fn issue(
        &self,
        store: &Store,
        now: SystemTime,
    ) -> Result<Zeroizing<String>, SigningKeyError> {
        let (namespace, name) = (self.namespace, self.name);
        if !store.state()?.service_accounts.contains_key(&account_key(namespace, name)) {
            return Err(StoreError::NotFound(format!("service account {namespace}/{name}")).into());
        }
        let (account, pod) =
            (uid(&format!("{namespace}/{name}")), uid(&format!("{namespace}/{name}/{}", self.pod)));
        let claims = ServiceAccountClaims {
            issuer: self.issuer,
            audiences: &[self.audience],
            namespace,
            account: ClusterObject { name, uid: &account },
            pod: Some(ClusterObject { name: self.pod, uid: &pod }),
            now,
            lifetime: self.lifetime,
            token_id: &random::uuid().map_err(StoreError::from)?,
        };
        Ok(signing_key(store, now)?.sign(&claims.claims())?)
    }
}

/// Returns the UID of a Kubernetes object, derived from its name because no object is stored.
fn uid(name: &str) -> String {
    let digest = digest(&SHA256, name.as_bytes());
    random::uuid_of(digest.as_ref().first_chunk().copied().unwrap_or_default(), 8)
}
