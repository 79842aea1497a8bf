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
        let (keys, now) = (KeyCache::default(), SystemTime::now());
        let count = blocks::of_login(&login)?;
        let minting =
            Side::quick(|| mint(&login.credentials, &login.endpoint, &login.user, &keys, now));
        let [ours, floor] = compare(ROUNDS, [minting, blocks::compress(count)])?;
        rows.push(Row::ratio(
            format!("minting : its {count} SHA-256 blocks, {kind}"),
            &ours,
            &floor,
            Goal::AtMost(2.0),
        ));
    }
    Ok(rows)
}

/// Both with all at hand but the time; both from names, which Countersign checks; and what there would be to gain if a token
/// took no more than its blocks.
#[cfg(feature = "sdk")]
fn against_sdk(kind: &str, session: Option<&str>) -> Result<Vec<Row>, Problem> {
    let sdk = sdk::Sdk::new(session)?;
    let login = Login::new(session)?;
    let keys = KeyCache::default();
    let ours = Side::quick(|| {
        mint(&login.credentials, &login.endpoint, &login.user, &keys, SystemTime::now())
    });
    let ours_afresh = Side::batch(|goes| {
        for _ in 0..goes {
            let endpoint = endpoint()?;
            black_box(mint(
                &login.credentials,
                &endpoint,
                &USER.parse()?,
                &keys,
                SystemTime::now(),
            ));
        }
        Ok(())
    });
    let floor = blocks::compress(blocks::of_login(&login)?);
    let [theirs, theirs_afresh, ours, ours_afresh, floor] =
        compare(ROUNDS, [sdk.again(), sdk.afresh(), ours, ours_afresh, floor])?;
    Ok(vec![
        Row::ratio(format!("aws-sdk-rds : minting, {kind}"), &theirs, &ours, Goal::AtLeast(10.0)),
        Row::ratio(
            format!("aws-sdk-rds : minting from names, {kind}"),
            &theirs_afresh,
            &ours_afresh,
            Goal::None,
        ),
        Row::ratio(format!("aws-sdk-rds : the blocks alone, {kind}"), &theirs, &floor, Goal::None),
    ])
}

#[cfg(not(feature = "sdk"))]
fn against_sdk(kind: &str, _session: Option<&str>) -> Result<Vec<Row>, Problem> {
    Ok(vec![Row::skipped(
        format!("aws-sdk-rds : minting, {kind}"),
        "built without the feature `sdk`",
    )])
}
