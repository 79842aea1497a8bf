//! Parsers of field values: hosts, ports, listeners, paths, durations.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use countersign_config_file::{DiagnosticSink, Fields, Location, Spanned, string};
use countersign_core::endpoint::HostName;
use countersign_core::json::{Node, Value};
use countersign_core::name::InvalidName;

use super::ConfigContext;
use crate::proxy::duration;

/// Host and port for which tokens are signed: `HOST` or `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SignHost {
    pub(crate) host: HostName,
    /// None selects the engine's default port, on which instances behind tunnels usually listen.
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
        let invalid =
            || InvalidName::new("the host to sign for", "has a port that is not 1 to 65535");
        let port = port.map(|port| number(port).ok_or_else(invalid)).transpose()?;
        Ok(Self { host: host.parse()?, port })
    }
}

/// Listener of a target as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListenSpec {
    /// Port at the target's IP address.
    Port(u16),
    Tcp(SocketAddr),
    Unix(PathBuf),
    Activated(String),
}

/// Parses `listen`: one listener or a list.
pub(super) fn listen(
    fields: &mut Fields<'_>,
    context: &ConfigContext<'_>,
    sink: &DiagnosticSink,
) -> Option<Vec<Spanned<ListenSpec>>> {
    let (location, node) = fields.take("listen")?;
    let Value::Array(nodes) = &node.value else {
        return listen_spec(&location, node, context, sink).map(|spec| vec![spec]);
    };
    if nodes.is_empty() {
        sink.add(&location, "the list is empty: clients could not reach the target");
    }
    let spec = |(index, node)| listen_spec(&location.index(index, node), node, context, sink);
    Some(nodes.iter().enumerate().filter_map(spec).collect())
}

fn listen_spec(
    location: &Location,
    node: &Node,
    context: &ConfigContext<'_>,
    sink: &DiagnosticSink,
) -> Option<Spanned<ListenSpec>> {
    let value = match &node.value {
        Value::Number(digits) => digits.parse().ok().map(ListenSpec::Port),
        Value::String(text) => text
            .strip_prefix("unix:")
            .map(|path| ListenSpec::Unix(context.path(path)))
            .or_else(|| {
                text.strip_prefix("systemd:").map(|name| ListenSpec::Activated(name.to_owned()))
            })
            .or_else(|| text.parse().ok().map(ListenSpec::Tcp)),
        _ => None,
    };
    if value.is_none() {
        sink.add(
            location,
            "a listener is written as 5433, \"127.0.0.1:5433\", \"[::1]:5433\", \
             \"unix:/run/app/.s.PGSQL.5432\" or \"systemd:NAME\"",
        );
    }
    Some(Spanned { location: location.clone(), value: value? })
}

/// Parses a port other than 0.
pub(super) fn port(fields: &mut Fields<'_>, key: &'static str) -> Option<u16> {
    fields.number(key, 1..=65_535).and_then(|port| u16::try_from(port).ok())
}

/// Parses an IP address.
pub(super) fn address(
    fields: &mut Fields<'_>,
    key: &'static str,
    sink: &DiagnosticSink,
) -> Option<IpAddr> {
    let text = fields.text(key)?;
    let address = text.value.parse().ok();
    if address.is_none() {
        sink.add(&text.location, format!("{:?} is not an IP address", text.value));
    }
    address
}

/// Parses a path and resolves it against the directory of the configuration.
pub(super) fn path(
    fields: &mut Fields<'_>,
    key: &'static str,
    context: &ConfigContext<'_>,
    sink: &DiagnosticSink,
) -> Option<PathBuf> {
    let (location, node) = fields.take(key)?;
    let text = string(location, node, sink)?;
    if text.value.is_empty() {
        sink.add(&text.location, "the path is empty");
        return None;
    }
    Some(context.path(text.value))
}

/// Parses a duration.
pub(super) fn duration(
    fields: &mut Fields<'_>,
    key: &'static str,
    sink: &DiagnosticSink,
) -> Option<Duration> {
    let Spanned { location, value } = fields.text(key)?;
    duration::parse(value).map_err(|problem| sink.add(&location, problem)).ok()
}
