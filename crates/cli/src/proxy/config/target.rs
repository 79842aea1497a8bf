//! One target's table.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use countersign_config_file::{DiagnosticSink, Fields, Location, Spanned};
use countersign_connect::credentials_cache;
use countersign_connect::tls::Verification;
use countersign_core::endpoint::HostName;
use countersign_core::json::{Node, Value};
use countersign_core::name::{DbUser, Engine};
use countersign_core::region::Region;
use countersign_proxy::settings::{ClientAuth, ClientTls, Password, TargetSessionAttrs};

use super::place::{address, listen, path, port};
use super::pool::span;
use super::{ConfigContext, RawPool, SignHost, Wanted, compat, pool, secret};

/// The most logins a second that may be set.
const MOST_LOGINS: u32 = 100_000;

/// Who said what a target is: a URL's parameters go before flags, and flags before the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given {
    ByUrl,
    InFile,
}

/// What a server is logged in to with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RawServerAuth {
    Iam,
    Password(Arc<Password>),
}

/// A target as it is written: what nobody says is `None`.
#[derive(Debug, Clone)]
pub(crate) struct Raw {
    pub(crate) name: String,
    pub(crate) place: Location,
    pub(crate) given: Given,
    pub(crate) engine: Option<Engine>,
    pub(crate) host: Option<HostName>,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<DbUser>,
    pub(crate) database: Option<String>,
    pub(crate) sign_host: Option<SignHost>,
    pub(crate) region: Option<Region>,
    pub(crate) profile: Option<String>,
    pub(crate) roles: Option<Vec<credentials_cache::Role>>,
    pub(crate) server_auth: RawServerAuth,
    pub(crate) tls: Option<(Location, Verification)>,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) target_session_attrs: Option<TargetSessionAttrs>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) unix_socket: Option<PathBuf>,
    pub(crate) listen: Option<Vec<Spanned<Wanted>>>,
    pub(crate) open_to_network: Option<bool>,
    pub(crate) client_auth: Option<(Location, ClientAuth)>,
    pub(crate) client_tls: Option<ClientTls>,
    pub(crate) pool: Option<RawPool>,
    pub(crate) max_connections: Option<u32>,
    pub(crate) logins_per_second: Option<u32>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) session_timeout: Option<Duration>,
}

/// Reads a table; none where what it says can't be made out.
pub(super) fn read(
    name: &str,
    node: &Node,
    place: Location,
    given: Given,
    around: &ConfigContext<'_>,
    report: &DiagnosticSink,
) -> Option<Raw> {
    let form = compat::unfold(node, &place, around, report)?;
    let mut owned = Fields::of(&form.node, place.clone(), report)?;
    let fields = &mut owned;
    let server_auth = secret::server_auth(fields, around, report);
    if let (Some(_), Some(_)) = (&server_auth, &form.password) {
        report.add(&place, "server-auth is said twice: here, and as PASS in the variables");
    }
    let raw = Raw {
        name: name.to_owned(),
        given,
        engine: fields
            .required("engine")
            .and_then(|text| countersign_config_file::parse(&text, report)),
        host: fields
            .required("host")
            .and_then(|text| countersign_config_file::parse(&text, report)),
        port: port(fields, "port"),
        user: fields.parsed("user"),
        database: fields.text("database").map(|database| database.value.to_owned()),
        sign_host: fields.parsed("sign-host"),
        region: fields.parsed("region"),
        profile: fields.text("profile").map(|profile| profile.value.to_owned()),
        roles: roles(fields, report),
        server_auth: server_auth
            .or(form.password.map(RawServerAuth::Password))
            .unwrap_or(RawServerAuth::Iam),
        tls: word(fields, "tls", &VERIFICATIONS, report),
        ca_file: path(fields, "ca-file", around, report),
        target_session_attrs: word(fields, "target-session-attrs", &SESSION_ATTRS, report)
            .map(|(_, attrs)| attrs),
        address: address(fields, "address", report),
        unix_socket: path(fields, "unix-socket", around, report),
        listen: listen(fields, around, report),
        open_to_network: fields.flag("open-to-network"),
        client_auth: secret::client_auth(fields, around, report),
        client_tls: client_tls(fields, around, report),
        pool: pool::read(fields, report),
        max_connections: fields.number("max-connections", 0..=u32::MAX),
        logins_per_second: fields.number("logins-per-second", 0..=MOST_LOGINS),
        connect_timeout: span(fields, "connect-timeout", report),
        session_timeout: span(fields, "session-timeout", report),
        place,
    };
    owned.finish();
    Some(raw)
}

/// libpq's words.
const VERIFICATIONS: [(&str, Verification); 4] = [
    ("verify-full", Verification::VerifyFull),
    ("verify-ca", Verification::VerifyCa),
    ("require", Verification::Require),
    ("disable", Verification::Disable),
];

const SESSION_ATTRS: [(&str, TargetSessionAttrs); 2] =
    [("any", TargetSessionAttrs::Any), ("read-write", TargetSessionAttrs::ReadWrite)];

/// One of a few words.
fn word<T: Copy>(
    fields: &mut Fields<'_>,
    key: &'static str,
    words: &[(&str, T)],
    report: &DiagnosticSink,
) -> Option<(Location, T)> {
    let text = fields.text(key)?;
    let found = words.iter().find(|(word, _)| *word == text.value).map(|(_, value)| *value);
    if found.is_none() {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        report.add(&text.location, format!("{:?} is not one of {}", text.value, words.join(", ")));
    }
    Some((text.location, found?))
}

/// One role or a chain: each an ARN, or a table of it with external id and session name.
fn roles(fields: &mut Fields<'_>, report: &DiagnosticSink) -> Option<Vec<credentials_cache::Role>> {
    let (place, node) = fields.take("roles")?;
    let roles: Vec<credentials_cache::Role> = match &node.value {
        Value::Array(nodes) => nodes
            .iter()
            .enumerate()
            .filter_map(|(index, node)| role(place.index(index, node), node, report))
            .collect(),
        _ => role(place.clone(), node, report).into_iter().collect(),
    };
    let settings = credentials_cache::CredentialsConfig {
        roles,
        ..credentials_cache::CredentialsConfig::default()
    };
    if let Err(failure) = settings.check() {
        report.add(&place, failure.detail);
    }
    Some(settings.roles)
}

fn role(place: Location, node: &Node, report: &DiagnosticSink) -> Option<credentials_cache::Role> {
    if let Value::String(text) = &node.value {
        let arn = countersign_config_file::parse(
            &Spanned { location: place, value: text.as_str() },
            report,
        )?;
        return Some(credentials_cache::Role { arn, external_id: None, session_name: None });
    }
    let mut fields = Fields::of(node, place, report)?;
    let arn = fields.required("arn").and_then(|text| countersign_config_file::parse(&text, report));
    let mut text = |key| fields.text(key).map(|text| text.value.to_owned());
    let (external_id, session_name) = (text("external-id"), text("session-name"));
    fields.finish();
    Some(credentials_cache::Role { arn: arn?, external_id, session_name })
}

fn client_tls(
    fields: &mut Fields<'_>,
    around: &ConfigContext<'_>,
    report: &DiagnosticSink,
) -> Option<ClientTls> {
    let (place, node) = fields.take("client-tls")?;
    let mut fields = Fields::of(node, place, report)?;
    ["certificate", "key"].iter().for_each(|key| fields.require(key));
    let (certificate, key) = (
        path(&mut fields, "certificate", around, report),
        path(&mut fields, "key", around, report),
    );
    let required = fields.flag("required").unwrap_or(false);
    fields.finish();
    Some(ClientTls { certificate: certificate?, key: key?, required })
}
