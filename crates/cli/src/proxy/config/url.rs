//! A URL as the fields of a target, so that both are read by the same rules:
//! `postgres://USER@HOST[:PORT][/DATABASE][?PARAMETER=VALUE&…]`.

use countersign_config_file::{DiagnosticSink, Location};
use countersign_connect::database_url::{UrlError, UrlParts};
use countersign_core::diagnostic::Position;
use countersign_core::json::{Member, Node, Value};

/// What a parameter's value becomes.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Number,
    /// A path, as a listener.
    Socket,
    /// The word for how far TLS is verified, as libpq or MySQL have it.
    Mode,
    /// libpq's `target_session_attrs`.
    Attributes,
    /// Under this key in the table of that name.
    Inside(&'static str),
    /// As `Number`, in the table of that name.
    NumberInside(&'static str),
    /// Of the chain of roles, which `roles` makes.
    Role,
}

/// What a URL may hold: the parameter, the field that it becomes, and how. A parameter may have two names.
const PARAMETERS: [(&str, &str, Kind); 25] = [
    ("name", "name", Kind::Text),
    ("address", "address", Kind::Text),
    ("port", "listen", Kind::Number),
    ("unix-socket", "unix-socket", Kind::Text),
    ("unix-socket-path", "listen", Kind::Socket),
    ("sign-host", "sign-host", Kind::Text),
    ("region", "region", Kind::Text),
    ("profile", "profile", Kind::Text),
    ("role", "arn", Kind::Role),
    ("assume-role", "arn", Kind::Role),
    ("external-id", "external-id", Kind::Role),
    ("session-name", "session-name", Kind::Role),
    ("sslmode", "tls", Kind::Mode),
    ("ssl-mode", "tls", Kind::Mode),
    ("sslrootcert", "ca-file", Kind::Text),
    ("ssl-ca", "ca-file", Kind::Text),
    ("target_session_attrs", "target-session-attrs", Kind::Attributes),
    ("max-connections", "max-connections", Kind::Number),
    ("connect-timeout", "connect-timeout", Kind::Text),
    ("session-timeout", "session-timeout", Kind::Text),
    ("min-idle", "min-idle", Kind::NumberInside("pool")),
    ("password-file", "password-file", Kind::Inside("server-auth")),
    ("password-env", "password-env", Kind::Inside("server-auth")),
    ("client-password-file", "password-file", Kind::Inside("client-auth")),
    ("client-password-env", "password-env", Kind::Inside("client-auth")),
];

/// How far TLS is verified, in libpq's words, in MySQL's, and in the file's.
/// Source: "SSL Support" in PostgreSQL's manual, "Command Options for Encrypted Connections" in MySQL's.
const MODES: [(&str, &str); 8] = [
    ("verify-full", "verify-full"),
    ("verify-ca", "verify-ca"),
    ("require", "require"),
    ("disable", "disable"),
    ("verify_identity", "verify-full"),
    ("verify_ca", "verify-ca"),
    ("required", "require"),
    ("disabled", "disable"),
];

/// Whether a text is meant as a URL.
pub(crate) fn is_url(text: &str) -> bool {
    text.contains("://")
}

/// The fields. What is wrong never repeats the URL: it might hold a password.
pub(super) fn parts(text: &str, place: &Location, report: &DiagnosticSink) -> Option<Vec<Member>> {
    let fail = |problem: String| report.add(place, problem);
    let url = match UrlParts::parse(text) {
        Ok(url) => url,
        Err(error) => {
            fail(error.to_string());
            return None;
        }
    };
    for error in &url.errors {
        fail(match error {
            UrlError::Password => {
                format!("{error}; password-file names the file of another password")
            }
            error => error.to_string(),
        });
    }
    let mut parts = Parts { at: place.position, members: Vec::new(), roles: Vec::new() };
    parts.add("engine", text_of(url.engine.as_str()));
    for (key, text) in [("host", url.host), ("user", url.user), ("database", url.database)] {
        if let Some(text) = text {
            parts.add(key, text_of(&text));
        }
    }
    if let Some(port) = url.port {
        parts.add("port", Value::Number(port.to_string()));
    }
    for (name, value) in &url.parameters {
        if let Ok(Some((key, value))) = parts.parameter(name, value).map_err(fail) {
            parts.add(key, value);
        }
    }
    Some(parts.finish())
}

fn text_of(text: &str) -> Value {
    Value::String(text.to_owned())
}

struct Parts {
    at: Position,
    members: Vec<Member>,
    /// The fields of each role of the chain.
    roles: Vec<Vec<Member>>,
}

impl Parts {
    fn member(&self, key: &str, value: Value) -> Member {
        Member { key: key.to_owned(), position: self.at, node: Node { position: self.at, value } }
    }

    fn add(&mut self, key: &str, value: Value) {
        let member = self.member(key, value);
        self.members.push(member);
    }

    /// The field that a parameter becomes; none where it has been put into a table.
    fn parameter(
        &mut self,
        name: &str,
        value: &str,
    ) -> Result<Option<(&'static str, Value)>, String> {
        let Some((_, key, kind)) = PARAMETERS.iter().find(|(parameter, ..)| *parameter == name)
        else {
            let names: Vec<&str> = PARAMETERS.iter().map(|(parameter, ..)| *parameter).collect();
            return Err(format!("the URL's parameter {name:?} is not one of {}", names.join(", ")));
        };
        let twice = || format!("the URL says {name} twice, or by two names");
        let value = match kind {
            Kind::Text => text_of(value),
            Kind::Number => Value::Number(value.to_owned()),
            Kind::Socket => Value::String(format!("unix:{value}")),
            Kind::Mode => text_of(mode(name, value)?),
            Kind::Attributes => text_of(attributes(value)?),
            Kind::Inside(table) => {
                return self.inside(table, key, text_of(value)).then_some(None).ok_or_else(twice);
            }
            Kind::NumberInside(table) => {
                return self
                    .inside(table, key, Value::Number(value.to_owned()))
                    .then_some(None)
                    .ok_or_else(twice);
            }
            Kind::Role => return self.role(key, value).map(|()| None),
        };
        if self.members.iter().any(|member| member.key == *key) {
            Err(twice())
        } else {
            Ok(Some((key, value)))
        }
    }

    /// Puts a field into a table of its own. `false` where it is there.
    fn inside(&mut self, table: &str, key: &str, value: Value) -> bool {
        let member = self.member(key, value);
        let there = self
            .members
            .iter_mut()
            .find(|member| member.key == table)
            .map(|member| &mut member.node.value);
        match there {
            Some(Value::Object(members)) if members.iter().any(|member| member.key == key) => {
                return false;
            }
            Some(Value::Object(members)) => members.push(member),
            _ => self.add(table, Value::Object(vec![member])),
        }
        true
    }

    /// `role` begins a role, or several with commas between them; what follows is about the last.
    fn role(&mut self, key: &str, value: &str) -> Result<(), String> {
        if key == "arn" {
            let begun: Vec<_> =
                value.split(',').map(|arn| vec![self.member("arn", text_of(arn))]).collect();
            self.roles.extend(begun);
            return Ok(());
        }
        let member = self.member(key, text_of(value));
        match self.roles.last_mut() {
            Some(role) if role.iter().all(|member| member.key != key) => role.push(member),
            Some(_) => return Err(format!("the URL says {key} twice for one role")),
            None => {
                return Err(format!("the URL's {key} is about a role: write role=ARN before it"));
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Vec<Member> {
        if !self.roles.is_empty() {
            let roles = std::mem::take(&mut self.roles)
                .into_iter()
                .map(|role| Node { position: self.at, value: Value::Object(role) })
                .collect();
            self.add("roles", Value::Array(roles));
        }
        self.members
    }
}

/// The file's word for how far TLS is verified.
pub(super) fn mode(name: &str, value: &str) -> Result<&'static str, String> {
    let word = value.to_ascii_lowercase();
    if ["allow", "prefer", "preferred"].contains(&word.as_str()) {
        return Err(format!(
            "{name}={value} falls back to no TLS: write verify-full, or require where the server can't be verified"
        ));
    }
    let known = MODES.iter().find(|(other, _)| *other == word).map(|(_, mode)| *mode);
    known.ok_or_else(|| format!("{name} is not one of verify-full, verify-ca, require, disable, nor MySQL's word for one of them"))
}

fn attributes(value: &str) -> Result<&'static str, String> {
    match value {
        "any" => Ok("any"),
        "read-write" | "primary" => Ok("read-write"),
        _ => Err("target_session_attrs is not any, read-write or primary".to_owned()),
    }
}
