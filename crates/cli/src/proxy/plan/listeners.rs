//! Assignment of listeners: as a target configures them, or on consecutive ports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use countersign_core::name::Engine;
use countersign_proxy::settings::{Listen, Settings, TargetSettings};

use crate::proxy::config::{ListenSpec, Source, TargetConfig};
use crate::proxy::options::Options;

/// Name of PostgreSQL's socket. Source: `unix_socket_directories` in its manual.
const POSTGRES_SOCKET: &str = ".s.PGSQL.5432";

/// Assigns listeners to targets.
#[derive(Debug)]
pub(super) struct ListenerAllocator<'a> {
    flags: &'a Options,
    defaults: &'a Options,
    /// Configured and assigned ports.
    used_ports: BTreeSet<u16>,
    /// Ports assigned before a reload, by name of target.
    previous_ports: BTreeMap<String, u16>,
    /// Assigned listeners with the names of their targets.
    assigned: Vec<(Listen, String)>,
}

impl<'a> ListenerAllocator<'a> {
    pub(super) fn new(
        targets: &[TargetConfig],
        flags: &'a Options,
        defaults: &'a Options,
        previous: Option<&Settings>,
    ) -> Self {
        let mut allocator = Self {
            flags,
            defaults,
            used_ports: BTreeSet::new(),
            previous_ports: BTreeMap::new(),
            assigned: Vec::new(),
        };
        let configured = targets
            .iter()
            .filter(|target| allocator.uses_own_listeners(target))
            .flat_map(|target| target.listen.iter().flatten())
            .filter_map(|spec| match &spec.value {
                ListenSpec::Port(port) => Some(*port),
                ListenSpec::Tcp(address) => Some(address.port()),
                ListenSpec::Unix(_) | ListenSpec::Activated(_) => None,
            });
        allocator.used_ports = configured.collect();
        let has_assigned_port = |name: &str| {
            targets.iter().any(|target| target.name == name && target.listen.is_none())
        };
        let previous_port = |target: &TargetSettings| match target.listen.as_slice() {
            [Listen::Tcp(address)] => Some((target.name.clone(), address.port())),
            _ => None,
        };
        allocator.previous_ports = previous
            .iter()
            .flat_map(|settings| &settings.targets)
            .filter(|target| has_assigned_port(&target.name))
            .filter_map(previous_port)
            .filter(|(_, port)| !allocator.used_ports.contains(port))
            .collect();
        allocator.used_ports.extend(allocator.previous_ports.values());
        allocator
    }

    /// Returns true if a target's own listeners apply. Flags for listeners override the file.
    fn uses_own_listeners(&self, target: &TargetConfig) -> bool {
        target.source == Source::Url
            || (self.flags.port.is_none() && self.flags.unix_socket.is_none())
    }

    /// Records a listener of a target. Returns the name of another target with the same listener.
    pub(super) fn claim(&mut self, name: &str, listen: &Listen) -> Option<String> {
        let other = self
            .assigned
            .iter()
            .find(|(assigned, _)| assigned == listen)
            .map(|(_, other)| other.clone());
        if other.is_none() {
            self.assigned.push((listen.clone(), name.to_owned()));
        }
        other
    }

    /// Returns the listeners of a target.
    pub(super) fn assign(&mut self, target: &TargetConfig, engine: Engine) -> Vec<Listen> {
        let address = target
            .source
            .select(target.address, self.flags.address, self.defaults.address)
            .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        if let (Some(specs), true) = (&target.listen, self.uses_own_listeners(target)) {
            return specs.iter().map(|spec| resolve(&spec.value, address)).collect();
        }
        let flag = self.flags.unix_socket.clone();
        // --port selects TCP, and overrides unix-socket in [proxy].
        let default = self.defaults.unix_socket.clone().filter(|_| self.flags.port.is_none());
        if let Some(directory) = target.source.select(target.unix_socket.clone(), flag, default) {
            return vec![Listen::Unix(socket_path(&directory, &target.name, engine))];
        }
        vec![Listen::Tcp(SocketAddr::new(address, self.assign_port(&target.name, engine)))]
    }

    fn assign_port(&mut self, name: &str, engine: Engine) -> u16 {
        if let Some(port) = self.previous_ports.get(name) {
            return *port;
        }
        let first = self.flags.port.or(self.defaults.port).unwrap_or(engine.default_port());
        // If all ports are used, 0 lets the system choose; the ready line shows the port.
        let port = (first..=u16::MAX).find(|port| !self.used_ports.contains(port)).unwrap_or(0);
        self.used_ports.insert(port);
        port
    }
}

fn resolve(spec: &ListenSpec, address: IpAddr) -> Listen {
    match spec {
        ListenSpec::Port(port) => Listen::Tcp(SocketAddr::new(address, *port)),
        ListenSpec::Tcp(address) => Listen::Tcp(*address),
        ListenSpec::Unix(path) => Listen::Unix(path.clone()),
        ListenSpec::Activated(name) => Listen::Activated(name.clone()),
    }
}

/// Returns the path of a target's socket: psql finds sockets by directory, other clients by path.
fn socket_path(directory: &Path, name: &str, engine: Engine) -> PathBuf {
    match engine {
        Engine::Postgres => directory.join(name).join(POSTGRES_SOCKET),
        Engine::Mariadb | Engine::Mysql => directory.join(name),
    }
}
