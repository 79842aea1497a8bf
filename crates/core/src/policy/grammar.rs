//! From JSON to a policy: what each element may be, and every mistake in a document at once.
//!
//! Source, where no other is named: IAM user guide, "Grammar of the IAM JSON policy language" and the pages of the
//! elements.

use std::collections::HashSet;
use std::sync::Arc;

use super::document::{Policy, Scope, Statement};
use super::element::{Effect, Polarity, PolicyKind};
use super::pattern::{ArnSegments, NoValues, Pattern, Variables, Wildcards};
use crate::diagnostic::{Collector, Diagnostics, Path, Position};
use crate::json::{self, Member, Node, Value};
use crate::region::Partition;

mod condition;
mod principal;

/// What every part of a document is read against.
#[derive(Clone, Copy)]
struct Dialect {
    kind: PolicyKind,
    variables: Variables,
}

impl Policy {
    /// Parses a document. Versions are 2012-10-17 and 2008-10-17; a document without `Version` is of 2008-10-17, where
    /// `${…}` is literal text.
    ///
    /// # Errors
    /// Everything that is wrong with the document, each mistake with its JSON path, line and column. What can't be
    /// evaluated is a mistake, so that no Deny is ever passed over: unknown elements, operators and versions, duplicate
    /// keys, values that are not of their operator's type, malformed ARNs, variables and principals.
    pub fn parse(text: &str, kind: PolicyKind) -> Result<Self, Diagnostics> {
        let mut collector = Collector::default();
        let policy = json::read(text, json::MAX_SIZE, &mut collector)
            .and_then(|node| self::policy(&node, kind, &Path::Root, &mut collector));
        collector.finish(policy)
    }
}

/// Reads a document. Nothing comes back if a mistake left too little to make a policy of; a mistake that leaves enough
/// is in the collector all the same.
pub(super) fn policy(
    node: &Node,
    kind: PolicyKind,
    path: &Path<'_>,
    collector: &mut Collector,
) -> Option<Policy> {
    let members = object(node, path, "a policy document", collector)?;
    let variables = version(members, path, collector);
    let dialect = Dialect { kind, variables };
    for member in members {
        let path = path.key(&member.key);
        match member.key.as_str() {
            "Version" | "Statement" => {}
            "Id" => {
                string(&member.node, &path, collector);
            }
            other => collector.add(
                &path,
                member.position,
                format!("{other:?} is no element of a policy; it has Version, Id and Statement"),
            ),
        }
    }
    let Some(statement) = find(members, "Statement") else {
        collector.add(
            path,
            node.position,
            "the Statement element is missing; add a statement or a list of them",
        );
        return None;
    };
    let statement_path = path.key("Statement");
    let statements: Vec<Statement> = match &statement.node.value {
        Value::Array(nodes) if nodes.is_empty() => {
            collector.add(
                &statement_path,
                statement.node.position,
                "there is no statement; a policy needs one at least",
            );
            return None;
        }
        Value::Array(nodes) => nodes
            .iter()
            .enumerate()
            .filter_map(|(index, node)| {
                self::statement(node, dialect, &statement_path.index(index), collector)
            })
            .collect(),
        _ => self::statement(&statement.node, dialect, &statement_path, collector)
            .into_iter()
            .collect(),
    };
    unique_sids(&statement.node, &statement_path, collector);
    Some(Policy::new(kind, statements))
}

fn version(members: &[Member], path: &Path<'_>, collector: &mut Collector) -> Variables {
    let Some(member) = find(members, "Version") else {
        return Variables::Literal;
    };
    match string(&member.node, &path.key("Version"), collector) {
        Some("2012-10-17") | None => Variables::Expanded,
        Some("2008-10-17") => Variables::Literal,
        Some(other) => {
            collector.add(
                &path.key("Version"),
                member.node.position,
                format!("{other:?} is no version of the language; write \"2012-10-17\""),
            );
            Variables::Expanded
        }
    }
}

/// Sids have to differ within a document; empty ones do not count.
fn unique_sids(statements: &Node, path: &Path<'_>, collector: &mut Collector) {
    let Value::Array(nodes) = &statements.value else {
        return;
    };
    let mut seen = HashSet::new();
    for (index, node) in nodes.iter().enumerate() {
        let Value::Object(members) = &node.value else {
            continue;
        };
        let Some(Node { position, value: Value::String(sid) }) =
            find(members, "Sid").map(|member| &member.node)
        else {
            continue;
        };
        if !sid.is_empty() && !seen.insert(sid) {
            collector.add(
                &path.index(index).key("Sid"),
                *position,
                format!("the Sid {sid:?} stands here twice; give each statement its own"),
            );
        }
    }
}

const ELEMENTS: [&str; 9] = [
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

fn statement(
    node: &Node,
    dialect: Dialect,
    path: &Path<'_>,
    collector: &mut Collector,
) -> Option<Statement> {
    let before = collector.count();
    let members = object(node, path, "a statement", collector)?;
    for member in members.iter().filter(|member| !ELEMENTS.contains(&member.key.as_str())) {
        let problem = format!(
            "{:?} is no element of a statement; it has {}",
            member.key,
            ELEMENTS.join(", ")
        );
        collector.add(&path.key(&member.key), member.position, problem);
    }
    let place = Place { members, position: node.position, path };
    let sid = find(members, "Sid")
        .and_then(|member| sid(&member.node, dialect.kind, &path.key("Sid"), collector));
    let effect = effect(place, collector);
    let principals = principal::principals(place, dialect.kind, collector);
    let actions = scope(place, ["Action", "NotAction"], Presence::Required, collector, action);
    let presence =
        if dialect.kind == PolicyKind::Resource { Presence::Optional } else { Presence::Required };
    let resources = scope(place, ["Resource", "NotResource"], presence, collector, |text| {
        resource(text, dialect.variables)
    });
    let conditions = find(members, "Condition")
        .map(|member| {
            condition::conditions(
                &member.node,
                dialect.variables,
                &path.key("Condition"),
                collector,
            )
        })
        .unwrap_or_default();
    let statement = Statement {
        sid,
        position: node.position,
        effect: effect?,
        principals,
        actions: actions?,
        resources,
        conditions: conditions.into(),
    };
    (collector.count() == before).then_some(statement)
}

/// A statement, as the readers of its elements need it.
#[derive(Clone, Copy)]
struct Place<'a> {
    members: &'a [Member],
    position: Position,
    path: &'a Path<'a>,
}

/// Whether a statement has to have an element.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Required,
    Optional,
}

impl<'a> Place<'a> {
    /// An element or its negation, of which a statement has one.
    fn either(
        self,
        [is, is_not]: [&str; 2],
        presence: Presence,
        collector: &mut Collector,
    ) -> Option<(Polarity, &'a Member)> {
        match (find(self.members, is), find(self.members, is_not)) {
            (Some(_), Some(second)) => {
                collector.add(
                    &self.path.key(is_not),
                    second.position,
                    format!("{is} and {is_not} exclude each other; keep one"),
                );
                None
            }
            (Some(member), None) => Some((Polarity::Is, member)),
            (None, Some(member)) => Some((Polarity::IsNot, member)),
            (None, None) => {
                if presence == Presence::Required {
                    collector.add(
                        self.path,
                        self.position,
                        format!("the {is} element is missing; add {is} or {is_not}"),
                    );
                }
                None
            }
        }
    }
}

fn sid(
    node: &Node,
    kind: PolicyKind,
    path: &Path<'_>,
    collector: &mut Collector,
) -> Option<Arc<str>> {
    let sid = string(node, path, collector)?;
    // "Some services allow additional characters such as spaces in the Sid value": those that have resource policies.
    let word = sid.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !word && kind != PolicyKind::Resource {
        collector.add(
            path,
            node.position,
            format!("the Sid {sid:?} has characters other than A-Z, a-z and 0-9; leave them out"),
        );
    }
    Some(sid.into()).filter(|sid: &Arc<str>| !sid.is_empty())
}

fn effect(place: Place<'_>, collector: &mut Collector) -> Option<Effect> {
    let path = place.path.key("Effect");
    let Some(member) = find(place.members, "Effect") else {
        collector.add(
            place.path,
            place.position,
            "the Effect element is missing; add \"Effect\": \"Allow\" or \"Deny\"",
        );
        return None;
    };
    match string(&member.node, &path, collector)? {
        "Allow" => Some(Effect::Allow),
        "Deny" => Some(Effect::Deny),
        other => {
            collector.add(
                &path,
                member.node.position,
                format!("{other:?} is no effect; write \"Allow\" or \"Deny\""),
            );
            None
        }
    }
}

fn scope(
    place: Place<'_>,
    names: [&str; 2],
    presence: Presence,
    collector: &mut Collector,
    compile: impl Fn(&str) -> Result<Pattern, String>,
) -> Option<Scope> {
    let (sense, member) = place.either(names, presence, collector)?;
    let patterns = strings(&member.node, &place.path.key(&member.key), collector, compile)?;
    Some(Scope { sense, patterns: patterns.into() })
}

/// `service:Name` with wildcards in the name, or `*`. Whatever stands after the colon is taken as AWS takes it, spaces
/// included.
fn action(text: &str) -> Result<Pattern, String> {
    let service = match text.split_once(':') {
        Some((_, name)) if name.contains(':') => {
            return Err(format!("the action {text:?} has more than one colon"));
        }
        Some((service, _)) => service,
        None => text,
    };
    let word = !service.is_empty()
        && service.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    if service != "*" && (service == text || !word) {
        return Err(format!(
            "the action {text:?} is not of the form service:Name, as in \"rds-db:connect\", nor \"*\""
        ));
    }
    Ok(Pattern::folded(text))
}

/// An ARN with wildcards in any part but the service, or `*`. The parts left out at the end of a short ARN are `*`: of
/// one that ends in a wildcard (`arn:aws:s3:*`) and of one that ends with the service (`arn:aws:s3`).
/// Sources: IAM user guide, "IAM JSON policy elements: Resource"; IAM's answers as recorded in moto's
/// `tests/test_iam/test_iam_policies.py`.
fn resource(text: &str, variables: Variables) -> Result<Pattern, String> {
    if text == "*" {
        return Pattern::compile(text, Wildcards::Special, variables);
    }
    let refuse = |reason: &str| {
        Err(format!(
            "the resource {text:?} {reason}; write an ARN (arn:partition:service:region:account:resource) or \"*\""
        ))
    };
    let Some(rest) = text.strip_prefix("arn:") else {
        return refuse("is no ARN");
    };
    let variable = text.find("${").filter(|_| variables == Variables::Expanded);
    if variable.and_then(|at| text.get(..at)).is_some_and(|before| before.matches(':').count() < 5)
    {
        return refuse("has a variable before its fifth colon, where IAM expands none");
    }
    let parts: Vec<&str> = rest.splitn(5, ':').collect();
    let [partition, service, tail @ ..] = parts.as_slice() else {
        return refuse("has fewer than six parts");
    };
    let known = Pattern::compile(partition, Wildcards::Special, Variables::Literal)?;
    if !Partition::all()
        .any(|partition| known.matches(partition.as_str(), ArnSegments::NONE, &NoValues))
    {
        return refuse(&format!("is in {partition:?}, which is no partition of AWS"));
    }
    if service.is_empty() || service.contains(['*', '?', '$']) {
        return refuse("does not name its service in full");
    }
    let open = tail.is_empty() || tail.last().is_some_and(|last| last.ends_with('*'));
    match tail {
        [_, _, ""] => refuse("names no resource after the fifth colon"),
        [_, _, _] => Pattern::compile(text, Wildcards::Special, variables),
        _ if open => {
            let padded = format!("{text}{}", ":*".repeat(3 - tail.len()));
            Pattern::compile(&padded, Wildcards::Special, variables)
        }
        _ => refuse("has fewer than six parts"),
    }
}

fn find<'a>(members: &'a [Member], key: &str) -> Option<&'a Member> {
    members.iter().find(|member| member.key == key)
}

/// The members of an object, which `what` has to be.
pub(super) fn object<'a>(
    node: &'a Node,
    path: &Path<'_>,
    what: &str,
    collector: &mut Collector,
) -> Option<&'a [Member]> {
    match &node.value {
        Value::Object(members) => Some(members),
        other => {
            collector.add(
                path,
                node.position,
                format!("{what} is an object, not {}", other.noun()),
            );
            None
        }
    }
}

pub(super) fn string<'a>(
    node: &'a Node,
    path: &Path<'_>,
    collector: &mut Collector,
) -> Option<&'a str> {
    match &node.value {
        Value::String(text) => Some(text),
        other => {
            collector.add(
                path,
                node.position,
                format!("expected a string, found {}", other.noun()),
            );
            None
        }
    }
}

/// A string or a list of them with one at least, each compiled.
fn strings<T>(
    node: &Node,
    path: &Path<'_>,
    collector: &mut Collector,
    compile: impl Fn(&str) -> Result<T, String>,
) -> Option<Vec<T>> {
    let mut one = |node: &Node, path: &Path<'_>| match compile(string(node, path, collector)?) {
        Ok(value) => Some(value),
        Err(problem) => {
            collector.add(path, node.position, problem);
            None
        }
    };
    match &node.value {
        Value::Array(nodes) if nodes.is_empty() => {
            collector.add(path, node.position, "the list is empty; give one value at least");
            None
        }
        Value::Array(nodes) => {
            let values: Vec<T> = nodes
                .iter()
                .enumerate()
                .filter_map(|(index, node)| one(node, &path.index(index)))
                .collect();
            (values.len() == nodes.len()).then_some(values)
        }
        _ => one(node, path).map(|value| vec![value]),
    }
}

#[cfg(test)]
mod tests;
