//! Parser of `countersign.toml` and of target URLs. Reports every error with its location.

mod compat;
mod context;
mod fields;
mod pool;
mod proxy;
mod secret;
mod target;
mod url;

use std::net::IpAddr;

use countersign_config_file::{DiagnosticSink, Fields, Location};
use countersign_core::diagnostic::Position;
use countersign_core::json::{Member, Node, Value};

use super::options::Options;

pub(super) use context::ConfigContext;
pub(super) use fields::ListenSpec;
pub(crate) use fields::SignHost;
pub(super) use secret::ServerAuthConfig;
pub(super) use target::{Source, TargetConfig};
pub(super) use url::is_url;

/// Names of subcommands, which are not available as names of targets.
const RESERVED: [&str; 5] = ["check", "help", "shutdown", "status", "wait"];

/// Maximum length of a target's name: it is used as a directory and as a label of metrics.
const MAX_NAME: usize = 63;

/// Contents of a configuration file.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) options: Options,
    pub(super) targets: Vec<TargetConfig>,
}

/// Parses a configuration file.
pub(super) fn read(text: &str, context: &ConfigContext<'_>, sink: &DiagnosticSink) -> File {
    let mut file = File::default();
    let Some(root) = countersign_config_file::read(text, sink) else {
        return file;
    };
    let Some(mut fields) = Fields::of(&root, Location::root(&root), sink) else {
        return file;
    };
    if let Some((location, node)) = fields.take("proxy") {
        file.options = proxy::read(node, location, context, sink);
    }
    for (location, name, node) in fields.map("targets").unwrap_or_default() {
        check_name(name, &location, sink);
        file.targets.extend(target::read(name, node, location, Source::File, context, sink));
    }
    fields.finish();
    file
}

/// Position of values that do not come from a file. Their location is only a path.
pub(super) const NO_POSITION: Position = Position { line: 0, column: 0 };

/// Parses a target's URL. `path` identifies the URL in errors.
pub(super) fn read_url(
    text: &str,
    path: String,
    context: &ConfigContext<'_>,
    sink: &DiagnosticSink,
) -> Option<TargetConfig> {
    let location = Location { position: NO_POSITION, path };
    let mut fields = url::fields(text, &location, sink)?;
    let index = fields.iter().position(|member| member.key == "name");
    let name = match index.map(|index| fields.remove(index).node.value) {
        Some(Value::String(name)) => name,
        _ => fields.iter().find_map(default_name)?,
    };
    check_name(&name, &location, sink);
    let node = Node { position: NO_POSITION, value: Value::Object(fields) };
    target::read(&name, &node, location, Source::Url, context, sink)
}

/// Returns the default name of a URL's target: the first label of its host, which is the instance's
/// name in RDS endpoints.
fn default_name(member: &Member) -> Option<String> {
    match &member.node.value {
        Value::String(host) if member.key == "host" && host.parse::<IpAddr>().is_ok() => {
            Some(format!("at-{}", host.replace([':', '.'], "-")))
        }
        Value::String(host) if member.key == "host" => host.split('.').next().map(str::to_owned),
        _ => None,
    }
}

fn check_name(name: &str, location: &Location, sink: &DiagnosticSink) {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if RESERVED.contains(&name)
        || !(1..=MAX_NAME).contains(&name.len())
        || !name.bytes().all(is_allowed)
    {
        let rule = format!(
            "use 1 to {MAX_NAME} letters, digits, _ or -, and not a subcommand such as status"
        );
        sink.add(location, format!("{name:?} is not a valid name of a target: {rule}"));
    }
}
