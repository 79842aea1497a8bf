//! Passwords: named in the file, never written in it.

use std::sync::Arc;

use countersign_config_file::{DiagnosticSink, Fields, Location, string};
use countersign_core::credentials::Secret;
use countersign_core::json::{Node, Value};
use countersign_proxy::settings::{ClientAuth, Password};
use nix::unistd::User;

use super::target::RawServerAuth;
use super::{ConfigContext, exactly_one};

/// What is said to whoever writes a password down.
pub(super) const ADVICE: &str = "a password does not belong into this file: write password-file = \"PATH\" or password-env = \"VARIABLE\" and take it out";

/// `server-auth`: `"iam"`, or where a password is found.
pub(super) fn server_auth(
    fields: &mut Fields<'_>,
    around: &ConfigContext<'_>,
    report: &DiagnosticSink,
) -> Option<RawServerAuth> {
    let (place, node) = fields.take("server-auth")?;
    match &node.value {
        Value::String(word) if word == "iam" => Some(RawServerAuth::Iam),
        Value::Object(_) => named(&place, node, &["password-file", "password-env"], around, report)
            .and_then(|named| match named {
                Named::Password(password) => Some(RawServerAuth::Password(password)),
                Named::Users(_) => None,
            }),
        _ => {
            report.add(&place, "\"iam\", { password-file = \"PATH\" } or { password-env = \"VARIABLE\" } is expected");
            None
        }
    }
}

/// `client-auth`: `"trust"`, where a password is found, or who may come.
pub(super) fn client_auth(
    fields: &mut Fields<'_>,
    around: &ConfigContext<'_>,
    report: &DiagnosticSink,
) -> Option<(Location, ClientAuth)> {
    let (place, node) = fields.take("client-auth")?;
    let auth = match &node.value {
        Value::String(word) if word == "trust" => ClientAuth::Trust,
        Value::Object(_) => {
            match named(&place, node, &["password-file", "password-env", "users"], around, report)?
            {
                Named::Password(password) => ClientAuth::Password(password),
                Named::Users(users) => ClientAuth::Users(users),
            }
        }
        _ => {
            let forms = "\"trust\", { password-file = \"PATH\" }, { password-env = \"VARIABLE\" } or { users = [\"NAME\"] }";
            report.add(&place, format!("{forms} is expected"));
            return None;
        }
    };
    Some((place, auth))
}

enum Named {
    Password(Arc<Password>),
    Users(Vec<u32>),
}

fn named(
    place: &Location,
    node: &Node,
    keys: &[&'static str],
    around: &ConfigContext<'_>,
    report: &DiagnosticSink,
) -> Option<Named> {
    let mut fields = Fields::of(node, place.clone(), report)?;
    let literal = fields.take("password");
    if let Some((place, _)) = &literal {
        report.add(place, ADVICE);
    }
    let one = literal.is_none() && exactly_one(place, node, keys, report);
    let file = fields.text("password-file").and_then(|path| {
        let text = around.text(path.value, &path.location, report)?;
        // As editors and `echo` leave it.
        password(text.strip_suffix('\n').unwrap_or(&text), &path.location, report)
    });
    let variable =
        fields.text("password-env").and_then(|name| match (around.variable)(name.value) {
            Some(text) => password(&text, &name.location, report),
            None => {
                report.add(&name.location, format!("the variable {} is not set", name.value));
                None
            }
        });
    let users =
        if keys.contains(&"users") { users(&mut fields, report).map(Named::Users) } else { None };
    fields.finish();
    file.or(variable).map(Named::Password).or(users).filter(|_| one)
}

pub(super) fn password(
    text: &str,
    place: &Location,
    report: &DiagnosticSink,
) -> Option<Arc<Password>> {
    let secret = Secret::new(text);
    if secret.is_none() {
        report.add(place, "the password there is empty");
    }
    secret.map(|secret| Arc::new(Password(secret)))
}

/// Users of the machine, by name or number.
fn users(fields: &mut Fields<'_>, report: &DiagnosticSink) -> Option<Vec<u32>> {
    let list = fields.list("users")?;
    let users = list.into_iter().filter_map(|(place, node)| match &node.value {
        Value::Number(digits) => {
            let number = digits.parse().ok();
            if number.is_none() {
                report.add(&place, "a user is a name or a number");
            }
            number
        }
        _ => string(place, node, report).and_then(|name| user(name.value, &name.location, report)),
    });
    Some(users.collect())
}

fn user(name: &str, place: &Location, report: &DiagnosticSink) -> Option<u32> {
    let problem = match User::from_name(name) {
        Ok(Some(user)) => return Some(user.uid.as_raw()),
        Ok(None) => format!("there is no user {name:?} on this machine"),
        Err(error) => format!("the user {name:?} can't be looked up: {error}"),
    };
    report.add(place, problem);
    None
}
