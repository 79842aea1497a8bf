//! `[proxy]`: the same as the flags, by the same names.

use countersign_config_file::{DiagnosticSink, Fields, Location, string};
use countersign_connect::credentials_cache::RoleArn;
use countersign_core::json::{Node, Value};

use super::ConfigContext;
use super::place::{address, path, port};
use super::pool::span;
use crate::proxy::options::Options;

pub(super) fn read(
    node: &Node,
    place: Location,
    around: &ConfigContext<'_>,
    report: &DiagnosticSink,
) -> Options {
    let Some(mut fields) = Fields::of(node, place, report) else {
        return Options::default();
    };
    let options = Options {
        address: address(&mut fields, "address", report),
        port: port(&mut fields, "port"),
        unix_socket: path(&mut fields, "unix-socket", around, report),
        open_to_network: fields.flag("open-to-network"),
        max_connections: fields.number("max-connections", 0..=u32::MAX),
        login_timeout: span(&mut fields, "login-timeout", report),
        profile: fields.text("profile").map(|profile| profile.value.to_owned()),
        region: fields.parsed("region"),
        assume_role: roles(&mut fields, report),
        external_id: fields.text("external-id").map(|id| id.value.to_owned()),
        sign_host: fields.parsed("sign-host"),
        lazy_refresh: fields.flag("lazy-refresh"),
        run_connection_test: fields.flag("run-connection-test"),
        skip_failed_instance_config: fields.flag("skip-failed-instance-config"),
        health_check: fields.flag("health-check"),
        prometheus: fields.flag("prometheus"),
        http_address: address(&mut fields, "http-address", report),
        http_port: port(&mut fields, "http-port"),
        otlp_endpoint: fields.text("otlp-endpoint").map(|url| url.value.to_owned()),
        structured_logs: fields.flag("structured-logs"),
        quiet: fields.flag("quiet"),
        debug: fields.flag("debug"),
        quitquitquit: fields.flag("quitquitquit"),
        admin_port: port(&mut fields, "admin-port"),
        admin_socket: path(&mut fields, "admin-socket", around, report),
        max_sigterm_delay: span(&mut fields, "max-sigterm-delay", report),
        min_sigterm_delay: span(&mut fields, "min-sigterm-delay", report),
        exit_zero_on_sigterm: fields.flag("exit-zero-on-sigterm"),
    };
    fields.finish();
    options
}

/// One ARN, or a list of them.
fn roles(fields: &mut Fields<'_>, report: &DiagnosticSink) -> Vec<RoleArn> {
    let Some((place, node)) = fields.take("assume-role") else {
        return Vec::new();
    };
    let role = |place, node| countersign_config_file::parse(&string(place, node, report)?, report);
    match &node.value {
        Value::Array(nodes) => nodes
            .iter()
            .enumerate()
            .filter_map(|(index, node)| role(place.index(index, node), node))
            .collect(),
        _ => role(place, node).into_iter().collect(),
    }
}
