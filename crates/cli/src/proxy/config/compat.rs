//! Configuration formats of other tools, converted into the fields of a target: a `url`, and the
//! variables of hoop and coder.
//!
//! hoop: `HOST`, `PORT`, `USER=_aws_iam_rds:DBUSER`, `PASS=_aws_iam_rds:authtoken`, `DB`,
//! `SSLMODE`. coder: `CODER_PG_CONNECTION_URL`, `CODER_PG_AUTH`. The target's table contains them,
//! or the file that `env-file` names.

use std::sync::Arc;

use countersign_config_file::{DiagnosticSink, Location, string};
use countersign_core::json::{Member, Node, Value};
use countersign_proxy::settings::Password;

use super::secret::{LITERAL_PASSWORD, password};
use super::{ConfigContext, url};

/// hoop's prefix of users that log in with tokens. Source: hoop's documentation, "AWS RDS IAM".
const IAM_PREFIX: &str = "_aws_iam_rds:";

/// Variables of hoop, and the fields that they become.
const HOOP: [(&str, &str); 5] =
    [("HOST", "host"), ("PORT", "port"), ("USER", "user"), ("DB", "database"), ("SSLMODE", "tls")];

/// Variables that have no field of their own.
const OTHER_VARIABLES: [&str; 3] = ["PASS", "CODER_PG_CONNECTION_URL", "CODER_PG_AUTH"];

/// Table of a target after the conversion.
pub(super) struct Expanded {
    pub(super) node: Node,
    /// Password of an env file.
    pub(super) password: Option<Arc<Password>>,
}

/// Variable of another tool.
struct Variable {
    name: String,
    value: Node,
    /// True for variables of an env file, which may hold a password.
    may_be_secret: bool,
}

/// Converts the variables and `url` of a table into fields.
pub(super) fn expand(
    node: &Node,
    location: &Location,
    context: &ConfigContext<'_>,
    sink: &DiagnosticSink,
) -> Option<Expanded> {
    let Value::Object(members) = &node.value else {
        sink.add(location, format!("expected a table, found {}", node.value.noun()));
        return None;
    };
    let mut expansion =
        Expansion { location, sink, fields: Vec::new(), password: None, is_valid: true };
    let mut variables = Vec::new();
    for member in members {
        let at = location.member(member);
        match member.key.as_str() {
            "url" => expansion.url(&at, &member.node),
            "env-file" => variables.extend(expansion.file(&at, &member.node, context)),
            name if is_variable(name) => {
                variables.push(Variable {
                    name: name.to_owned(),
                    value: member.node.clone(),
                    may_be_secret: false,
                });
            }
            _ => expansion.add(member.clone()),
        }
    }
    expansion.variables(&variables);
    let Expansion { fields, password, is_valid, .. } = expansion;
    is_valid.then(|| Expanded {
        node: Node { position: node.position, value: Value::Object(fields) },
        password,
    })
}

fn is_variable(name: &str) -> bool {
    HOOP.iter().any(|(variable, _)| *variable == name) || OTHER_VARIABLES.contains(&name)
}

struct Expansion<'n> {
    location: &'n Location,
    sink: &'n DiagnosticSink,
    fields: Vec<Member>,
    password: Option<Arc<Password>>,
    is_valid: bool,
}

impl Expansion<'_> {
    fn fail(&mut self, location: &Location, problem: impl Into<String>) {
        self.sink.add(location, problem);
        self.is_valid = false;
    }

    fn add(&mut self, member: Member) {
        if self.fields.iter().any(|other| other.key == member.key) {
            let location = self.location.member(&member);
            self.fail(&location, "this is set twice: here, and in the URL or the variables");
        } else {
            self.fields.push(member);
        }
    }

    fn url(&mut self, location: &Location, node: &Node) {
        let Some(text) = string(location.clone(), node, self.sink) else {
            return self.is_valid = false;
        };
        match url::fields(text.value, location, self.sink) {
            Some(fields) => fields.into_iter().for_each(|field| self.add(field)),
            None => self.is_valid = false,
        }
    }

    fn file(
        &mut self,
        location: &Location,
        node: &Node,
        context: &ConfigContext<'_>,
    ) -> Vec<Variable> {
        let text = string(location.clone(), node, self.sink)
            .and_then(|path| context.read_file(path.value, location, self.sink));
        let Some(text) = text else {
            self.is_valid = false;
            return Vec::new();
        };
        match read_env_file(&text) {
            Ok(read) => read
                .into_iter()
                .filter(|(name, _)| is_variable(name))
                .map(|(name, value)| Variable {
                    name: name.to_owned(),
                    value: Node { position: node.position, value: Value::String(value.to_owned()) },
                    may_be_secret: true,
                })
                .collect(),
            Err(problem) => {
                self.fail(location, problem);
                Vec::new()
            }
        }
    }

    fn variables(&mut self, variables: &[Variable]) {
        let is_iam = variables
            .iter()
            .any(|variable| variable.name == "USER" && variable.text().starts_with(IAM_PREFIX));
        for variable in variables {
            let location = Location {
                position: variable.value.position,
                path: format!("{}.{}", self.location.path, variable.name),
            };
            self.variable(&location, variable, is_iam);
        }
        let has_engine = self.fields.iter().any(|field| field.key == "engine");
        if !has_engine && variables.iter().any(|variable| variable.name == "HOST") {
            self.add_engine();
        }
    }

    fn add_engine(&mut self) {
        let location = self.location.clone();
        let Some(engine) = self.infer_engine() else {
            return self.fail(&location, "engine is missing: neither PORT nor SSLMODE implies one");
        };
        let node = Node { position: location.position, value: Value::String(engine.to_owned()) };
        self.fields.push(Member { key: "engine".to_owned(), position: location.position, node });
    }

    /// Infers the engine, which hoop takes from its connection type: `SSLMODE` is PostgreSQL's, and
    /// the default ports are each used by one protocol.
    fn infer_engine(&self) -> Option<&'static str> {
        let field = |key: &str| {
            self.fields.iter().find(|field| field.key == key).map(|field| &field.node.value)
        };
        match (field("port"), field("tls")) {
            (Some(Value::Number(port)), _) if port == "3306" => Some("mysql"),
            (Some(Value::Number(port)), _) if port == "5432" => Some("postgres"),
            (_, Some(_)) => Some("postgres"),
            _ => None,
        }
    }

    fn variable(&mut self, location: &Location, variable: &Variable, is_iam: bool) {
        let text = variable.text();
        match variable.name.as_str() {
            "PASS" => self.hoop_password(location, variable, &text, is_iam),
            "CODER_PG_CONNECTION_URL" => self.url(location, &variable.value),
            "CODER_PG_AUTH" if text == "awsiamrds" => {}
            "CODER_PG_AUTH" => self.fail(
                location,
                "awsiamrds is expected; for a password, write url and \
                 server-auth = { password-file = … }",
            ),
            name => {
                let key =
                    HOOP.iter().find(|(variable, _)| *variable == name).map_or("", |(_, key)| *key);
                self.hoop(location, key, variable, &text);
            }
        }
    }

    fn hoop_password(
        &mut self,
        location: &Location,
        variable: &Variable,
        text: &str,
        is_iam: bool,
    ) {
        if text == format!("{IAM_PREFIX}authtoken") && is_iam {
            return;
        }
        if text.starts_with(IAM_PREFIX) {
            let problem = format!("{IAM_PREFIX}authtoken requires USER={IAM_PREFIX}DBUSER");
            return self.fail(location, problem);
        }
        if is_iam {
            let problem =
                format!("USER={IAM_PREFIX}DBUSER requires {IAM_PREFIX}authtoken here, or no PASS");
            return self.fail(location, problem);
        }
        if !variable.may_be_secret {
            return self.fail(location, LITERAL_PASSWORD);
        }
        self.password = password(text, location, self.sink);
    }

    fn hoop(&mut self, location: &Location, key: &str, variable: &Variable, text: &str) {
        let value = match key {
            "user" => match text.strip_prefix(IAM_PREFIX) {
                Some("") => {
                    return self.fail(
                        location,
                        format!("the database user is missing after {IAM_PREFIX}"),
                    );
                }
                Some(user) => Value::String(user.to_owned()),
                None => Value::String(text.to_owned()),
            },
            "port" => Value::Number(text.to_owned()),
            "tls" => match url::tls_mode("SSLMODE", text) {
                Ok(mode) => Value::String(mode.to_owned()),
                Err(problem) => return self.fail(location, problem),
            },
            _ => Value::String(text.to_owned()),
        };
        self.add(Member {
            key: key.to_owned(),
            position: variable.value.position,
            node: Node { position: variable.value.position, value },
        });
    }
}

impl Variable {
    fn text(&self) -> String {
        match &self.value.value {
            Value::String(text) | Value::Number(text) => text.clone(),
            other => other.noun().to_owned(),
        }
    }
}

/// Parses an env file as `docker --env-file` and shells do: `NAME=VALUE` lines.
///
/// Returns the variables in the order of the file. Errors do not repeat the text of a line, which
/// may be secret.
fn read_env_file(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut variables = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            return Err(format!("line {number} is not NAME=VALUE"));
        };
        variables.push((name.trim_end(), unquoted(value.trim())));
    }
    Ok(variables)
}

fn unquoted(text: &str) -> &str {
    let within = |quote: char| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    within('"').or_else(|| within('\'')).unwrap_or(text)
}
