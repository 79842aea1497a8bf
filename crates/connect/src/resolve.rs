//! Resolves host names to addresses, and aliases to the RDS endpoints that tokens are signed for.

mod system;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use countersign_core::endpoint::HostName;
use countersign_core::failure::{Class, Failure};
use countersign_core::region::Region;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use system::{Files, Names, build};

/// Maximum number of aliases that are followed. BIND's `max-recursion-depth` is of that order; AWS
/// documents no limit.
const MAX_ALIASES: usize = 8;

/// A DNS resolver. Clones share its cache.
#[derive(Clone)]
pub struct Resolver(Source);

#[derive(Clone)]
enum Source {
    /// The system's configuration files, reloaded when they change, as on a laptop that changes
    /// networks.
    System(Arc<Files>),
    Static(Arc<Names>),
}

impl Resolver {
    /// Creates a resolver with the system's name servers, search list and hosts file.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System(Arc::new(Files::default())))
    }

    /// Creates a resolver with these name servers and no hosts file.
    ///
    /// # Errors
    /// [`Class::Configuration`] if they cannot be used.
    pub fn with_nameservers(nameservers: &[SocketAddr]) -> Result<Self, Failure> {
        let configure = |server: &SocketAddr| {
            let on_port = |mut connection: ConnectionConfig| {
                connection.port = server.port();
                connection
            };
            NameServerConfig::new(
                server.ip(),
                true,
                [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(on_port).to_vec(),
            )
        };
        let config = ResolverConfig::from_parts(
            None,
            Vec::new(),
            nameservers.iter().map(configure).collect(),
        );
        let names = Names::new(build(config, ResolverOpts::default())?, None);
        Ok(Self(Source::Static(Arc::new(names))))
    }

    /// Returns the addresses of `host`, IPv6 first. An IP address resolves to itself, and
    /// `localhost` to the loopback addresses without a lookup.
    ///
    /// # Errors
    /// [`Class::Unavailable`] if the lookup fails or returns none.
    pub async fn addresses(&self, host: &HostName, port: u16) -> Result<Vec<SocketAddr>, Failure> {
        let sockets = |addresses: Vec<IpAddr>| {
            addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect()
        };
        if let Some(addresses) = static_addresses(host) {
            return Ok(sockets(addresses));
        }
        let names = self.names()?;
        if let Some(addresses) = names.hosts_entry(host) {
            return Ok(sockets(addresses));
        }
        let answer =
            names.dns.lookup_ip(name(host)?).await.map_err(|error| unresolved(host, &error))?;
        let mut addresses: Vec<IpAddr> = answer.iter().collect();
        addresses.sort_by_key(IpAddr::is_ipv4);
        if addresses.is_empty() {
            return Err(Failure::new(
                Class::Unavailable,
                format!("cannot resolve {host}: the name has no address; check the name"),
            ));
        }
        Ok(sockets(addresses))
    }

    /// Returns the host name to sign tokens for: `host` if it is an RDS endpoint, else the first
    /// RDS endpoint in its chain of aliases. `None` if it is not an alias: an IP address,
    /// `localhost`, a self-managed server.
    ///
    /// # Errors
    /// [`Class::Configuration`] if the chain of aliases contains no RDS endpoint,
    /// [`Class::Unavailable`] if the name does not exist or the lookup fails.
    pub async fn rds_endpoint(&self, host: &HostName) -> Result<Option<HostName>, Failure> {
        if Region::of_rds_host(host.as_str()).is_some() {
            return Ok(Some(host.clone()));
        }
        let names = self.names()?;
        if static_addresses(host).is_some() || names.hosts_entry(host).is_some() {
            return Ok(None);
        }
        let mut chain: Vec<HostName> = vec![host.clone()];
        let mut queried = name(host)?;
        for _ in 0..MAX_ALIASES {
            let alias = match names.dns.lookup(queried.clone(), RecordType::CNAME).await {
                Ok(answer) => answer.answers().iter().find_map(|record| match &record.data {
                    RData::CNAME(alias) => Some(alias.0.clone()),
                    _ => None,
                }),
                Err(error) if error.is_no_records_found() && !error.is_nx_domain() => None,
                Err(error) => return Err(unresolved(host, &error)),
            };
            let Some(alias) = alias else {
                return if chain.len() == 1 {
                    Ok(None)
                } else {
                    Err(alias_error(&chain, "which is not an RDS endpoint"))
                };
            };
            let next = host_name(&alias)
                .ok_or_else(|| alias_error(&chain, "whose alias is not a host name"))?;
            if Region::of_rds_host(next.as_str()).is_some() {
                return Ok(Some(next));
            }
            if chain.iter().any(|seen| seen.as_str().eq_ignore_ascii_case(next.as_str())) {
                chain.push(next);
                return Err(alias_error(&chain, "which is a loop"));
            }
            chain.push(next);
            queried = alias;
        }
        Err(alias_error(&chain, "and more: the chain is too long"))
    }

    fn names(&self) -> Result<Arc<Names>, Failure> {
        match &self.0 {
            Source::System(files) => files.names(),
            Source::Static(names) => Ok(Arc::clone(names)),
        }
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Source::System(_) => "Resolver(system)",
            Source::Static(_) => "Resolver(static)",
        })
    }
}

/// Returns the addresses that need no lookup: IP addresses, and `localhost` (RFC 6761, section
/// 6.3).
fn static_addresses(host: &HostName) -> Option<Vec<IpAddr>> {
    if let Ok(address) = host.as_str().parse() {
        return Some(vec![address]);
    }
    let name = host.as_str().trim_end_matches('.').to_ascii_lowercase();
    let local = name == "localhost" || name.ends_with(".localhost");
    local.then(|| vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()])
}

fn name(host: &HostName) -> Result<Name, Failure> {
    // Relaxed: host names with underscores exist.
    Name::from_str_relaxed(host.as_str()).map_err(|error| {
        Failure::new(
            Class::Configuration,
            format!("the host {host:?} is not a name that DNS knows: {error}"),
        )
    })
}

fn host_name(alias: &Name) -> Option<HostName> {
    alias.to_utf8().trim_end_matches('.').to_ascii_lowercase().parse().ok()
}

fn unresolved(host: &HostName, error: &NetError) -> Failure {
    let detail = match (error.is_nx_domain(), error.is_no_records_found()) {
        (true, _) => format!(
            "cannot resolve {host}: no such host; check the name, and that a name of a private \
             zone is resolved within its network"
        ),
        (false, true) => format!("cannot resolve {host}: the name has no address; check the name"),
        (false, false) => {
            format!("cannot resolve {host}: {error}; check the name servers")
        }
    };
    Failure::new(Class::Unavailable, detail)
}

fn alias_error(chain: &[HostName], why: &str) -> Failure {
    let mut path = String::new();
    for (at, name) in chain.iter().enumerate() {
        let link = match at {
            0 => "",
            1 => " is an alias of ",
            _ => ", an alias of ",
        };
        let _ = write!(path, "{link}{name}");
    }
    let remedy = "set sign-host to the RDS endpoint that tokens are signed for";
    Failure::new(
        Class::Configuration,
        format!("cannot find the RDS endpoint: {path}, {why}; {remedy}"),
    )
}

#[cfg(test)]
mod tests;
