//! The keys of issuers elsewhere: found as OpenID Connect Discovery 1.0 says, and kept for a while.

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

/// How many issuers' keys are kept. AWS lets an account have 100 providers.
const MAX_ISSUERS: usize = 1000;

/// The longest URL of an issuer, in bytes: AWS's bound.
const MAX_ISSUER: usize = 255;

/// For each of the two documents.
const BOUNDS: FetchLimits = FetchLimits { timeout: Duration::from_secs(5), max_size: MAX_DOCUMENT };

/// How often issuers are asked.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// At most once in this time, whatever the reason.
    least: Duration,
    /// Again after this time: a key that was withdrawn is forgotten then.
    most: Duration,
}

const USUAL: Pace = Pace { least: Duration::from_secs(30), most: Duration::from_secs(3600) };

/// Why an issuer's keys are not to be had: a sentence for the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IssuerError {
    /// The issuer is no URL that keys may be fetched from.
    #[error(
        "the issuer is not https://HOST[/PATH] (http only to a loopback address), without query, of at most {MAX_ISSUER} bytes"
    )]
    Url,
    /// A document can't be fetched.
    #[error("the issuer's {what} can't be fetched: {error}")]
    Fetch {
        /// Which.
        what: &'static str,
        /// Why.
        error: Arc<FetchError>,
    },
    /// The discovery document is not one.
    #[error("the issuer's discovery document is not JSON with `issuer` and `jwks_uri`")]
    Discovery,
    /// It speaks of another issuer.
    #[error("the issuer's discovery document names another issuer")]
    OtherIssuer,
    /// The keys are not a JWK set.
    #[error(transparent)]
    Keys(#[from] InvalidJwks),
}

impl IssuerError {
    /// What STS answers.
    #[must_use]
    pub const fn aws_code(&self) -> &'static str {
        "IDPCommunicationError"
    }
}

type Answer = Result<Arc<Jwks>, IssuerError>;

/// An issuer's keys, or why there are none, and since when. One at a time asks the issuer; the others wait for it.
type Slot = Arc<tokio::sync::Mutex<Option<(Instant, Answer)>>>;

/// Fetches and keeps the keys of issuers that somebody registered: ask it for no others, or strangers choose whom the
/// authority talks to.
#[derive(Debug)]
pub struct IssuerKeyCache {
    fetcher: Fetcher,
    pace: Pace,
    slots: Mutex<HashMap<String, Slot>>,
}

impl IssuerKeyCache {
    /// Knows no issuer's keys yet.
    #[must_use]
    pub fn new(fetcher: Fetcher) -> Self {
        Self::at_pace(fetcher, USUAL)
    }

    fn at_pace(fetcher: Fetcher, pace: Pace) -> Self {
        Self { fetcher, pace, slots: Mutex::default() }
    }

    /// The keys of `issuer`: those kept, unless `key_id` is not among them, or they are old. The issuer is asked at most
    /// once in 30 seconds, so a key that is still unknown may not be among what comes.
    ///
    /// # Errors
    /// [`IssuerError`]
    pub async fn keys(&self, issuer: &str, key_id: &str) -> Answer {
        if issuer.len() > MAX_ISSUER
            || issuer.contains(['?', '#'])
            || !issuer.parse().is_ok_and(|uri: Uri| is_safe(&uri))
        {
            return Err(IssuerError::Url);
        }
        let slot = self.slot(issuer);
        let mut kept = slot.lock().await;
        if let Some((since, answer)) = &*kept {
            let age = since.elapsed();
            let known = answer.as_ref().is_ok_and(|keys| keys.has(key_id));
            if age < self.pace.least || (known && age < self.pace.most) {
                return answer.clone();
            }
        }
        let asked = Instant::now();
        let answer = self.ask(issuer).await;
        let (_, answer) = kept.insert((asked, answer));
        answer.clone()
    }

    fn slot(&self, issuer: &str) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAX_ISSUERS && !slots.contains_key(issuer) {
            slots.clear();
        }
        Arc::clone(slots.entry(issuer.to_owned()).or_default())
    }

    async fn ask(&self, issuer: &str) -> Answer {
        let get = async |what, url: &str| {
            self.fetcher
                .get(url, &[], BOUNDS)
                .await
                .map_err(|error| IssuerError::Fetch { what, error: Arc::new(error) })
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
        // Plain HTTP to this machine is for issuers on this machine: another's document must not send us there.
        if issuer.starts_with("https://") && !keys_url.starts_with("https://") {
            return Err(IssuerError::Url);
        }
        Ok(Arc::new(Jwks::parse(&get("keys", keys_url).await?)?))
    }
}

#[cfg(test)]
mod tests;
