//! Hosts, ports and listeners as they are written.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use countersign_config_file::{DiagnosticSink, Fields, Location, Spanned, string};
use countersign_core::endpoint::HostName;
use countersign_core::json::{Node, Value};
use countersign_core::name::InvalidName;

use super::ConfigContext;

/// What tokens are signed for: `HOST` or `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignHost {
    pub(crate) host: HostName,
    /// None is the engine's own port, which the other end of a tunnel usually has.
    pub(crate) port: Option<u16>,
}

impl FromStr for SignHost {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').unwrap_or(rest))),
            None if text.matches(':').count() == 1 => {
                text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
            }
            None => (text, None),
        };
        let number = |port: &str| port.parse().ok().filter(|port| *port != 0);
        let refused =
            || InvalidName::new("the host to sign for", "has a port that is not 1 to 65535");
        let port = port.map(|port| number(port).ok_or_else(refused)).transpose()?;
        Ok(Self { host: host.parse()?, port })
    }
}

/// A listener as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A port of the target's address.
    Port(u16),
    Tcp(SocketAddr),
    Unix(PathBuf),
    Activated(String),
}

/// One listener, or a list of them.
pub(super) fn listen(
    fields: &mut Fields<'_>,
    around: &ConfigContext<'_>,
    report: &DiagnosticSink,
) -> Option<Vec<Spanned<Wanted>>> {
    let (place, node) = fields.take("listen")?;
    let Value::Array(nodes) = &node.value else {
        return wanted(&place, node, around, report).map(|wanted| vec![wanted]);
    };
    if nodes.is_empty() {
        report.add(&place, "the list is empty, so nobody would reach the target");
    }
    Some(
        nodes
            .iter()
            .enumerate()
            .filter_map(|(index, node)| wanted(&place.index(index, node), node, around, report))
            .collect(),
    )
}

fn wanted(
    place: &Location,
    node: &Node,
    around: &ConfigContext<'_>,
    report: &DiagnosticSink,
) -> Option<Spanned<Wanted>> {
    let value = match &node.value {
        Value::Number(digits) => digits.parse().ok().map(Wanted::Port),
        Value::String(text) => text
            .strip_prefix("unix:")
            .map(|path| Wanted::Unix(around.path(path)))
            .or_else(|| {
                text.strip_prefix("systemd:").map(|name| Wanted::Activated(name.to_owned()))
            })
            .or_else(|| text.parse().ok().map(Wanted::Tcp)),
        _ => None,
    };
    if value.is_none() {
        let forms = "5433, \"127.0.0.1:5433\", \"[::1]:5433\", \"unix:/run/app/.s.PGSQL.5432\" or \"systemd:NAME\"";
        report.add(place, format!("a listener is written as {forms}"));
    }
    Some(Spanned { location: place.clone(), value: value? })
}

/// A port, from 1 on.
pub(super) fn port(fields: &mut Fields<'_>, key: &'static str) -> Option<u16> {
    fields.number(key, 1..=65_535).and_then(|port| u16::try_from(port).ok())
}

/// An IP address.
pub(super) fn address(
    fields: &mut Fields<'_>,
    key: &'static str,
    report: &DiagnosticSink,
) -> Option<IpAddr> {
    let text = fields.text(key)?;
    let address = text.value.parse().ok();
    if address.is_none() {
        report.add(&text.location, format!("{:?} is no IP address", text.value));
    }
    address
}

/// A path.
pub(super) fn path(
    fields: &mut Fields<'_>,
    key: &'static str,
    around: &ConfigContext<'_>,
    report: &DiagnosticSink,
) -> Option<PathBuf> {
    let (place, node) = fields.take(key)?;
    let text = string(place, node, report)?;
    if text.value.is_empty() {
        report.add(&text.location, "the path is empty");
        return None;
    }
    Some(around.path(text.value))
}
