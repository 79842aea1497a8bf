//! Where STS is: AWS's own endpoints, and one that was configured.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::endpoint::HostName;
use crate::name::InvalidName;
use crate::region::{Partition, Region};

/// The first words of the regions of AWS's main partition; two more words follow.
/// Source: botocore's `partitions.json` (1.44), `regionRegex`.
const AREAS: [&str; 9] = ["us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx"];

/// The host that answers for AWS's main partition as a whole, where requests are signed for [`GLOBAL_REGION`].
const GLOBAL_HOST: &str = "sts.amazonaws.com";
const GLOBAL_REGION: &str = "us-east-1";

/// Scheme, host and port of an STS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StsEndpoint {
    scheme: &'static str,
    /// `HOST` or `HOST:PORT`, lower case: what the `host` header says, and what is signed.
    authority: Box<str>,
}

impl StsEndpoint {
    /// AWS's own in `region`.
    #[must_use]
    pub fn regional(region: &Region) -> Self {
        let authority = format!("sts.{region}.{}", region.partition().dns_suffix()).into();
        Self { scheme: "https", authority }
    }

    /// One that `AWS_ENDPOINT_URL` names: `https://HOST[:PORT]`, or `http://` where the host is this machine.
    ///
    /// # Errors
    /// It is none of these; the message does not repeat it, since it may hold a password.
    pub fn configured(url: &str) -> Result<Self, InvalidName> {
        let refuse = |reason: &str| InvalidName::new("the endpoint URL of STS", reason);
        let (scheme, rest, usual) =
            match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
                (Some(rest), _) => ("https", rest, ":443"),
                (_, Some(rest)) => ("http", rest, ":80"),
                _ => return Err(refuse("does not begin with https:// or http://")),
            };
        let authority = rest.strip_suffix('/').unwrap_or(rest).to_ascii_lowercase();
        let authority = authority.strip_suffix(usual).unwrap_or(&authority);
        let host = host_of(authority).ok_or_else(|| refuse("is not SCHEME://HOST[:PORT]"))?;
        if scheme == "http" && !is_loopback(host) {
            return Err(refuse(
                "is http:// to another machine, where anybody on the way could answer; use https://",
            ));
        }
        Ok(Self { scheme, authority: authority.into() })
    }

    /// What the `host` header says.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl fmt::Display for StsEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

/// The host of `HOST[:PORT]`, brackets around an IPv6 address removed; `None` where anything else stands there.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, port)
        }
        None => authority.split_at_checked(authority.find(':').unwrap_or(authority.len()))?,
    };
    let digits = port.strip_prefix(':').unwrap_or("1");
    let decimal = digits.bytes().all(|digit| digit.is_ascii_digit())
        && digits.parse::<u16>().is_ok_and(|port| port != 0);
    (host.parse::<HostName>().is_ok() && decimal).then_some(host)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || host.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
}

/// Which STS a verifier believes: AWS's endpoints of one partition, or one that was configured, and then no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedSts {
    partition: Partition,
    configured: Option<StsEndpoint>,
}

impl TrustedSts {
    /// AWS's own endpoints of `partition`.
    #[must_use]
    pub const fn aws(partition: Partition) -> Self {
        Self { partition, configured: None }
    }

    /// That endpoint alone, whose identities are of `partition`.
    #[must_use]
    pub const fn configured(partition: Partition, endpoint: StsEndpoint) -> Self {
        Self { partition, configured: Some(endpoint) }
    }

    /// The partition that identities must be of.
    #[must_use]
    pub const fn partition(&self) -> Partition {
        self.partition
    }

    /// The endpoint with this scheme and authority; `None` where it is not trusted.
    pub(super) fn find(&self, scheme: &str, authority: &str) -> Option<StsEndpoint> {
        if let Some(endpoint) = &self.configured {
            return (endpoint.scheme == scheme && *endpoint.authority == *authority)
                .then(|| endpoint.clone());
        }
        let global = self.partition == Partition::Aws && authority == GLOBAL_HOST;
        (scheme == "https" && (global || self.region_of(authority).is_some()))
            .then(|| StsEndpoint { scheme: "https", authority: authority.into() })
    }

    /// Whether a request to `endpoint` may be signed for `region`.
    pub(super) fn signs_for(&self, endpoint: &StsEndpoint, region: &str) -> bool {
        match self.region_of(&endpoint.authority) {
            _ if self.configured.is_some() => {
                region.parse::<Region>().is_ok_and(|region| region.partition() == self.partition)
            }
            Some(own) => own.as_str() == region,
            None => region == GLOBAL_REGION,
        }
    }

    /// The region of AWS's own endpoint `sts.REGION.SUFFIX`. It must have the very form of one: `sts.s3-us-west-2.amazonaws.com`
    /// is a bucket of whoever was first to name one `sts`.
    fn region_of(&self, authority: &str) -> Option<Region> {
        let label = authority
            .strip_prefix("sts.")?
            .strip_suffix(self.partition.dns_suffix())?
            .strip_suffix('.')?;
        let region: Region =
            label.parse().ok().filter(|region: &Region| region.partition() == self.partition)?;
        let words: Vec<&str> = label.split('-').collect();
        let (number, names) = words.split_last()?;
        let shaped = match self.partition {
            Partition::Aws => {
                names.len() == 2 && names.first().is_some_and(|area| AREAS.contains(area))
            }
            Partition::China => names.len() == 2,
            _ => names.len() == 3,
        };
        let lettered = names
            .iter()
            .all(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase()));
        let numbered = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
        (shaped && lettered && numbered).then_some(region)
    }
}
