//! Other people's ways to say what a target is, brought into ours: a `url`, hoop's variables, coder's.
//!
//! hoop: `HOST`, `PORT`, `USER=_aws_iam_rds:DBUSER`, `PASS=_aws_iam_rds:authtoken`, `DB`, `SSLMODE`. coder:
//! `CODER_PG_CONNECTION_URL`, `CODER_PG_AUTH`. They stand in the target's table, or in the file that `env-file` names.

use std::sync::Arc;

use countersign_config_file::{DiagnosticSink, Location, string};
use countersign_core::json::{Member, Node, Value};
use countersign_proxy::settings::Password;

use super::secret::{ADVICE, password};
use super::{ConfigContext, dotenv, url};

/// What hoop puts in front of a user to have tokens minted. Source: hoop's documentation, "AWS RDS IAM".
const MARK: &str = "_aws_iam_rds:";

/// hoop's variables, and the fields that they become.
const HOOP: [(&str, &str); 5] =
    [("HOST", "host"), ("PORT", "port"), ("USER", "user"), ("DB", "database"), ("SSLMODE", "tls")];

/// The variables that are not fields.
const OTHERS: [&str; 3] = ["PASS", "CODER_PG_CONNECTION_URL", "CODER_PG_AUTH"];

/// A target's table with nothing but fields of ours in it.
pub(super) struct Form {
    pub(super) node: Node,
    /// The password of a file of variables.
    pub(super) password: Option<Arc<Password>>,
}

/// A variable: its value, and whether it stands in a file that may hold secrets.
struct Variable {
    name: String,
    value: Node,
    may_be_secret: bool,
}

pub(super) fn unfold(
    node: &Node,
    place: &Location,
    around: &ConfigContext<'_>,
    report: &DiagnosticSink,
) -> Option<Form> {
    let Value::Object(members) = &node.value else {
        report.add(place, format!("expected a table, found {}", node.value.noun()));
        return None;
    };
    let mut unfolding =
        Unfolding { place, report, fields: Vec::new(), password: None, is_sound: true };
    let mut variables = Vec::new();
    for member in members {
        let at = place.member(member);
        match member.key.as_str() {
            "url" => unfolding.url(&at, &member.node),
            "env-file" => variables.extend(unfolding.file(&at, &member.node, around)),
            name if is_variable(name) => {
                variables.push(Variable {
                    name: name.to_owned(),
                    value: member.node.clone(),
                    may_be_secret: false,
                });
            }
            _ => unfolding.add(member.clone()),
        }
    }
    unfolding.variables(&variables);
    let Unfolding { fields, password, is_sound, .. } = unfolding;
    is_sound.then(|| Form {
        node: Node { position: node.position, value: Value::Object(fields) },
        password,
    })
}

fn is_variable(name: &str) -> bool {
    HOOP.iter().any(|(variable, _)| *variable == name) || OTHERS.contains(&name)
}

struct Unfolding<'n> {
    place: &'n Location,
    report: &'n DiagnosticSink,
    fields: Vec<Member>,
    password: Option<Arc<Password>>,
    is_sound: bool,
}

impl Unfolding<'_> {
    fn fail(&mut self, place: &Location, problem: impl Into<String>) {
        self.report.add(place, problem);
        self.is_sound = false;
    }

    fn add(&mut self, member: Member) {
        if self.fields.iter().any(|other| other.key == member.key) {
            let place = self.place.member(&member);
            self.fail(&place, "this is said twice: here, and in the URL or the variables");
        } else {
            self.fields.push(member);
        }
    }

    fn url(&mut self, place: &Location, node: &Node) {
        let Some(text) = string(place.clone(), node, self.report) else {
            return self.is_sound = false;
        };
        match url::parts(text.value, place, self.report) {
            Some(parts) => parts.into_iter().for_each(|part| self.add(part)),
            None => self.is_sound = false,
        }
    }

    fn file(&mut self, place: &Location, node: &Node, around: &ConfigContext<'_>) -> Vec<Variable> {
        let text = string(place.clone(), node, self.report)
            .and_then(|path| around.text(path.value, place, self.report));
        let Some(text) = text else {
            self.is_sound = false;
            return Vec::new();
        };
        match dotenv::read(&text) {
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
                self.fail(place, problem);
                Vec::new()
            }
        }
    }

    fn variables(&mut self, variables: &[Variable]) {
        if variables.is_empty() {
            return;
        }
        let is_iam = variables
            .iter()
            .any(|variable| variable.name == "USER" && variable.text().starts_with(MARK));
        for variable in variables {
            let place = Location {
                position: variable.value.position,
                path: format!("{}.{}", self.place.path, variable.name),
            };
            self.variable(&place, variable, is_iam);
        }
        let has = |fields: &[Member], key: &str| fields.iter().any(|field| field.key == key);
        if variables.iter().any(|variable| variable.name == "HOST") && !has(&self.fields, "engine")
        {
            match self.engine() {
                Some(engine) => {
                    let value = Node {
                        position: self.place.position,
                        value: Value::String(engine.to_owned()),
                    };
                    self.fields.push(Member {
                        key: "engine".to_owned(),
                        position: self.place.position,
                        node: value,
                    });
                }
                None => self.fail(
                    &self.place.clone(),
                    "engine is missing: neither PORT nor SSLMODE says which it is",
                ),
            }
        }
    }

    /// What hoop knows from the kind of connection: `SSLMODE` is PostgreSQL's, and the usual ports have one owner each.
    fn engine(&self) -> Option<&'static str> {
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

    fn variable(&mut self, place: &Location, variable: &Variable, is_iam: bool) {
        let text = variable.text();
        match variable.name.as_str() {
            "PASS" if text == format!("{MARK}authtoken") && is_iam => {}
            "PASS" if text.starts_with(MARK) => self.fail(place, format!("{MARK}authtoken belongs to USER={MARK}DBUSER")),
            "PASS" if is_iam => self.fail(place, format!("with USER={MARK}DBUSER it is {MARK}authtoken, or left out")),
            "PASS" if variable.may_be_secret => self.password = password(&text, place, self.report),
            "PASS" => self.fail(place, ADVICE),
            "CODER_PG_CONNECTION_URL" => self.url(place, &variable.value),
            "CODER_PG_AUTH" if text == "awsiamrds" => {}
            "CODER_PG_AUTH" => self.fail(place, "awsiamrds is expected; for a password, write url and server-auth = { password-file = … }"),
            name => {
                let key = HOOP.iter().find(|(variable, _)| *variable == name).map_or("", |(_, key)| *key);
                self.hoop(place, key, variable, &text);
            }
        }
    }

    fn hoop(&mut self, place: &Location, key: &str, variable: &Variable, text: &str) {
        let value = match key {
            "user" => match text.strip_prefix(MARK) {
                Some("") => {
                    return self.fail(place, format!("the database user is missing after {MARK}"));
                }
                Some(user) => Value::String(user.to_owned()),
                None => Value::String(text.to_owned()),
            },
            "port" => Value::Number(text.to_owned()),
            "tls" => match url::mode("SSLMODE", text) {
                Ok(mode) => Value::String(mode.to_owned()),
                Err(problem) => return self.fail(place, problem),
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
