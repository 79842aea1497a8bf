//! The system's resolver configuration: `resolv.conf` and `hosts`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use countersign_core::endpoint::HostName;
use countersign_core::failure::{Class, Failure};
use hickory_resolver::config::{ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hickory_resolver::{Hosts, TokioResolver};

/// The files. Source: resolv.conf(5), hosts(5).
const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// Maximum time that an answer is cached, whatever its TTL: RDS moves an endpoint by changing its
/// DNS record.
const MAX_TTL: Duration = Duration::from_secs(30);

/// Maximum time that a negative answer is cached.
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(5);

/// A DNS resolver and the entries of the hosts file.
pub(super) struct Names {
    pub(super) dns: TokioResolver,
    hosts: Option<Hosts>,
}

/// The files' content, with the fingerprints of the files when they were read.
#[derive(Default)]
pub(super) struct Files(Mutex<Option<([FileFingerprint; 2], Arc<Names>)>>);

/// Modification time, size and real path of a file: different if the file has changed.
type FileFingerprint = Option<(SystemTime, u64, PathBuf)>;

impl Files {
    pub(super) fn names(&self) -> Result<Arc<Names>, Failure> {
        let now = FILES.map(|path| fingerprint(Path::new(path)));
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((fingerprints, names)) = &*seen
            && *fingerprints == now
        {
            return Ok(Arc::clone(names));
        }
        // Without name servers, the hosts file is still used.
        let (config, mut options) = read_system_conf().unwrap_or_else(|error| {
            tracing::warn!("cannot read {}: {error}; only the hosts file is used", FILES[0]);
            (ResolverConfig::from_parts(None, Vec::new(), Vec::new()), ResolverOpts::default())
        });
        // The hosts file is searched here, before DNS and for both families: a host with one entry
        // has one address.
        options.use_hosts_file = ResolveHosts::Never;
        let names = Arc::new(Names::new(build(config, options)?, Hosts::from_system().ok()));
        *seen = Some((now, Arc::clone(&names)));
        Ok(names)
    }
}

pub(super) fn build(
    config: ResolverConfig,
    mut options: ResolverOpts,
) -> Result<TokioResolver, Failure> {
    options.positive_max_ttl = Some(MAX_TTL);
    options.negative_max_ttl = Some(MAX_NEGATIVE_TTL);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    builder.build().map_err(|error| {
        Failure::new(Class::Configuration, format!("cannot set up the DNS resolver: {error}"))
    })
}

/// The real path is part of it: systemd's and NetworkManager's `resolv.conf` are links that are
/// switched.
fn fingerprint(path: &Path) -> FileFingerprint {
    let file = path.metadata().ok()?;
    Some((file.modified().ok()?, file.len(), path.canonicalize().ok()?))
}

impl Names {
    pub(super) const fn new(dns: TokioResolver, hosts: Option<Hosts>) -> Self {
        Self { dns, hosts }
    }

    /// Returns the addresses that the hosts file has for `host`.
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
