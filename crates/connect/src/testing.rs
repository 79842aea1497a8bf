//! Shared by this crate's tests: a fixed time, and scripted sources of credentials.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::failure::Failure;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::clock::ManualClock;
use crate::credentials_cache::CredentialsCache;

/// 15 January 2024, 12:00 UTC.
pub(crate) fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_705_320_000)
}

pub(crate) const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Credentials whose access key id contains `number`.
pub(crate) fn credentials(number: usize, expires: Option<SystemTime>) -> Credentials {
    let access_key_id = format!("ASIAEXAMPLE{number}").parse().unwrap();
    let session_token = Secret::new("hidden-session-token");
    Credentials {
        access_key_id,
        secret: Secret::new("hidden-secret").unwrap(),
        session_token,
        expires,
    }
}

/// Counts the loads of a source.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loads(Arc<AtomicUsize>);

impl Loads {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Counts a load and returns its number, from 1.
    pub(crate) fn next(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }
}

/// A cache whose source returns `result(n)` for the nth load.
pub(crate) fn scripted_cache(
    manual: &ManualClock,
    result: impl Fn(usize) -> Result<Credentials, Failure> + Send + Sync + 'static,
) -> (CredentialsCache, Loads) {
    let loads = Loads::default();
    let counted = loads.clone();
    let result = Arc::new(result);
    let load = move || -> crate::credentials_cache::LoadFuture {
        let (number, result) = (counted.next(), Arc::clone(&result));
        Box::pin(async move {
            yield_now().await;
            result(number)
        })
    };
    (CredentialsCache::with_loader("the test", manual.clock(), load), loads)
}

/// Waits until `condition` returns true.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            yield_now().await;
        }
    };
    timeout(seconds(10), waiting).await.expect("the condition became true in time");
}
