//! Cache of authentication tokens, so that a burst of logins does not sign each one.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use countersign_core::credentials::Credentials;
use countersign_core::endpoint::Endpoint;
use countersign_core::failure::Failure;
use countersign_core::name::{AccessKeyId, DbUser};
use countersign_core::sigv4::KeyCache;
use countersign_core::token::{AuthToken, mint};

use crate::clock::Clock;
use crate::credentials_cache::CredentialsCache;

/// Maximum age of a reused token. RDS rejects a token after 15 minutes; the 5 minutes between allow
/// for clock skew.
pub const MAX_AGE: Duration = Duration::from_secs(10 * 60);

/// Maximum number of cached tokens. Clients may choose the database user, and with it the number of
/// tokens.
pub const MAX_ENTRIES: usize = 1024;

/// A token and its public attributes. Clones share the text.
#[derive(Debug, Clone)]
pub struct Token {
    text: Arc<AuthToken>,
    access_key_id: AccessKeyId,
    minted_at: SystemTime,
    expires_at: SystemTime,
}

impl Token {
    /// Returns the token, to be sent as the password. It must not be logged.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// Returns the id of the key that signed it.
    #[must_use]
    pub const fn access_key_id(&self) -> &AccessKeyId {
        &self.access_key_id
    }

    /// Returns the time of minting.
    #[must_use]
    pub const fn minted_at(&self) -> SystemTime {
        self.minted_at
    }

    /// Returns the time until which it is reused: at most ten minutes after minting, and not after
    /// its credentials expire.
    #[must_use]
    pub const fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// A token minted in the future, after the clock was set back, is not reused: RDS would reject
    /// it as not yet valid.
    fn is_reusable(&self, credentials: &Credentials, now: SystemTime) -> bool {
        self.minted_at <= now
            && now < self.expires_at
            && self.access_key_id == credentials.access_key_id
    }
}

/// The public attributes of a cached token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedToken {
    /// Endpoint that it is signed for.
    pub endpoint: Endpoint,
    /// The database user.
    pub user: DbUser,
    /// Id of the key that signed it.
    pub access_key_id: AccessKeyId,
    /// Time of minting.
    pub minted_at: SystemTime,
    /// Time until which it is reused.
    pub expires_at: SystemTime,
}

/// Cache of the tokens that the credentials of one target signed.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use countersign_connect::clock::Clock;
/// use countersign_connect::credentials_cache::CredentialsCache;
/// use countersign_connect::token_cache::TokenCache;
/// use countersign_core::credentials::{Credentials, Secret};
/// use countersign_core::endpoint::Endpoint;
/// use countersign_core::name::Engine;
///
/// let credentials = CredentialsCache::with_loader("a static key", Clock::system(), || {
///     Box::pin(async {
///         Ok(Credentials {
///             access_key_id: "AKIAIOSFODNN7EXAMPLE".parse().unwrap(),
///             secret: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY").unwrap(),
///             session_token: None,
///             expires: None,
///         })
///     })
/// });
/// let tokens = TokenCache::new(credentials, Clock::system());
/// let endpoint = Endpoint {
///     engine: Engine::Postgres,
///     host: "orders.abc123.us-east-1.rds.amazonaws.com".parse()?,
///     port: 5432,
///     region: "us-east-1".parse()?,
/// };
/// let token = tokens.token(&endpoint, &"jane".parse()?).await?;
/// assert!(token.expose().starts_with("orders.abc123.us-east-1.rds.amazonaws.com:5432/?"));
/// assert_eq!(tokens.counts().minted, 1);
/// # Ok(())
/// # }
/// ```
pub struct TokenCache {
    credentials: CredentialsCache,
    clock: Clock,
    keys: KeyCache,
    cache: Mutex<Cache>,
}

/// Counters of a [`TokenCache`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Number of minted tokens.
    pub minted: u64,
    /// Number of requests that the cache served.
    pub hits: u64,
    /// Number of tokens that servers rejected.
    pub rejected: u64,
}

#[derive(Default)]
struct Cache {
    counts: Counts,
    entries: HashMap<(Endpoint, DbUser), Entry>,
    /// Number of uses so far. The entry with the smallest `used` is the least recently used.
    uses: u64,
}

struct Entry {
    token: Token,
    used: u64,
}

impl TokenCache {
    /// Creates an empty cache.
    #[must_use]
    pub fn new(credentials: CredentialsCache, clock: Clock) -> Self {
        Self { credentials, clock, keys: KeyCache::default(), cache: Mutex::default() }
    }

    /// Returns the credentials that sign the tokens.
    #[must_use]
    pub const fn credentials(&self) -> &CredentialsCache {
        &self.credentials
    }

    /// Returns a token for `user` at `endpoint`: the cached one if it is valid and the credentials
    /// have not changed, else a new one.
    ///
    /// # Errors
    /// The errors of [`CredentialsCache::credentials`], with the endpoint and the user.
    pub async fn token(&self, endpoint: &Endpoint, user: &DbUser) -> Result<Token, Failure> {
        let about = |failure: Failure| {
            Failure::new(failure.class, format!("for {user} at {endpoint}: {}", failure.detail))
        };
        let credentials = self.credentials.credentials().await.map_err(about)?;
        let now = self.clock.now();
        // Minting takes about ten microseconds: not worth a second lock, and holding this one
        // prevents minting a token twice.
        let mut cache = self.cache();
        let key = (endpoint.clone(), user.clone());
        if let Some(token) = cache.find(&key, &credentials, now) {
            return Ok(token);
        }
        let limit = now + MAX_AGE;
        cache.counts.minted += 1;
        let token = Token {
            text: Arc::new(mint(&credentials, endpoint, user, &self.keys, now)),
            access_key_id: credentials.access_key_id.clone(),
            minted_at: now,
            expires_at: credentials.expires.map_or(limit, |expires| expires.min(limit)),
        };
        cache.insert(key, token.clone());
        Ok(token)
    }

    /// Reports that the server rejected `token`: removes it and invalidates the credentials, so
    /// that the caller may retry once with a new one. If another token has already replaced it,
    /// that one is kept.
    pub fn reject(&self, endpoint: &Endpoint, user: &DbUser, token: &Token) {
        let key = (endpoint.clone(), user.clone());
        let mut cache = self.cache();
        cache.counts.rejected += 1;
        let same =
            cache.entries.get(&key).is_none_or(|entry| Arc::ptr_eq(&entry.token.text, &token.text));
        if same {
            cache.entries.remove(&key);
            drop(cache);
            self.credentials.invalidate();
        }
    }

    /// Returns the cached tokens in no particular order. Expired tokens stay until they are
    /// requested or evicted.
    #[must_use]
    pub fn entries(&self) -> Vec<CachedToken> {
        let cached =
            |((endpoint, user), Entry { token, .. }): (&(Endpoint, DbUser), &Entry)| CachedToken {
                endpoint: endpoint.clone(),
                user: user.clone(),
                access_key_id: token.access_key_id.clone(),
                minted_at: token.minted_at,
                expires_at: token.expires_at,
            };
        self.cache().entries.iter().map(cached).collect()
    }

    /// Returns the counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.cache().counts
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    fn find(
        &mut self,
        key: &(Endpoint, DbUser),
        credentials: &Credentials,
        now: SystemTime,
    ) -> Option<Token> {
        let entry =
            self.entries.get_mut(key).filter(|entry| entry.token.is_reusable(credentials, now))?;
        self.uses += 1;
        self.counts.hits += 1;
        entry.used = self.uses;
        Some(entry.token.clone())
    }

    fn insert(&mut self, key: (Endpoint, DbUser), token: Token) {
        if self.entries.len() >= MAX_ENTRIES && !self.entries.contains_key(&key) {
            let oldest =
                self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| self.entries.remove(&oldest));
        }
        self.uses += 1;
        self.entries.insert(key, Entry { token, used: self.uses });
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache")
            .field("credentials", &self.credentials)
            .field("tokens", &self.cache().entries.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
