//! The endpoint of a database, as clients and tokens name it.

use std::fmt;
use std::net::Ipv6Addr;

use crate::name::{Engine, InvalidName, checked_name};
use crate::region::Region;

checked_name! {
    /// A host as it was typed: a DNS name or an IP address of 1 to 253 bytes, in its original case.
    /// An IPv6 address has no brackets.
    HostName, |text| {
        if text.is_empty() || text.len() > 253 {
            return Err(InvalidName::new("the host", "is not 1 to 253 bytes long"));
        }
        let dns = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if text.bytes().all(dns) || text.parse::<Ipv6Addr>().is_ok() {
            Ok(())
        } else {
            let problem = format!("{text:?} is neither a DNS name nor an IP address");
            Err(InvalidName::new("the host", problem))
        }
    }
}

/// Address, engine and region of a database, for which a token is signed.
///
/// ```
/// use countersign_core::endpoint::Endpoint;
/// use countersign_core::name::Engine;
/// use countersign_core::region::Region;
///
/// let host = "orders.c9akciq32.us-east-1.rds.amazonaws.com";
/// let region = Region::of_rds_host(host).ok_or("not a host of RDS")?;
/// let engine = Engine::Postgres;
/// let endpoint =
///     Endpoint { engine, host: host.parse()?, port: engine.default_port(), region };
/// assert_eq!(endpoint.to_string(), format!("{host}:5432"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Engine of the database.
    pub engine: Engine,
    /// The host that tokens are signed for. A client may connect to another one.
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
