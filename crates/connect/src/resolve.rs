//! From a name to addresses, and from an alias to the RDS endpoint behind it.

mod system;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use countersign_core::endpoint::HostName;
use countersign_core::failure::{Class, Failure};
use countersign_core::region::Region;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use system::{Files, Names};

/// The most aliases that are followed. Source: BIND's `max-recursion-depth` is of that order; AWS documents no limit.
const MOST_ALIASES: usize = 8;

/// The longest that an answer is kept, whatever its TTL says: RDS moves an endpoint by changing its record.
const MOST_TTL: Duration = Duration::from_secs(30);

/// The longest that it is remembered that there is no such name.
const MOST_NEGATIVE_TTL: Duration = Duration::from_secs(5);

/// What asks DNS. Clones share its cache.
#[derive(Clone)]
pub struct Resolver(Source);

#[derive(Clone)]
enum Source {
    /// As the system's files say; read anew when they change, as on a laptop that changes networks.
    System(Arc<Files>),
    Given(Arc<Names>),
}

impl Resolver {
    /// The system's name servers, search list and hosts file.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System(Arc::new(Files::default())))
    }

    /// These name servers, and no hosts file.
    ///
    /// # Errors
    /// [`Class::Configuration`] where they can't be used.
    pub fn with(nameservers: &[SocketAddr]) -> Result<Self, Failure> {
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
        Ok(Self(Source::Given(Arc::new(names))))
    }

    /// The addresses of `host`, IPv6 first. An IP address is its own; `localhost` is this machine whatever anybody says.
    ///
    /// # Errors
    /// [`Class::Unavailable`] where there are none.
    pub async fn addresses(&self, host: &HostName, port: u16) -> Result<Vec<SocketAddr>, Failure> {
        let sockets = |addresses: Vec<IpAddr>| {
            addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect()
        };
        if let Some(own) = own(host) {
            return Ok(sockets(own));
        }
        let names = self.names()?;
        if let Some(written) = names.hosts_entry(host) {
            return Ok(sockets(written));
        }
        let answer =
            names.dns.lookup_ip(name(host)?).await.map_err(|error| unresolved(host, &error))?;
        let mut addresses: Vec<IpAddr> = answer.iter().collect();
        addresses.sort_by_key(IpAddr::is_ipv4);
        if addresses.is_empty() {
            return Err(Failure::new(
                Class::Unavailable,
                format!("the host {host} has no address; check its name"),
            ));
        }
        Ok(sockets(addresses))
    }

    /// The name that tokens are signed for where `host` is dialled: `host` itself where it is RDS's, else the first name of RDS's
    /// among those that it is an alias of. `None` where it is no alias at all: an IP address, `localhost`, a server of one's own.
    ///
    /// # Errors
    /// [`Class::Configuration`] where the aliases lead elsewhere, [`Class::Unavailable`] where there is no such name or no answer.
    pub async fn rds_endpoint(&self, host: &HostName) -> Result<Option<HostName>, Failure> {
        if Region::of_rds_host(host.as_str()).is_some() {
            return Ok(Some(host.clone()));
        }
        let names = self.names()?;
        if own(host).is_some() || names.hosts_entry(host).is_some() {
            return Ok(None);
        }
        let mut chain: Vec<HostName> = vec![host.clone()];
        let mut asked = name(host)?;
        for _ in 0..MOST_ALIASES {
            let alias = match names.dns.lookup(asked.clone(), RecordType::CNAME).await {
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
                    Err(astray(&chain, "which is not RDS's"))
                };
            };
            let next = written_out(&alias)
                .ok_or_else(|| astray(&chain, "whose own alias is not a host name"))?;
            if Region::of_rds_host(next.as_str()).is_some() {
                return Ok(Some(next));
            }
            if chain.iter().any(|seen| seen.as_str().eq_ignore_ascii_case(next.as_str())) {
                chain.push(next);
                return Err(astray(&chain, "so they go round in a circle"));
            }
            chain.push(next);
            asked = alias;
        }
        Err(astray(&chain, "and on: the chain is too long"))
    }

    fn names(&self) -> Result<Arc<Names>, Failure> {
        match &self.0 {
            Source::System(files) => files.names(),
            Source::Given(names) => Ok(Arc::clone(names)),
        }
    }
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Source::System(_) => "Resolver(system)",
            Source::Given(_) => "Resolver(given)",
        })
    }
}

fn build(config: ResolverConfig, mut options: ResolverOpts) -> Result<TokioResolver, Failure> {
    options.positive_max_ttl = Some(MOST_TTL);
    options.negative_max_ttl = Some(MOST_NEGATIVE_TTL);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    builder
        .build()
        .map_err(|error| Failure::new(Class::Configuration, format!("DNS can't be asked: {error}")))
}

/// What needs no question: RFC 6761, section 6.3, for `localhost`.
fn own(host: &HostName) -> Option<Vec<IpAddr>> {
    if let Ok(address) = host.as_str().parse() {
        return Some(vec![address]);
    }
    let name = host.as_str().trim_end_matches('.').to_ascii_lowercase();
    let local = name == "localhost" || name.ends_with(".localhost");
    local.then(|| vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()])
}

fn name(host: &HostName) -> Result<Name, Failure> {
    // Relaxed: people do have underscores in their names.
    Name::from_str_relaxed(host.as_str()).map_err(|error| {
        Failure::new(
            Class::Configuration,
            format!("the host {host:?} is not a name that DNS knows: {error}"),
        )
    })
}

fn written_out(alias: &Name) -> Option<HostName> {
    alias.to_utf8().trim_end_matches('.').to_ascii_lowercase().parse().ok()
}

fn unresolved(host: &HostName, error: &NetError) -> Failure {
    let detail = match (error.is_nx_domain(), error.is_no_records_found()) {
        (true, _) => format!(
            "there is no host {host}; check the name, and whether it is one of a private zone"
        ),
        (false, true) => format!("the host {host} has no address; check its name"),
        (false, false) => {
            format!("the host {host} can't be looked up: {error}; check the name servers")
        }
    };
    Failure::new(Class::Unavailable, detail)
}

fn astray(chain: &[HostName], why: &str) -> Failure {
    let mut path = String::new();
    for (at, name) in chain.iter().enumerate() {
        let link = match at {
            0 => "",
            1 => " is an alias of ",
            _ => ", an alias of ",
        };
        let _ = write!(path, "{link}{name}");
    }
    let advice = "name the RDS endpoint that tokens are to be signed for";
    Failure::new(
        Class::Configuration,
        format!("the host name does not lead to an RDS endpoint: {path}, {why}; {advice}"),
    )
}

#[cfg(test)]
mod tests;
