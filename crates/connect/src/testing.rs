//! What this crate's tests have in common: a time, and a source of credentials that they write the answers of.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::failure::Failure;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::clock::ManualClock;
use crate::credentials_cache::CredentialsCache;

/// Noon of 15 January 2024, give or take.
pub(crate) fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_705_320_000)
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Credentials that are told apart by a number.
pub(crate) fn credentials(number: usize, expires: Option<SystemTime>) -> Credentials {
    let access_key_id = format!("ASIAEXAMPLE{number}").parse().unwrap();
    let session_token = Secret::new("session-token-that-nobody-sees");
    Credentials {
        access_key_id,
        secret: Secret::new("secret-that-nobody-sees").unwrap(),
        session_token,
        expires,
    }
}

/// How often a source was asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loads(Arc<AtomicUsize>);

impl Loads {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Counts one, and says which it is: the first is 1.
    pub(crate) fn next(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}

/// An identity whose source gives what `answer` says the first, second, … time.
pub(crate) fn identity(
    hand: &ManualClock,
    answer: impl Fn(usize) -> Result<Credentials, Failure> + Send + Sync + 'static,
) -> (CredentialsCache, Loads) {
    let loads = Loads::default();
    let counted = loads.clone();
    let answer = Arc::new(answer);
    let load = move || -> crate::credentials_cache::Loading {
        let (number, answer) = (counted.next(), Arc::clone(&answer));
        Box::pin(async move {
            yield_now().await;
            answer(number)
        })
    };
    (CredentialsCache::of("the test", hand.clock(), load), loads)
}

/// Waits until it is so.
pub(crate) async fn until(mut so: impl FnMut() -> bool) {
    let waiting = async {
        while !so() {
            yield_now().await;
        }
    };
    timeout(seconds(10), waiting).await.expect("it never came to be so");
}
