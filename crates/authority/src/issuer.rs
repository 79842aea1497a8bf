//! The authority's own OpenID Connect issuer: the keys that sign service accounts' tokens, and their rotation.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use crate::model::{SecretRecord, instant, seconds};
use crate::oidc::issuer_key::{
    ClusterObject, IssuerKey, IssuerKeyError, ServiceAccount, jwks_document,
};
use crate::oidc::jwk::Jwks;
use crate::random;
use crate::store::{State, Store, StoreError, account_key};

/// How the issuer calls itself where nobody gave it another URL. No name server knows it (RFC 9476, `.internal`): the authority
/// checks its own tokens with its own keys, and asks nobody for them.
pub const DEFAULT_URL: &str = "https://oidc.countersign.internal";

/// How long a key signs. The one before it stays in the key set, for what it signed.
pub const KEY_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// The names of the keys in the store: `issuer/KEY-ID`.
const PREFIX: &str = "issuer/";

/// Why the issuer can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key can't be made, or what is stored is none.
    #[error("a key of the issuer: {0}")]
    Key(#[from] IssuerKeyError),
    /// The keys can't be read again.
    #[error("the issuer's keys are not a key set")]
    Keys,
}

/// The key that signs now: the newest, or a new one where that is too old. Keys that signed nothing that is still good go.
///
/// # Errors
/// [`UnusableIssuer`]
pub fn signing_key(store: &Store, now: SystemTime) -> Result<IssuerKey, SigningKeyError> {
    let newest = |state: &State| records(state).max_by_key(|record| record.created).cloned();
    let young = |record: &Arc<SecretRecord>| now < instant(record.created) + KEY_LIFETIME;
    if let Some(record) = newest(store.state()?.as_ref()).filter(young) {
        return Ok(IssuerKey::from_base64(&record.text)?);
    }
    // Made outside of the change, which may be made again.
    let key = IssuerKey::generate()?;
    let text = key.to_base64()?;
    store.change(|draft| {
        if let Some(record) = newest(draft).filter(young) {
            return Ok(IssuerKey::from_base64(&record.text)?);
        }
        let dead = |record: &&Arc<SecretRecord>| now >= instant(record.created) + 2 * KEY_LIFETIME;
        let old: Vec<String> =
            records(draft).filter(dead).map(|record| record.name.clone()).collect();
        for name in old {
            draft.remove::<SecretRecord>(&name);
        }
        draft.put(SecretRecord {
            name: format!("{PREFIX}{}", key.id()),
            text: text.clone(),
            created: seconds(now),
        })?;
        Ok(IssuerKey::from_base64(&text)?)
    })
}

/// The JWK set: of the key that signs, and of those that signed what may still be good.
///
/// # Errors
/// [`UnusableIssuer::Key`]
pub fn jwks(state: &State) -> Result<serde_json::Value, SigningKeyError> {
    let keys: Vec<IssuerKey> = records(state)
        .map(|record| IssuerKey::from_base64(&record.text))
        .collect::<Result<_, _>>()?;
    Ok(jwks_document(&keys))
}

/// The same, for verifying.
///
/// # Errors
/// [`UnusableIssuer`]
pub fn public_keys(state: &State) -> Result<Arc<Jwks>, SigningKeyError> {
    let document = jwks(state)?.to_string();
    Jwks::parse(document.as_bytes()).map(Arc::new).map_err(|_| SigningKeyError::Keys)
}

fn records(state: &State) -> impl Iterator<Item = &Arc<SecretRecord>> {
    state.secrets.iter().filter(|(name, _)| name.starts_with(PREFIX)).map(|(_, record)| record)
}

/// How a service account is called in `sub`, before its namespace and name.
pub const SUBJECT_PREFIX: &str = "system:serviceaccount:";

/// Whom IRSA's tokens are for, and Pod Identity's.
pub const STS_AUDIENCE: &str = "sts.amazonaws.com";
/// The same of EKS Pod Identity.
pub const POD_IDENTITY_AUDIENCE: &str = "pods.eks.amazonaws.com";

/// A service account's token that a pod finds in a file, as the kubelet projects it.
#[derive(Debug, Clone, Copy)]
pub struct TokenProjection<'a> {
    /// How the issuer calls itself.
    pub issuer: &'a str,
    /// The service account's namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The pod's name.
    pub pod: &'a str,
    /// Whom the token is for.
    pub audience: &'a str,
    /// How long it is good for.
    pub lifetime: Duration,
}

impl TokenProjection<'_> {
    /// The token.
    ///
    /// # Errors
    /// [`UnusableIssuer`]; [`StoreError::Missing`] where there is no such service account.
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
        let claims = ServiceAccount {
            issuer: self.issuer,
            audiences: &[self.audience],
            namespace,
            account: ClusterObject { name, uid: &account },
            pod: Some(ClusterObject { name: self.pod, uid: &pod }),
            now,
            lifetime: self.lifetime,
            token_id: &random::uuid()?,
        };
        Ok(signing_key(store, now)?.sign(&claims.claims())?)
    }
}

/// The UID of an object of the cluster: it follows from its name, since no object is kept.
fn uid(name: &str) -> String {
    let digest = digest(&SHA256, name.as_bytes());
    random::uuid_of(digest.as_ref().first_chunk().copied().unwrap_or_default(), 8)
}
