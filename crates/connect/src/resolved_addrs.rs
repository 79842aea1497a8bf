//! Where a name has led of late.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long an address counts after the name was last seen to have it. Some names have their addresses in turn, a second each, as the
/// reader endpoints of Aurora do: none of a few readers goes unseen for so long.
const ADDR_TTL: Duration = Duration::from_secs(30);

/// The addresses that a name has had of late.
#[derive(Debug, Default)]
pub(crate) struct ResolvedAddrs(Mutex<Vec<(IpAddr, Instant)>>);

impl ResolvedAddrs {
    /// So DNS has just said. An answer that doesn't come says nothing: all stays as it was.
    pub(crate) fn note(&self, addresses: &[SocketAddr]) {
        let now = Instant::now();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let again = |address: &IpAddr| addresses.iter().any(|other| other.ip() == *address);
        seen.retain(|(address, when)| now.duration_since(*when) < ADDR_TTL && !again(address));
        seen.extend(addresses.iter().map(|address| (address.ip(), now)));
    }

    /// Whether the name leads elsewhere by now.
    pub(crate) fn is_stale(&self, address: SocketAddr) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        !seen.is_empty() && !seen.iter().any(|(other, _)| *other == address.ip())
    }
}

#[cfg(test)]
mod tests;
