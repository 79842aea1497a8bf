//! `countersign.toml`, and targets that are given by URL: text in, [`Raw`] targets out, every mistake reported with its place.

mod around;
mod compat;
mod dotenv;
mod place;
mod pool;
mod proxy;
mod secret;
mod target;
mod url;

use std::net::IpAddr;

use countersign_config_file::{DiagnosticSink, Fields, Location, members};
use countersign_core::diagnostic::Position;
use countersign_core::json::{Member, Node, Value};

use super::options::Options;

pub(super) use around::ConfigContext;
pub(crate) use place::SignHost;
pub(super) use place::Wanted;
pub(super) use pool::RawPool;
pub(super) use target::{Given, Raw, RawServerAuth};
pub(super) use url::is_url;

/// Names that are subcommands.
const RESERVED: [&str; 5] = ["check", "help", "shutdown", "status", "wait"];

/// The longest name of a target: it becomes a directory, a label of metrics, a word of a log.
const MOST_NAME: usize = 63;

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) options: Options,
    pub(super) targets: Vec<Raw>,
}

/// Reads the text of a file.
pub(super) fn read(text: &str, around: &ConfigContext<'_>, report: &DiagnosticSink) -> File {
    let mut file = File::default();
    let Some(root) = countersign_config_file::read(text, report) else {
        return file;
    };
    let Some(mut fields) = Fields::of(&root, Location::root(&root), report) else {
        return file;
    };
    if let Some((place, node)) = fields.take("proxy") {
        file.options = proxy::read(node, place, around, report);
    }
    for (place, name, node) in fields.map("targets").unwrap_or_default() {
        check_name(name, &place, report);
        file.targets.extend(target::read(name, node, place, Given::InFile, around, report));
    }
    fields.finish();
    file
}

/// Where something stands that is no file: it has a path and no line.
pub(super) const NOWHERE: Position = Position { line: 0, column: 0 };

/// Reads a target that is given by URL, `which` being what it is called in its mistakes.
pub(super) fn read_url(
    text: &str,
    which: String,
    around: &ConfigContext<'_>,
    report: &DiagnosticSink,
) -> Option<Raw> {
    let place = Location { position: NOWHERE, path: which };
    let mut parts = url::parts(text, &place, report)?;
    let at = parts.iter().position(|member| member.key == "name");
    let name = match at.map(|at| parts.remove(at).node.value) {
        Some(Value::String(name)) => name,
        _ => parts.iter().find_map(host_label)?,
    };
    check_name(&name, &place, report);
    let node = Node { position: NOWHERE, value: Value::Object(parts) };
    target::read(&name, &node, place, Given::ByUrl, around, report)
}

/// What a database is called that nobody named: the first label of its host, as RDS has the instance there.
fn host_label(member: &Member) -> Option<String> {
    match &member.node.value {
        Value::String(host) if member.key == "host" && host.parse::<IpAddr>().is_ok() => {
            Some(format!("at-{}", host.replace([':', '.'], "-")))
        }
        Value::String(host) if member.key == "host" => host.split('.').next().map(str::to_owned),
        _ => None,
    }
}

fn check_name(name: &str, place: &Location, report: &DiagnosticSink) {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if RESERVED.contains(&name) || !(1..=MOST_NAME).contains(&name.len()) || !name.bytes().all(word)
    {
        let rule = format!(
            "1 to {MOST_NAME} letters, digits or characters of _ or -, and not a subcommand such as status"
        );
        report.add(place, format!("{name:?} is no name for a target: {rule}"));
    }
}

/// Whether a table has exactly one of these keys; a mistake where not.
fn exactly_one(place: &Location, node: &Node, keys: &[&str], report: &DiagnosticSink) -> bool {
    let count = members(place, node, report)
        .map(|members| members.iter().filter(|(_, key, _)| keys.contains(key)).count());
    if count.is_some_and(|count| count != 1) {
        report.add(place, format!("exactly one of {} is expected", keys.join(", ")));
    }
    count == Some(1)
}
