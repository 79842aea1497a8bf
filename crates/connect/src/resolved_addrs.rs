//! Addresses to which a host name resolved recently.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long an address stays valid after the last lookup that returned it. Some names return their
/// addresses in turn, one per second, as Aurora's reader endpoints do: each of a few readers is
/// returned more often than this.
const ADDR_TTL: Duration = Duration::from_secs(30);

/// The addresses of one host name, each with the time of the last lookup that returned it.
#[derive(Debug, Default)]
pub(crate) struct ResolvedAddrs(Mutex<Vec<(IpAddr, Instant)>>);

impl ResolvedAddrs {
    /// Records the addresses of a successful lookup. Failed lookups change nothing.
    pub(crate) fn record(&self, addresses: &[SocketAddr]) {
        let now = Instant::now();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let again = |address: &IpAddr| addresses.iter().any(|other| other.ip() == *address);
        seen.retain(|(address, when)| now.duration_since(*when) < ADDR_TTL && !again(address));
        seen.extend(addresses.iter().map(|address| (address.ip(), now)));
    }

    /// Returns true if the name no longer resolves to `address`; false before the first lookup.
    pub(crate) fn is_stale(&self, address: SocketAddr) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        !seen.is_empty() && !seen.iter().any(|(other, _)| *other == address.ip())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::testing::seconds;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 5432))
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_stale_after_its_ttl() {
        let name = ResolvedAddrs::default();
        assert!(!name.is_stale(address(1)), "no lookup yet");
        name.record(&[address(1)]);
        advance(seconds(29)).await;
        name.record(&[address(2)]);
        assert_eq!(
            [address(1), address(2), address(3)].map(|address| name.is_stale(address)),
            [false, false, true]
        );
        advance(seconds(1)).await;
        assert!(!name.is_stale(address(1)), "no lookup since");
        name.record(&[address(2)]);
        assert_eq!([address(1), address(2)].map(|address| name.is_stale(address)), [true, false]);
        name.record(&[address(1)]);
        assert!(!name.is_stale(address(1)), "the name resolves to it again");
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_returned_in_turn_are_all_valid() {
        let name = ResolvedAddrs::default();
        for second in 0..100 {
            name.record(&[address(second % 5)]);
            advance(seconds(1)).await;
        }
        assert!((0..5).all(|last| !name.is_stale(address(last))));
        assert_eq!(name.0.lock().unwrap().len(), 5);
    }
}
