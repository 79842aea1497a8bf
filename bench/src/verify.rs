//! Verification, from parsing to the signature, compared with the unavoidable hashing.

use std::slice;
use std::time::SystemTime;

use countersign_core::failure::Failure;
use countersign_core::sigv4::KeyCache;
use countersign_core::token::{KeyStatus, UnverifiedToken, VerifiedToken, mint};

use crate::paired::{ROUNDS, Side, compare};
use crate::table::{Goal, Row};
use crate::token::{Login, kinds};
use crate::{Problem, blocks};

pub(crate) fn rows() -> Result<Vec<Row>, Problem> {
    kinds().into_iter().map(|(kind, session)| row(kind, &Login::new(session.as_deref())?)).collect()
}

fn row(kind: &str, login: &Login) -> Result<Row, Problem> {
    let keys = KeyCache::default();
    let now = SystemTime::now();
    let token = mint(&login.credentials, &login.endpoint, &login.user, &keys, now);
    let count = blocks::of_login(login)?;
    verify(login, token.expose(), &keys, now).map_err(|failure| failure.to_string())?;
    let verifying = Side::quick(|| verify(login, token.expose(), &keys, now));
    let [ours, floor] = compare(ROUNDS, [verifying, blocks::compress(count)])?;
    Ok(Row::ratio(
        format!("verifying : its {count} SHA-256 blocks, {kind}"),
        &ours,
        &floor,
        Goal::AtMost(3.0),
    ))
}

fn verify(
    login: &Login,
    token: &str,
    keys: &KeyCache,
    now: SystemTime,
) -> Result<VerifiedToken, Failure> {
    let addressed = UnverifiedToken::parse(token)?
        .addressed_to(slice::from_ref(&login.endpoint), &login.user)?;
    addressed.verify(&login.credentials, KeyStatus::Active, keys, now)
}
