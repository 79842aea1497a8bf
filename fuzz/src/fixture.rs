//! Time and key of every run.

use std::time::{Duration, SystemTime};

use countersign_core::credentials::{Credentials, Secret};

/// Returns the time of all runs: noon of 15 January 2024, the date of the seeds.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_705_320_000)
}

/// Returns the credentials that sign the seeds: AWS's example key.
pub(crate) fn key() -> Option<Credentials> {
    let access_key_id = "AKIAIOSFODNN7EXAMPLE".parse().ok()?;
    let secret = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")?;
    Some(Credentials { access_key_id, secret, session_token: None, expires: None })
}
