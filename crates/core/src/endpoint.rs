//! Where a database listens, as its clients and its tokens name it.

use std::fmt;
use std::net::Ipv6Addr;

use crate::name::{Engine, InvalidName, checked_name};
use crate::region::Region;

checked_name! {
    /// A host as it is typed: a DNS name or an IP address, 1 to 253 bytes, in the case given. IPv6 stands without brackets.
    HostName, |text| {
        if text.is_empty() || text.len() > 253 {
            return Err(InvalidName::new("the host", "is not 1 to 253 bytes long"));
        }
        let dns = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if text.bytes().all(dns) || text.parse::<Ipv6Addr>().is_ok() {
            Ok(())
        } else {
            Err(InvalidName::new("the host", format!("{text:?} is neither a DNS name nor an IP address")))
        }
    }
}

/// A database's address, engine and region: what a token is signed for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// The kind of database that listens there.
    pub engine: Engine,
    /// The host that tokens are signed for; another may be dialled.
    pub host: HostName,
    /// The port that tokens are signed for.
    pub port: u16,
    /// The region that tokens are signed for.
    pub region: Region,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.as_str().contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}
