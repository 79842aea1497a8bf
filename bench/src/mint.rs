//! Minting, compared with the AWS SDK and with the unavoidable hashing.

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

/// Compares with the SDK: with prepared inputs, from names (which Countersign validates), and with
/// the lower bound, the SHA-256 blocks of a token.
#[cfg(feature = "sdk")]
fn against_sdk(kind: &str, session: Option<&str>) -> Result<Vec<Row>, Problem> {
    let sdk = sdk::Sdk::new(session)?;
    let login = Login::new(session)?;
    let keys = KeyCache::default();
    let ours = Side::quick(|| {
        mint(&login.credentials, &login.endpoint, &login.user, &keys, SystemTime::now())
    });
    let ours_from_names = Side::batch(|count| {
        for _ in 0..count {
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
    let [theirs, theirs_from_names, ours, ours_from_names, floor] =
        compare(ROUNDS, [sdk.reused(), sdk.from_names(), ours, ours_from_names, floor])?;
    Ok(vec![
        Row::ratio(format!("aws-sdk-rds : minting, {kind}"), &theirs, &ours, Goal::AtLeast(10.0)),
        Row::ratio(
            format!("aws-sdk-rds : minting from names, {kind}"),
            &theirs_from_names,
            &ours_from_names,
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
