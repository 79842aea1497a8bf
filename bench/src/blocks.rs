//! The work that no token can do without: the SHA-256 blocks of its signature, the day's signing key being at hand.

use std::hint::black_box;
use std::time::SystemTime;

use countersign_core::sigv4::{ALGORITHM, EMPTY_PAYLOAD, KeyCache};
use countersign_core::token::mint;
use sha2::block_api::compress256;

use crate::Problem;
use crate::paired::Side;
use crate::token::Login;

/// SHA-256 closes a message with a byte and its length in eight.
const PADDING: usize = 9;

/// How many blocks a token for `login` takes.
pub(crate) fn of_login(login: &Login) -> Result<usize, Problem> {
    let token = mint(
        &login.credentials,
        &login.endpoint,
        &login.user,
        &KeyCache::default(),
        SystemTime::now(),
    );
    of_token(token.expose()).ok_or_else(|| "a token of our own can't be read".into())
}

/// How many blocks signing `token` takes: those of the canonical request; then, in the HMAC over the string to sign, whose
/// keyed states are kept, those of the string, and one around them.
fn of_token(token: &str) -> Option<usize> {
    let (unsigned, _) = token.split_once("&X-Amz-Signature=")?;
    let (address, query) = unsigned.split_once("/?")?;
    let (_, scope) =
        query.split_once("&X-Amz-Credential=")?.1.split_once('&')?.0.split_once("%2F")?;
    let canonical = ["GET\n/\n", query, "\nhost:", address, "\n\nhost\n", EMPTY_PAYLOAD];
    // An escaped slash is three characters, a slash one; the last part is the digest of the canonical request.
    let signed =
        [ALGORITHM, "\n20240115T120000Z\n", &scope.replace("%2F", "/"), "\n", EMPTY_PAYLOAD];
    let blocks = |parts: &[&str]| {
        (parts.iter().map(|part| part.len()).sum::<usize>() + PADDING).div_ceil(64)
    };
    Some(blocks(&canonical) + blocks(&signed) + 1)
}

/// The cheapest way to compress so many blocks: all in a row, by the crate that signing uses.
pub(crate) fn compress(count: usize) -> Side<'static> {
    let blocks = vec![[0x5a; 64]; count];
    let mut state = [0; 8];
    Side::quick(move || {
        compress256(&mut state, black_box(&blocks));
        state
    })
}
