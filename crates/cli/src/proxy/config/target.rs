//! Parser of a target's table.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use countersign_config_file::{DiagnosticSink, Fields, Location, Spanned};
use countersign_connect::credentials_cache;
use countersign_connect::tls::Verification;
use countersign_core::endpoint::HostName;
use countersign_core::json::{Node, Value};
use countersign_core::name::{DbUser, Engine};
use countersign_core::region::Region;
use countersign_proxy::settings::{ClientAuth, ClientTls, TargetSessionAttrs};

use super::fields::{ListenSpec, SignHost, address, duration, listen, path, port};
use super::pool::{self, PoolConfig};
use super::secret::{self, ServerAuthConfig};
use super::{ConfigContext, compat};

/// Maximum of `logins-per-second`.
const MAX_LOGINS: u32 = 100_000;

/// Source of a target: parameters of a URL override flags, and flags override the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Url,
    File,
}

impl Source {
    /// Selects the value with the highest precedence: the target's own, a flag, or the file's
    /// `[proxy]` table.
    pub(crate) fn select<T>(
        self,
        own: Option<T>,
        flag: Option<T>,
        default: Option<T>,
    ) -> Option<T> {
        match self {
            Self::Url => own.or(flag).or(default),
            Self::File => flag.or(own).or(default),
        }
    }
}

/// Target as it is configured. `None` selects the default.
#[derive(Debug, Clone)]
pub(crate) struct TargetConfig {
    pub(crate) name: String,
    pub(crate) location: Location,
    pub(crate) source: Source,
    pub(crate) engine: Option<Engine>,
    pub(crate) host: Option<HostName>,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<DbUser>,
    pub(crate) database: Option<String>,
    pub(crate) sign_host: Option<SignHost>,
    pub(crate) region: Option<Region>,
    pub(crate) profile: Option<String>,
    pub(crate) roles: Option<Vec<credentials_cache::Role>>,
    pub(crate) server_auth: ServerAuthConfig,
    pub(crate) tls: Option<(Location, Verification)>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) target_session_attrs: Option<TargetSessionAttrs>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) unix_socket: Option<PathBuf>,
    pub(crate) listen: Option<Vec<Spanned<ListenSpec>>>,
    pub(crate) open_to_network: Option<bool>,
    pub(crate) client_auth: Option<(Location, ClientAuth)>,
    pub(crate) client_tls: Option<ClientTls>,
    pub(crate) pool: Option<PoolConfig>,
    pub(crate) max_connections: Option<u32>,
    pub(crate) logins_per_second: Option<u32>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) session_timeout: Option<Duration>,
}

/// Parses a table. Returns none if the table or its engine or host cannot be read.
pub(super) fn read(
    name: &str,
    node: &Node,
    location: Location,
    source: Source,
    context: &ConfigContext<'_>,
    sink: &DiagnosticSink,
) -> Option<TargetConfig> {
    let expanded = compat::expand(node, &location, context, sink)?;
    let mut owned = Fields::of(&expanded.node, location.clone(), sink)?;
    let fields = &mut owned;
    let server_auth = secret::server_auth(fields, context, sink);
    if let (Some(_), Some(_)) = (&server_auth, &expanded.password) {
        sink.add(&location, "server-auth is set twice: here, and as PASS in the variables");
    }
    let target = TargetConfig {
        name: name.to_owned(),
        source,
        engine: fields
            .required("engine")
            .and_then(|text| countersign_config_file::parse(&text, sink)),
        host: fields.required("host").and_then(|text| countersign_config_file::parse(&text, sink)),
        port: port(fields, "port"),
        user: fields.parsed("user"),
        database: fields.text("database").map(|database| database.value.to_owned()),
        sign_host: fields.parsed("sign-host"),
        region: fields.parsed("region"),
        profile: fields.text("profile").map(|profile| profile.value.to_owned()),
        roles: roles(fields, sink),
        server_auth: server_auth
            .or(expanded.password.map(ServerAuthConfig::Password))
            .unwrap_or(ServerAuthConfig::Iam),
        tls: one_of(fields, "tls", &VERIFICATIONS, sink),
        ca_file: path(fields, "ca-file", context, sink),
        target_session_attrs: one_of(fields, "target-session-attrs", &SESSION_ATTRS, sink)
            .map(|(_, attrs)| attrs),
        address: address(fields, "address", sink),
        unix_socket: path(fields, "unix-socket", context, sink),
        listen: listen(fields, context, sink),
        open_to_network: fields.flag("open-to-network"),
        client_auth: secret::client_auth(fields, context, sink),
        client_tls: client_tls(fields, context, sink),
        pool: pool::read(fields, sink),
        max_connections: fields.number("max-connections", 0..=u32::MAX),
        logins_per_second: fields.number("logins-per-second", 0..=MAX_LOGINS),
        connect_timeout: duration(fields, "connect-timeout", sink),
        session_timeout: duration(fields, "session-timeout", sink),
        location,
    };
    owned.finish();
    Some(target)
}

/// Values of `tls`, as libpq names them.
const VERIFICATIONS: [(&str, Verification); 4] = [
    ("verify-full", Verification::VerifyFull),
    ("verify-ca", Verification::VerifyCa),
    ("require", Verification::Require),
    ("disable", Verification::Disable),
];

const SESSION_ATTRS: [(&str, TargetSessionAttrs); 2] =
    [("any", TargetSessionAttrs::Any), ("read-write", TargetSessionAttrs::ReadWrite)];

/// Parses a value out of a fixed list.
fn one_of<T: Copy>(
    fields: &mut Fields<'_>,
    key: &'static str,
    values: &[(&str, T)],
    sink: &DiagnosticSink,
) -> Option<(Location, T)> {
    let text = fields.text(key)?;
    let found = values.iter().find(|(name, _)| *name == text.value).map(|(_, value)| *value);
    if found.is_none() {
        let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
        sink.add(&text.location, format!("{:?} is not one of {}", text.value, names.join(", ")));
    }
    Some((text.location, found?))
}

/// Parses one role or a chain: each an ARN, or a table with `arn`, `external-id`, `session-name`.
fn roles(fields: &mut Fields<'_>, sink: &DiagnosticSink) -> Option<Vec<credentials_cache::Role>> {
    let (location, node) = fields.take("roles")?;
    let roles: Vec<credentials_cache::Role> = match &node.value {
        Value::Array(nodes) => nodes
            .iter()
            .enumerate()
            .filter_map(|(index, node)| role(location.index(index, node), node, sink))
            .collect(),
        _ => role(location.clone(), node, sink).into_iter().collect(),
    };
    let settings = credentials_cache::CredentialsConfig {
        roles,
        ..credentials_cache::CredentialsConfig::default()
    };
    if let Err(failure) = settings.check() {
        sink.add(&location, failure.detail);
    }
    Some(settings.roles)
}

fn role(location: Location, node: &Node, sink: &DiagnosticSink) -> Option<credentials_cache::Role> {
    if let Value::String(text) = &node.value {
        let arn =
            countersign_config_file::parse(&Spanned { location, value: text.as_str() }, sink)?;
        return Some(credentials_cache::Role { arn, external_id: None, session_name: None });
    }
    let mut fields = Fields::of(node, location, sink)?;
    let arn = fields.required("arn").and_then(|text| countersign_config_file::parse(&text, sink));
    let mut text = |key| fields.text(key).map(|text| text.value.to_owned());
    let (external_id, session_name) = (text("external-id"), text("session-name"));
    fields.finish();
    Some(credentials_cache::Role { arn: arn?, external_id, session_name })
}

fn client_tls(
    fields: &mut Fields<'_>,
    context: &ConfigContext<'_>,
    sink: &DiagnosticSink,
) -> Option<ClientTls> {
    let (location, node) = fields.take("client-tls")?;
    let mut fields = Fields::of(node, location, sink)?;
    ["certificate", "key"].iter().for_each(|key| fields.require(key));
    let (certificate, key) =
        (path(&mut fields, "certificate", context, sink), path(&mut fields, "key", context, sink));
    let required = fields.flag("required").unwrap_or(false);
    fields.finish();
    Some(ClientTls { certificate: certificate?, key: key?, required })
}
