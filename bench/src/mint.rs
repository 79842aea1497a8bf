//! Minting, next to the AWS SDK and next to the hashing that it can't avoid.

#[cfg(feature = "sdk")]
mod sdk;

#[cfg(feature = "sdk")]
use std::hint::black_box;
use std::time::SystemTime;

use countersign_core::sigv4::KeyCache;
use countersign_core::token::mint;

use crate::paired::{ROUNDS, Side, compare};
use crate::table::{Goal, Row};
use crate::token::{Login, kinds};
#[cfg(feature = "sdk")]
use crate::token::{USER, endpoint};
use crate::{Problem, blocks};

pub(crate) fn rows() -> Result<Vec<Row>, Problem> {
    let mut rows = Vec::new();
    for (kind, session) in kinds() {
        rows.extend(against_sdk(kind, session.as_deref())?);
    }
    for (kind, session) in kinds() {
        let login = Login::new(session.as_deref())?;
        let keys = KeyCache::default();
        let now = SystemTime::now();
        let token = mint(&login.credentials, &login.endpoint, &login.user, &keys, now);
        let count = blocks::of_token(token.expose()).ok_or("a token of our own can't be read")?;
        let minting = Side::quick(|| mint(&login.credentials, &login.endpoint, &login.user, &keys, now));
        let [ours, floor] = compare(ROUNDS, [minting, blocks::compress(count)])?;
        rows.push(Row::ratio(format!("minting : its {count} SHA-256 blocks, {kind}"), &ours, &floor, Goal::AtMost(2.0)));
    }
    Ok(rows)
}

/// From names to the token, as the SDK's documentation has it; then with all that stays the same at hand, and only the time new.
#[cfg(feature = "sdk")]
fn against_sdk(kind: &str, session: Option<&str>) -> Result<Vec<Row>, Problem> {
    let sdk = sdk::Sdk::new(session)?;
    let login = Login::new(session)?;
    let keys = KeyCache::default();
    let from_names = Side::batch(|goes| {
        for _ in 0..goes {
            let endpoint = endpoint()?;
            black_box(mint(&login.credentials, &endpoint, &USER.parse()?, &keys, SystemTime::now()));
        }
        Ok(())
    });
    let again = Side::quick(|| mint(&login.credentials, &login.endpoint, &login.user, &keys, SystemTime::now()));
    let [sdk_from_names, sdk_again, from_names, again] = compare(ROUNDS, [sdk.afresh(), sdk.again(), from_names, again])?;
    Ok(vec![
        Row::ratio(format!("aws-sdk-rds : minting, {kind}"), &sdk_from_names, &from_names, Goal::AtLeast(10.0)),
        Row::ratio(format!("aws-sdk-rds : minting again, {kind}"), &sdk_again, &again, Goal::None),
    ])
}

#[cfg(not(feature = "sdk"))]
fn against_sdk(kind: &str, _session: Option<&str>) -> Result<Vec<Row>, Problem> {
    Ok(vec![Row::skipped(format!("aws-sdk-rds : minting, {kind}"), "built without the feature `sdk`")])
}
