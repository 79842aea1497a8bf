//! Endpoints of STS: those of AWS, or a configured one.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::endpoint::HostName;
use crate::name::InvalidName;
use crate::region::{Partition, Region};

/// First words of the regions in AWS's main partition; two more words follow.
/// Source: botocore's `partitions.json` (1.44), `regionRegex`.
const AREAS: [&str; 9] = ["us", "eu", "ap", "sa", "ca", "me", "af", "il", "mx"];

/// The global host of AWS's main partition, where requests are signed for [`GLOBAL_REGION`].
const GLOBAL_HOST: &str = "sts.amazonaws.com";
const GLOBAL_REGION: &str = "us-east-1";

/// Scheme, host and port of an STS endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StsEndpoint {
    scheme: &'static str,
    /// `HOST` or `HOST:PORT` in lower case, as in the `host` header and as signed.
    authority: Box<str>,
}

impl StsEndpoint {
    /// Returns AWS's endpoint in `region`.
    #[must_use]
    pub fn regional(region: &Region) -> Self {
        let authority = format!("sts.{region}.{}", region.partition().dns_suffix()).into();
        Self { scheme: "https", authority }
    }

    /// Parses the endpoint of `AWS_ENDPOINT_URL`: `https://HOST[:PORT]`, or `http://` if the host
    /// is a loopback address.
    ///
    /// # Errors
    /// The URL has another form. The message does not repeat it, because it may contain a password.
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
                "is http:// to another machine, which does not authenticate the response; use \
                 https://",
            ));
        }
        Ok(Self { scheme, authority: authority.into() })
    }

    /// The value of the `host` header.
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

/// Returns the host of `HOST[:PORT]`, without the brackets of an IPv6 address. Returns `None` for
/// any other form.
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

/// STS endpoints that a verifier trusts: those of one AWS partition, or only a configured one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedSts {
    partition: Partition,
    configured: Option<StsEndpoint>,
}

impl TrustedSts {
    /// Trusts AWS's endpoints in `partition`.
    #[must_use]
    pub const fn aws(partition: Partition) -> Self {
        Self { partition, configured: None }
    }

    /// Trusts only `endpoint`, with identities in `partition`.
    #[must_use]
    pub const fn configured(partition: Partition, endpoint: StsEndpoint) -> Self {
        Self { partition, configured: Some(endpoint) }
    }

    /// The partition that identities must belong to.
    #[must_use]
    pub const fn partition(&self) -> Partition {
        self.partition
    }

    /// Returns the endpoint with this scheme and authority; `None` if it is not trusted.
    pub(super) fn find(&self, scheme: &str, authority: &str) -> Option<StsEndpoint> {
        if let Some(endpoint) = &self.configured {
            return (endpoint.scheme == scheme && *endpoint.authority == *authority)
                .then(|| endpoint.clone());
        }
        let global = self.partition == Partition::Aws && authority == GLOBAL_HOST;
        (scheme == "https" && (global || self.region_of(authority).is_some()))
            .then(|| StsEndpoint { scheme: "https", authority: authority.into() })
    }

    /// Returns true if a request to `endpoint` may be signed for `region`.
    pub(super) fn signs_for(&self, endpoint: &StsEndpoint, region: &str) -> bool {
        match self.region_of(&endpoint.authority) {
            _ if self.configured.is_some() => {
                region.parse::<Region>().is_ok_and(|region| region.partition() == self.partition)
            }
            Some(own) => own.as_str() == region,
            None => region == GLOBAL_REGION,
        }
    }

    /// Returns the region of AWS's endpoint `sts.REGION.SUFFIX`. The form is checked strictly:
    /// `sts.s3-us-west-2.amazonaws.com` is an S3 bucket named `sts`, which any account may own.
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
