//! Conversion of a URL into the fields of a target, so that the same rules apply to both:
//! `postgres://USER@HOST[:PORT][/DATABASE][?PARAMETER=VALUE&…]`.

use countersign_config_file::{DiagnosticSink, Location};
use countersign_connect::database_url::{UrlError, UrlParts};
use countersign_core::diagnostic::Position;
use countersign_core::json::{Member, Node, Value};

/// Conversion of a parameter's value into a field.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Number,
    /// Path of a socket, as a listener.
    Socket,
    /// TLS mode of libpq or MySQL.
    TlsMode,
    /// libpq's `target_session_attrs`.
    SessionAttrs,
    /// Text in a nested table.
    Nested(&'static str),
    /// Number in a nested table.
    NestedNumber(&'static str),
    /// Field of a role in the chain `roles`.
    Role,
}

/// Parameters of a URL with their fields. Some parameters have two names.
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
    ("sslmode", "tls", Kind::TlsMode),
    ("ssl-mode", "tls", Kind::TlsMode),
    ("sslrootcert", "ca-file", Kind::Text),
    ("ssl-ca", "ca-file", Kind::Text),
    ("target_session_attrs", "target-session-attrs", Kind::SessionAttrs),
    ("max-connections", "max-connections", Kind::Number),
    ("connect-timeout", "connect-timeout", Kind::Text),
    ("session-timeout", "session-timeout", Kind::Text),
    ("min-idle", "min-idle", Kind::NestedNumber("pool")),
    ("password-file", "password-file", Kind::Nested("server-auth")),
    ("password-env", "password-env", Kind::Nested("server-auth")),
    ("client-password-file", "password-file", Kind::Nested("client-auth")),
    ("client-password-env", "password-env", Kind::Nested("client-auth")),
];

/// TLS modes of libpq and MySQL, and the file's values.
/// Source: "SSL Support" in PostgreSQL's manual, "Command Options for Encrypted Connections" in
/// MySQL's.
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

/// Returns true if an argument is a URL and not a name.
pub(crate) fn is_url(text: &str) -> bool {
    text.contains("://")
}

/// Converts a URL into fields. Errors do not repeat the URL, which may contain a password.
pub(super) fn fields(
    text: &str,
    location: &Location,
    sink: &DiagnosticSink,
) -> Option<Vec<Member>> {
    let fail = |problem: String| sink.add(location, problem);
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
    let mut fields =
        UrlFields { position: location.position, members: Vec::new(), roles: Vec::new() };
    fields.add("engine", string_value(url.engine.as_str()));
    for (key, text) in [("host", url.host), ("user", url.user), ("database", url.database)] {
        if let Some(text) = text {
            fields.add(key, string_value(&text));
        }
    }
    if let Some(port) = url.port {
        fields.add("port", Value::Number(port.to_string()));
    }
    for (name, value) in &url.parameters {
        if let Err(problem) = fields.parameter(name, value) {
            fail(problem);
        }
    }
    Some(fields.finish())
}

fn string_value(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// Fields of a target under construction.
struct UrlFields {
    position: Position,
    members: Vec<Member>,
    /// Fields of each role of the chain.
    roles: Vec<Vec<Member>>,
}

impl UrlFields {
    fn member(&self, key: &str, value: Value) -> Member {
        Member {
            key: key.to_owned(),
            position: self.position,
            node: Node { position: self.position, value },
        }
    }

    fn add(&mut self, key: &str, value: Value) {
        let member = self.member(key, value);
        self.members.push(member);
    }

    /// Adds the field of a parameter.
    fn parameter(&mut self, name: &str, value: &str) -> Result<(), String> {
        let Some((_, key, kind)) = PARAMETERS.iter().find(|(parameter, ..)| *parameter == name)
        else {
            let names: Vec<&str> = PARAMETERS.iter().map(|(parameter, ..)| *parameter).collect();
            return Err(format!("the URL's parameter {name:?} is not one of {}", names.join(", ")));
        };
        let is_new = match kind {
            Kind::Text => self.add_unique(key, string_value(value)),
            Kind::Number => self.add_unique(key, Value::Number(value.to_owned())),
            Kind::Socket => self.add_unique(key, Value::String(format!("unix:{value}"))),
            Kind::TlsMode => self.add_unique(key, string_value(tls_mode(name, value)?)),
            Kind::SessionAttrs => self.add_unique(key, string_value(session_attrs(value)?)),
            Kind::Nested(table) => self.add_nested(table, key, string_value(value)),
            Kind::NestedNumber(table) => {
                self.add_nested(table, key, Value::Number(value.to_owned()))
            }
            Kind::Role => return self.role(key, value),
        };
        if is_new { Ok(()) } else { Err(format!("the URL sets {name} twice, or by two names")) }
    }

    /// Adds a field. Returns false if it exists.
    fn add_unique(&mut self, key: &str, value: Value) -> bool {
        let is_new = self.members.iter().all(|member| member.key != key);
        if is_new {
            self.add(key, value);
        }
        is_new
    }

    /// Adds a field to a nested table. Returns false if it exists.
    fn add_nested(&mut self, table: &str, key: &str, value: Value) -> bool {
        let member = self.member(key, value);
        let existing = self
            .members
            .iter_mut()
            .find(|member| member.key == table)
            .map(|member| &mut member.node.value);
        match existing {
            Some(Value::Object(members)) if members.iter().any(|member| member.key == key) => {
                return false;
            }
            Some(Value::Object(members)) => members.push(member),
            _ => self.add(table, Value::Object(vec![member])),
        }
        true
    }

    /// Adds a field of a role. `arn` starts a role, or several separated by commas; other fields
    /// belong to the last role.
    fn role(&mut self, key: &str, value: &str) -> Result<(), String> {
        if key == "arn" {
            let roles: Vec<_> =
                value.split(',').map(|arn| vec![self.member("arn", string_value(arn))]).collect();
            self.roles.extend(roles);
            return Ok(());
        }
        let member = self.member(key, string_value(value));
        match self.roles.last_mut() {
            Some(role) if role.iter().all(|member| member.key != key) => role.push(member),
            Some(_) => return Err(format!("the URL sets {key} twice for one role")),
            None => {
                return Err(format!("the URL's {key} belongs to a role: write role=ARN before it"));
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Vec<Member> {
        if !self.roles.is_empty() {
            let roles = std::mem::take(&mut self.roles)
                .into_iter()
                .map(|role| Node { position: self.position, value: Value::Object(role) })
                .collect();
            self.add("roles", Value::Array(roles));
        }
        self.members
    }
}

/// Converts a TLS mode into the file's value.
pub(super) fn tls_mode(name: &str, value: &str) -> Result<&'static str, String> {
    let word = value.to_ascii_lowercase();
    if ["allow", "prefer", "preferred"].contains(&word.as_str()) {
        return Err(format!(
            "{name}={value} falls back to no TLS: write verify-full, or require if the server \
             cannot be verified"
        ));
    }
    let known = MODES.iter().find(|(other, _)| *other == word).map(|(_, mode)| *mode);
    known.ok_or_else(|| {
        format!(
            "{name} is not verify-full, verify-ca, require, disable, or MySQL's name of one of them"
        )
    })
}

fn session_attrs(value: &str) -> Result<&'static str, String> {
    match value {
        "any" => Ok("any"),
        "read-write" | "primary" => Ok("read-write"),
        _ => Err("target_session_attrs is not any, read-write or primary".to_owned()),
    }
}
