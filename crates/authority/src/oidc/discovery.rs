//! Keys of external issuers: fetched as OpenID Connect Discovery 1.0 specifies, and cached.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::Uri;
use serde_json::Value;
use tokio::time::Instant;

use super::fetch::{FetchError, FetchLimits, Fetcher, is_safe};
use super::issuer_key::DISCOVERY_PATH;
use super::jwk::{InvalidJwks, Jwks, MAX_DOCUMENT};
use super::object;

/// Maximum number of issuers in the cache. AWS lets an account have 100 providers.
const MAX_ISSUERS: usize = 1000;

/// Maximum length of an issuer's URL, in bytes, as on AWS.
const MAX_ISSUER_URL: usize = 255;

/// Limits of each of the two requests.
const LIMITS: FetchLimits = FetchLimits { timeout: Duration::from_secs(5), max_size: MAX_DOCUMENT };

/// Times between requests to one issuer.
#[derive(Debug, Clone, Copy)]
struct RefreshPolicy {
    /// Minimum time between two requests, also after a failure.
    min_interval: Duration,
    /// Maximum age of keys. Withdrawn keys are removed from the cache after this time.
    max_age: Duration,
}

impl RefreshPolicy {
    const DEFAULT: Self =
        Self { min_interval: Duration::from_secs(30), max_age: Duration::from_secs(3600) };
}

/// Reason for which an issuer's keys are not available.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IssuerError {
    /// The issuer is not a URL that keys may be fetched from.
    #[error(
        "cannot fetch the issuer's keys: the issuer is not https://HOST[/PATH] (http to a \
         loopback address only) without query, of at most {MAX_ISSUER_URL} bytes"
    )]
    Url,
    /// The request for a document failed.
    #[error("cannot fetch the issuer's {document}: {error}")]
    Fetch {
        /// Name of the document.
        document: &'static str,
        /// Error of the request.
        error: Arc<FetchError>,
    },
    /// The discovery document has the wrong form.
    #[error(
        "cannot read the issuer's discovery document: it is not JSON with `issuer` and `jwks_uri`"
    )]
    Discovery,
    /// The discovery document belongs to another issuer.
    #[error("cannot accept the issuer's discovery document: it names another issuer")]
    OtherIssuer,
    /// The key document is not a JWK set.
    #[error(transparent)]
    Keys(#[from] InvalidJwks),
}

impl IssuerError {
    /// Returns the error code of STS.
    #[must_use]
    pub const fn aws_code(&self) -> &'static str {
        "IDPCommunicationError"
    }
}

type KeysResult = Result<Arc<Jwks>, IssuerError>;

/// Keys of an issuer or the error, with the time of the request. The lock lets one task at a time
/// send a request; the others wait for its result.
type CacheEntry = Arc<tokio::sync::Mutex<Option<(Instant, KeysResult)>>>;

/// Fetches and caches the keys of registered issuers. Do not pass an unregistered issuer: a client
/// would then choose the hosts that the authority connects to.
#[derive(Debug)]
pub struct IssuerKeyCache {
    fetcher: Fetcher,
    policy: RefreshPolicy,
    entries: Mutex<HashMap<String, CacheEntry>>,
}

impl IssuerKeyCache {
    /// Makes an empty cache.
    #[must_use]
    pub fn new(fetcher: Fetcher) -> Self {
        Self::with_policy(fetcher, RefreshPolicy::DEFAULT)
    }

    fn with_policy(fetcher: Fetcher, policy: RefreshPolicy) -> Self {
        Self { fetcher, policy, entries: Mutex::default() }
    }

    /// Returns the keys of `issuer`: from the cache, unless they are too old or do not contain
    /// `key_id`. The issuer gets at most one request in 30 seconds, so the result may still lack
    /// the key.
    ///
    /// # Errors
    /// [`IssuerError`]
    pub async fn keys(&self, issuer: &str, key_id: &str) -> KeysResult {
        if issuer.len() > MAX_ISSUER_URL
            || issuer.contains(['?', '#'])
            || !issuer.parse().is_ok_and(|uri: Uri| is_safe(&uri))
        {
            return Err(IssuerError::Url);
        }
        let entry = self.entry(issuer);
        let mut cached = entry.lock().await;
        if let Some((requested, result)) = &*cached {
            let age = requested.elapsed();
            let known = result.as_ref().is_ok_and(|keys| keys.has(key_id));
            if age < self.policy.min_interval || (known && age < self.policy.max_age) {
                return result.clone();
            }
        }
        let requested = Instant::now();
        let result = self.fetch_keys(issuer).await;
        let (_, result) = cached.insert((requested, result));
        result.clone()
    }

    fn entry(&self, issuer: &str) -> CacheEntry {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MAX_ISSUERS && !entries.contains_key(issuer) {
            entries.clear();
        }
        Arc::clone(entries.entry(issuer.to_owned()).or_default())
    }

    async fn fetch_keys(&self, issuer: &str) -> KeysResult {
        let get = async |document, url: &str| {
            self.fetcher
                .get(url, &[], LIMITS)
                .await
                .map_err(|error| IssuerError::Fetch { document, error: Arc::new(error) })
        };
        let url = format!("{}{DISCOVERY_PATH}", issuer.strip_suffix('/').unwrap_or(issuer));
        let document =
            object(&get("discovery document", &url).await?).ok_or(IssuerError::Discovery)?;
        let text =
            |name: &str| document.get(name).and_then(Value::as_str).ok_or(IssuerError::Discovery);
        if text("issuer")? != issuer {
            return Err(IssuerError::OtherIssuer);
        }
        let keys_url = text("jwks_uri")?;
        // Plain HTTP is for issuers on this machine. The document of another issuer must not cause
        // a request to it.
        if issuer.starts_with("https://") && !keys_url.starts_with("https://") {
            return Err(IssuerError::Url);
        }
        Ok(Arc::new(Jwks::parse(&get("keys", keys_url).await?)?))
    }
}

#[cfg(test)]
mod tests;
