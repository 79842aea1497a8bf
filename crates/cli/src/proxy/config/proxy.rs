//! Parser of `[proxy]`, which has the names of the flags.

use countersign_config_file::{DiagnosticSink, Fields, Location, string};
use countersign_connect::credentials_cache::RoleArn;
use countersign_core::json::{Node, Value};

use super::ConfigContext;
use super::fields::{address, duration, path, port};
use crate::proxy::options::Options;

/// Parses the table.
pub(super) fn read(
    node: &Node,
    location: Location,
    context: &ConfigContext<'_>,
    sink: &DiagnosticSink,
) -> Options {
    let Some(mut fields) = Fields::of(node, location, sink) else {
        return Options::default();
    };
    let options = Options {
        address: address(&mut fields, "address", sink),
        port: port(&mut fields, "port"),
        unix_socket: path(&mut fields, "unix-socket", context, sink),
        open_to_network: fields.flag("open-to-network"),
        max_connections: fields.number("max-connections", 0..=u32::MAX),
        login_timeout: duration(&mut fields, "login-timeout", sink),
        profile: fields.text("profile").map(|profile| profile.value.to_owned()),
        region: fields.parsed("region"),
        assume_role: roles(&mut fields, sink),
        external_id: fields.text("external-id").map(|id| id.value.to_owned()),
        sign_host: fields.parsed("sign-host"),
        lazy_refresh: fields.flag("lazy-refresh"),
        run_connection_test: fields.flag("run-connection-test"),
        skip_failed_instance_config: fields.flag("skip-failed-instance-config"),
        health_check: fields.flag("health-check"),
        prometheus: fields.flag("prometheus"),
        http_address: address(&mut fields, "http-address", sink),
        http_port: port(&mut fields, "http-port"),
        otlp_endpoint: fields.text("otlp-endpoint").map(|url| url.value.to_owned()),
        structured_logs: fields.flag("structured-logs"),
        quiet: fields.flag("quiet"),
        debug: fields.flag("debug"),
        quitquitquit: fields.flag("quitquitquit"),
        admin_port: port(&mut fields, "admin-port"),
        admin_socket: path(&mut fields, "admin-socket", context, sink),
        max_sigterm_delay: duration(&mut fields, "max-sigterm-delay", sink),
        min_sigterm_delay: duration(&mut fields, "min-sigterm-delay", sink),
        exit_zero_on_sigterm: fields.flag("exit-zero-on-sigterm"),
    };
    fields.finish();
    options
}

/// Parses one ARN or a list.
fn roles(fields: &mut Fields<'_>, sink: &DiagnosticSink) -> Vec<RoleArn> {
    let Some((location, node)) = fields.take("assume-role") else {
        return Vec::new();
    };
    let role =
        |location, node| countersign_config_file::parse(&string(location, node, sink)?, sink);
    match &node.value {
        Value::Array(nodes) => nodes
            .iter()
            .enumerate()
            .filter_map(|(index, node)| role(location.index(index, node), node))
            .collect(),
        _ => role(location, node).into_iter().collect(),
    }
}
