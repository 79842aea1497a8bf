//! Parsers of `server-auth` and `client-auth`. The file names passwords and never contains them.

use std::sync::Arc;

use countersign_config_file::{DiagnosticSink, Fields, Location, members, string};
use countersign_core::credentials::Secret;
use countersign_core::json::{Node, Value};
use countersign_proxy::settings::{ClientAuth, Password};
use nix::unistd::User;

use super::ConfigContext;

/// Error for a password in the file.
pub(super) const LITERAL_PASSWORD: &str = "passwords are not allowed in this file: remove it and \
     write password-file = \"PATH\" or password-env = \"VARIABLE\"";

/// `server-auth`: how the proxy logs in to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServerAuthConfig {
    Iam,
    Password(Arc<Password>),
}

/// Parses `server-auth`.
pub(super) fn server_auth(
    fields: &mut Fields<'_>,
    context: &ConfigContext<'_>,
    sink: &DiagnosticSink,
) -> Option<ServerAuthConfig> {
    let (location, node) = fields.take("server-auth")?;
    match &node.value {
        Value::String(word) if word == "iam" => Some(ServerAuthConfig::Iam),
        Value::Object(_) => {
            let keys = ["password-file", "password-env"];
            match table(&location, node, &keys, context, sink)? {
                AuthTable::Password(password) => Some(ServerAuthConfig::Password(password)),
                AuthTable::Users(_) => None,
            }
        }
        _ => {
            sink.add(
                &location,
                "\"iam\", { password-file = \"PATH\" } or { password-env = \"VARIABLE\" } is \
                 expected",
            );
            None
        }
    }
}

/// Parses `client-auth`.
pub(super) fn client_auth(
    fields: &mut Fields<'_>,
    context: &ConfigContext<'_>,
    sink: &DiagnosticSink,
) -> Option<(Location, ClientAuth)> {
    let (location, node) = fields.take("client-auth")?;
    let auth = match &node.value {
        Value::String(word) if word == "trust" => ClientAuth::Trust,
        Value::Object(_) => {
            let keys = ["password-file", "password-env", "users"];
            match table(&location, node, &keys, context, sink)? {
                AuthTable::Password(password) => ClientAuth::Password(password),
                AuthTable::Users(users) => ClientAuth::Users(users),
            }
        }
        _ => {
            sink.add(
                &location,
                "\"trust\", { password-file = \"PATH\" }, { password-env = \"VARIABLE\" } or \
                 { users = [\"NAME\"] } is expected",
            );
            return None;
        }
    };
    Some((location, auth))
}

enum AuthTable {
    Password(Arc<Password>),
    Users(Vec<u32>),
}

/// Parses a table that must have exactly one of `keys`.
fn table(
    location: &Location,
    node: &Node,
    keys: &[&'static str],
    context: &ConfigContext<'_>,
    sink: &DiagnosticSink,
) -> Option<AuthTable> {
    let mut fields = Fields::of(node, location.clone(), sink)?;
    let literal = fields.take("password");
    if let Some((location, _)) = &literal {
        sink.add(location, LITERAL_PASSWORD);
    }
    let is_valid = literal.is_none() && has_exactly_one(location, node, keys, sink);
    let file = fields.text("password-file").and_then(|path| {
        let text = context.read_file(path.value, &path.location, sink)?;
        // Editors and `echo` end the file with a line feed.
        password(text.strip_suffix('\n').unwrap_or(&text), &path.location, sink)
    });
    let variable =
        fields.text("password-env").and_then(|name| match (context.variable)(name.value) {
            Some(text) => password(&text, &name.location, sink),
            None => {
                sink.add(&name.location, format!("the variable {} is not set", name.value));
                None
            }
        });
    let users =
        if keys.contains(&"users") { users(&mut fields, sink).map(AuthTable::Users) } else { None };
    fields.finish();
    file.or(variable).map(AuthTable::Password).or(users).filter(|_| is_valid)
}

/// Returns true if a table has exactly one of these keys. Reports an error otherwise.
fn has_exactly_one(location: &Location, node: &Node, keys: &[&str], sink: &DiagnosticSink) -> bool {
    let count = members(location, node, sink)
        .map(|members| members.iter().filter(|(_, key, _)| keys.contains(key)).count());
    if count.is_some_and(|count| count != 1) {
        sink.add(location, format!("exactly one of {} is expected", keys.join(", ")));
    }
    count == Some(1)
}

/// Converts text into a password. Reports an error if it is empty.
pub(super) fn password(
    text: &str,
    location: &Location,
    sink: &DiagnosticSink,
) -> Option<Arc<Password>> {
    let secret = Secret::new(text);
    if secret.is_none() {
        sink.add(location, "the password is empty");
    }
    secret.map(|secret| Arc::new(Password(secret)))
}

/// Parses system users given by name or number.
fn users(fields: &mut Fields<'_>, sink: &DiagnosticSink) -> Option<Vec<u32>> {
    let list = fields.list("users")?;
    let users = list.into_iter().filter_map(|(location, node)| match &node.value {
        Value::Number(digits) => {
            let number = digits.parse().ok();
            if number.is_none() {
                sink.add(&location, "a user is a name or a number");
            }
            number
        }
        _ => string(location, node, sink).and_then(|name| user(name.value, &name.location, sink)),
    });
    Some(users.collect())
}

fn user(name: &str, location: &Location, sink: &DiagnosticSink) -> Option<u32> {
    let cause = match User::from_name(name) {
        Ok(Some(user)) => return Some(user.uid.as_raw()),
        Ok(None) => "no such user".to_owned(),
        Err(error) => error.to_string(),
    };
    sink.add(location, format!("cannot find the system user {name:?}: {cause}"));
    None
}
