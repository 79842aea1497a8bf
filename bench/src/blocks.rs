//! Lower bound of the work for a token: the SHA-256 blocks of its signature, with a cached signing
//! key.

use std::hint::black_box;
use std::time::SystemTime;

use countersign_core::sigv4::{ALGORITHM, EMPTY_PAYLOAD, KeyCache};
use countersign_core::token::mint;
use sha2::block_api::compress256;

use crate::Problem;
use crate::paired::Side;
use crate::token::Login;

/// Minimum padding of SHA-256, in bytes: one byte, and the length in eight.
const PADDING: usize = 9;

/// Returns the number of blocks for a token of `login`.
pub(crate) fn of_login(login: &Login) -> Result<usize, Problem> {
    let token = mint(
        &login.credentials,
        &login.endpoint,
        &login.user,
        &KeyCache::default(),
        SystemTime::now(),
    );
    of_token(token.expose()).ok_or_else(|| "cannot parse a minted token".into())
}

/// Returns the number of blocks for signing `token`: those of the canonical request, those of the
/// string to sign, and one for the outer hash of the HMAC, whose keyed states are cached.
fn of_token(token: &str) -> Option<usize> {
    let (unsigned, _) = token.split_once("&X-Amz-Signature=")?;
    let (address, query) = unsigned.split_once("/?")?;
    let (_, scope) =
        query.split_once("&X-Amz-Credential=")?.1.split_once('&')?.0.split_once("%2F")?;
    let canonical = ["GET\n/\n", query, "\nhost:", address, "\n\nhost\n", EMPTY_PAYLOAD];
    // The scope is not escaped in the string to sign. Its last part is the digest of the canonical
    // request.
    let signed =
        [ALGORITHM, "\n20240115T120000Z\n", &scope.replace("%2F", "/"), "\n", EMPTY_PAYLOAD];
    let blocks = |parts: &[&str]| {
        (parts.iter().map(|part| part.len()).sum::<usize>() + PADDING).div_ceil(64)
    };
    Some(blocks(&canonical) + blocks(&signed) + 1)
}

/// Measures the fastest compression of `count` blocks: all in one call, by the crate that signing
/// uses.
pub(crate) fn compress(count: usize) -> Side<'static> {
    let blocks = vec![[0x5a; 64]; count];
    let mut state = [0; 8];
    Side::quick(move || {
        compress256(&mut state, black_box(&blocks));
        state
    })
}
