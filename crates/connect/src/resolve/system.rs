//! The system's files: `resolv.conf` and `hosts`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use countersign_core::endpoint::HostName;
use countersign_core::failure::Failure;
use hickory_resolver::config::{ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};

use super::build;

/// Source: resolv.conf(5), hosts(5).
const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// DNS, and the names that are written down.
pub(super) struct Names {
    pub(super) dns: TokioResolver,
    hosts: Option<Hosts>,
}

/// What the files say, as they were last seen.
#[derive(Default)]
pub(super) struct Files(Mutex<Option<([Stamp; 2], Arc<Names>)>>);

/// Tells a file from what it was before.
type Stamp = Option<(SystemTime, u64, PathBuf)>;

impl Files {
    pub(super) fn names(&self) -> Result<Arc<Names>, Failure> {
        let now = FILES.map(|path| stamp(Path::new(path)));
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((stamps, names)) = &*seen
            && *stamps == now
        {
            return Ok(Arc::clone(names));
        }
        // Without name servers there are still the names in the hosts file.
        let (config, mut options) = read_system_conf().unwrap_or_else(|error| {
            tracing::warn!("{} can't be used: {error}", FILES[0]);
            (ResolverConfig::from_parts(None, Vec::new(), Vec::new()), ResolverOpts::default())
        });
        // They are looked at here, ahead of DNS, and for either family: a host that is written down with one address has one.
        options.use_hosts_file = ResolveHosts::Never;
        let names = Arc::new(Names::new(build(config, options)?, Hosts::from_system().ok()));
        *seen = Some((now, Arc::clone(&names)));
        Ok(names)
    }
}

/// The path that a link leads to counts: systemd's and NetworkManager's `resolv.conf` are links that are swapped.
fn stamp(path: &Path) -> Stamp {
    let file = path.metadata().ok()?;
    Some((file.modified().ok()?, file.len(), path.canonicalize().ok()?))
}

impl Names {
    pub(super) const fn new(dns: TokioResolver, hosts: Option<Hosts>) -> Self {
        Self { dns, hosts }
    }

    /// The addresses of a host that is written down.
    pub(super) fn hosts_entry(&self, host: &HostName) -> Option<Vec<IpAddr>> {
        let hosts = self.hosts.as_ref()?;
        let name = Name::from_str_relaxed(host.as_str()).ok()?;
        let addresses = [RecordType::AAAA, RecordType::A]
            .into_iter()
            .filter_map(|kind| hosts.lookup_static_host(&Query::query(name.clone(), kind)))
            .flat_map(|lookup| {
                lookup
                    .answers()
                    .iter()
                    .filter_map(|record| address(&record.data))
                    .collect::<Vec<_>>()
            });
        let addresses: Vec<IpAddr> = addresses.collect();
        (!addresses.is_empty()).then_some(addresses)
    }
}

fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    }
}
