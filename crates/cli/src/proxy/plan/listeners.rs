//! Where each target listens: as it says, or on ports that are counted up.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use countersign_core::name::Engine;
use countersign_proxy::settings::{Listen, Settings};

use crate::proxy::config::{Given, Raw, Wanted};
use crate::proxy::options::Options;

/// The name of PostgreSQL's socket in its directory. Source: `unix_socket_directories` in its manual.
const POSTGRES_SOCKET: &str = ".s.PGSQL.5432";

/// Who takes which port.
#[derive(Debug)]
pub(super) struct Listeners<'a> {
    flags: &'a Options,
    usual: &'a Options,
    /// Ports that are asked for, and those given away.
    taken: BTreeSet<u16>,
    /// The ports that targets had before, by their names.
    before: BTreeMap<String, u16>,
    /// Who listens where.
    claims: Vec<(Listen, String)>,
}

impl<'a> Listeners<'a> {
    pub(super) fn new(
        targets: &[Raw],
        flags: &'a Options,
        usual: &'a Options,
        before: Option<&Settings>,
    ) -> Self {
        let mut listeners = Self {
            flags,
            usual,
            taken: BTreeSet::new(),
            before: BTreeMap::new(),
            claims: Vec::new(),
        };
        let asked = targets
            .iter()
            .filter(|raw| listeners.keeps(raw))
            .flat_map(|raw| raw.listen.iter().flatten());
        let ports = asked.filter_map(|wanted| match &wanted.value {
            Wanted::Port(port) => Some(*port),
            Wanted::Tcp(address) => Some(address.port()),
            Wanted::Unix(_) | Wanted::Activated(_) => None,
        });
        listeners.taken = ports.collect();
        let counted =
            |name: &str| targets.iter().any(|raw| raw.name == name && raw.listen.is_none());
        let had = before
            .iter()
            .flat_map(|settings| &settings.targets)
            .filter(|target| counted(&target.name));
        let had = had.filter_map(|target| match target.listen.as_slice() {
            [Listen::Tcp(address)] => Some((target.name.clone(), address.port())),
            _ => None,
        });
        listeners.before = had.filter(|(_, port)| !listeners.taken.contains(port)).collect();
        listeners.taken.extend(listeners.before.values());
        listeners
    }

    /// Whether a target's own listeners hold: flags that say where to listen go before a file.
    fn keeps(&self, raw: &Raw) -> bool {
        raw.given == Given::ByUrl || (self.flags.port.is_none() && self.flags.unix_socket.is_none())
    }

    /// Notes where a target listens: the name of another that listens there, if there is one.
    pub(super) fn claim(&mut self, name: &str, listen: &Listen) -> Option<String> {
        let other = self
            .claims
            .iter()
            .find(|(claimed, _)| claimed == listen)
            .map(|(_, other)| other.clone());
        if other.is_none() {
            self.claims.push((listen.clone(), name.to_owned()));
        }
        other
    }

    /// A target's listeners.
    pub(super) fn of(&mut self, raw: &Raw, engine: Engine) -> Vec<Listen> {
        let (flag, usual) = (self.flags.address, self.usual.address);
        let address = super::target::first(raw.given, raw.address, flag, usual)
            .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        if let (Some(wanted), true) = (&raw.listen, self.keeps(raw)) {
            return wanted.iter().map(|wanted| resolve(&wanted.value, address)).collect();
        }
        let (flag, usual) = (self.flags.unix_socket.clone(), self.usual.unix_socket.clone());
        // A port on the command line is a wish for TCP, whatever the file says.
        let usual = if self.flags.port.is_some() { None } else { usual };
        if let Some(directory) =
            super::target::first(raw.given, raw.unix_socket.clone(), flag, usual)
        {
            return vec![Listen::Unix(socket(&directory, &raw.name, engine))];
        }
        vec![Listen::Tcp(SocketAddr::new(address, self.port(&raw.name, engine)))]
    }

    fn port(&mut self, name: &str, engine: Engine) -> u16 {
        if let Some(port) = self.before.get(name) {
            return *port;
        }
        let first = self.flags.port.or(self.usual.port).unwrap_or(engine.default_port());
        // Beyond the last port there is none: 0 lets the system choose, and the ready line says which.
        let port = (first..=u16::MAX).find(|port| !self.taken.contains(port)).unwrap_or(0);
        self.taken.insert(port);
        port
    }
}

fn resolve(wanted: &Wanted, address: IpAddr) -> Listen {
    match wanted {
        Wanted::Port(port) => Listen::Tcp(SocketAddr::new(address, *port)),
        Wanted::Tcp(address) => Listen::Tcp(*address),
        Wanted::Unix(path) => Listen::Unix(path.clone()),
        Wanted::Activated(name) => Listen::Activated(name.clone()),
    }
}

/// Where clients of an engine look for a socket: psql in a directory, the others at a path.
fn socket(directory: &Path, name: &str, engine: Engine) -> PathBuf {
    match engine {
        Engine::Postgres => directory.join(name).join(POSTGRES_SOCKET),
        Engine::Mariadb | Engine::Mysql => directory.join(name),
    }
}
