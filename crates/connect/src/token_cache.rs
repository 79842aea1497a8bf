//! Tokens that were minted a while ago and still do, so that a storm of logins doesn't sign each anew.

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

/// How old a token gets before another is minted: five minutes before RDS refuses it, for clocks that differ.
pub const MAX_AGE: Duration = Duration::from_secs(10 * 60);

/// The most tokens kept. Where clients name the database user, it is theirs to choose how many there are.
pub const MAX_ENTRIES: usize = 1024;

/// A token, and what may be known about it. Clones share the text.
#[derive(Debug, Clone)]
pub struct Token {
    text: Arc<AuthToken>,
    access_key_id: AccessKeyId,
    minted_at: SystemTime,
    ends: SystemTime,
}

impl Token {
    /// The token itself, for the password field: never for showing.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// The key that signed it.
    #[must_use]
    pub const fn access_key_id(&self) -> &AccessKeyId {
        &self.access_key_id
    }

    /// When it was minted.
    #[must_use]
    pub const fn minted_at(&self) -> SystemTime {
        self.minted_at
    }

    /// Until when it is used: it is at most ten minutes old, and its credentials live.
    #[must_use]
    pub const fn expires_at(&self) -> SystemTime {
        self.ends
    }

    /// A clock that was put back makes the token one of the future: RDS would say that it isn't valid yet.
    fn serves(&self, credentials: &Credentials, now: SystemTime) -> bool {
        self.minted_at <= now && now < self.ends && self.access_key_id == credentials.access_key_id
    }
}

/// What may be shown of a token that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedToken {
    /// What it is signed for.
    pub endpoint: Endpoint,
    /// The database user.
    pub user: DbUser,
    /// The key that signed it.
    pub access_key_id: AccessKeyId,
    /// When it was minted.
    pub minted_at: SystemTime,
    /// Until when it is used.
    pub ends: SystemTime,
}

/// The tokens that one identity signed.
pub struct TokenCache {
    identity: CredentialsCache,
    clock: Clock,
    keys: KeyCache,
    cache: Mutex<Cache>,
}

/// How often what was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Tokens that were signed.
    pub minted: u64,
    /// Tokens that were asked for and at hand.
    pub hits: u64,
    /// Tokens that a server refused.
    pub rejected: u64,
}

#[derive(Default)]
struct Cache {
    counts: Counts,
    entries: HashMap<(Endpoint, DbUser), Entry>,
    /// Counts the uses: the entry with the smallest number was used longest ago.
    uses: u64,
}

struct Entry {
    token: Token,
    used: u64,
}

impl TokenCache {
    /// No tokens yet.
    #[must_use]
    pub fn new(identity: CredentialsCache, clock: Clock) -> Self {
        Self { identity, clock, keys: KeyCache::default(), cache: Mutex::default() }
    }

    /// Whose they are.
    #[must_use]
    pub const fn identity(&self) -> &CredentialsCache {
        &self.identity
    }

    /// A token with which `user` logs in at `endpoint`: the one kept, where it still serves and the credentials are the same.
    ///
    /// # Errors
    /// Those of [`Identity::credentials`], with the endpoint and the user.
    pub async fn token(&self, endpoint: &Endpoint, user: &DbUser) -> Result<Token, Failure> {
        let about = |failure: Failure| {
            Failure::new(failure.class, format!("for {user} at {endpoint}: {}", failure.detail))
        };
        let credentials = self.identity.credentials().await.map_err(about)?;
        let now = self.clock.now();
        // Minting takes some ten microseconds: not worth a lock of its own, or letting two mint the same.
        let mut cache = self.cache();
        let key = (endpoint.clone(), user.clone());
        if let Some(token) = cache.find(&key, &credentials, now) {
            return Ok(token);
        }
        let oldest = now + MAX_AGE;
        cache.counts.minted += 1;
        let token = Token {
            text: Arc::new(mint(&credentials, endpoint, user, &self.keys, now)),
            access_key_id: credentials.access_key_id.clone(),
            minted_at: now,
            ends: credentials.expires.map_or(oldest, |ends| ends.min(oldest)),
        };
        cache.keep(key, token.clone());
        Ok(token)
    }

    /// Says that the server refused `token`: it is forgotten, and the credentials are read anew, so that the caller may ask for
    /// another one once. Where another has taken its place already, that one stays.
    pub fn reject(&self, endpoint: &Endpoint, user: &DbUser, token: &Token) {
        let key = (endpoint.clone(), user.clone());
        let mut cache = self.cache();
        cache.counts.rejected += 1;
        let same =
            cache.entries.get(&key).is_none_or(|entry| Arc::ptr_eq(&entry.token.text, &token.text));
        if same {
            cache.entries.remove(&key);
            drop(cache);
            self.identity.invalidate();
        }
    }

    /// What is kept, in no order; tokens that have ended stay in it until they are asked for or make room.
    #[must_use]
    pub fn report(&self) -> Vec<CachedToken> {
        let kept =
            |((endpoint, user), Entry { token, .. }): (&(Endpoint, DbUser), &Entry)| CachedToken {
                endpoint: endpoint.clone(),
                user: user.clone(),
                access_key_id: token.access_key_id.clone(),
                minted_at: token.minted_at,
                ends: token.ends,
            };
        self.cache().entries.iter().map(kept).collect()
    }

    /// How often what was done.
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
            self.entries.get_mut(key).filter(|entry| entry.token.serves(credentials, now))?;
        self.uses += 1;
        self.counts.hits += 1;
        entry.used = self.uses;
        Some(entry.token.clone())
    }

    fn keep(&mut self, key: (Endpoint, DbUser), token: Token) {
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
        f.debug_struct("Tokens")
            .field("identity", &self.identity)
            .field("kept", &self.cache().entries.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
