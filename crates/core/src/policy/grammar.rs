//! Parser of policy documents. It reports all errors of a document at once.
//!
//! Source, unless another is named: IAM user guide, "Grammar of the IAM JSON policy language" and
//! the pages on the elements.

use std::collections::HashSet;
use std::sync::Arc;

use super::document::{Policy, Scope, Statement};
use super::element::{Effect, PolicyKind};
use super::pattern::{ArnSegments, NoValues, Pattern, Variables, Wildcards};
use crate::diagnostic::{Collector, Diagnostics, Path};
use crate::json::{self, Member, Node, Value};
use crate::region::Partition;

mod condition;
pub(super) mod node;
mod principal;

use node::{Presence, StatementNode, find, object, string, strings};

/// The rules for one document.
#[derive(Clone, Copy)]
struct Dialect {
    kind: PolicyKind,
    variables: Variables,
}

impl Policy {
    /// Parses a document. Versions are 2012-10-17 and 2008-10-17. The default is 2008-10-17, in
    /// which `${…}` is literal text.
    ///
    /// # Errors
    /// All errors of the document, each with JSON path, line and column. Input that cannot be
    /// evaluated is an error, so that no Deny is ever ignored: unknown elements, operators and
    /// versions, duplicate keys, values not of their operator's type, malformed ARNs, variables
    /// and principals.
    pub fn parse(text: &str, kind: PolicyKind) -> Result<Self, Diagnostics> {
        let mut collector = Collector::default();
        let policy = json::read(text, json::MAX_SIZE, &mut collector)
            .and_then(|node| self::policy(&node, kind, &Path::Root, &mut collector));
        collector.finish(policy)
    }
}

/// Reads a document. Returns `None` if an error leaves too little for a policy. Other errors are
/// collected as well, so a returned policy is valid only if the collector is empty.
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
                format!(
                    "{other:?} is not an element of a policy, which has Version, Id and Statement"
                ),
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
                "the list of statements is empty; add at least one",
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
                format!("{other:?} is not a version of the policy language; write \"2012-10-17\""),
            );
            Variables::Expanded
        }
    }
}

/// Checks that Sids are unique within a document; empty ones do not count.
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
                format!("duplicate Sid {sid:?}; give each statement its own"),
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
            "{:?} is not an element of a statement, which has {}",
            member.key,
            ELEMENTS.join(", ")
        );
        collector.add(&path.key(&member.key), member.position, problem);
    }
    let place = StatementNode { members, position: node.position, path };
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

fn sid(
    node: &Node,
    kind: PolicyKind,
    path: &Path<'_>,
    collector: &mut Collector,
) -> Option<Arc<str>> {
    let sid = string(node, path, collector)?;
    // "Some services allow additional characters such as spaces in the Sid value": those with
    // resource policies.
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

fn effect(place: StatementNode<'_>, collector: &mut Collector) -> Option<Effect> {
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
                format!("{other:?} is not an effect; write \"Allow\" or \"Deny\""),
            );
            None
        }
    }
}

fn scope(
    place: StatementNode<'_>,
    names: [&str; 2],
    presence: Presence,
    collector: &mut Collector,
    compile: impl Fn(&str) -> Result<Pattern, String>,
) -> Option<Scope> {
    let (polarity, member) = place.either(names, presence, collector)?;
    let patterns = strings(&member.node, &place.path.key(&member.key), collector, compile)?;
    Some(Scope { polarity, patterns: patterns.into() })
}

/// Compiles `service:Name` with wildcards in the name, or `*`. Like AWS, accepts any text after the
/// colon, including spaces.
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
            "the action {text:?} is not of the form service:Name, as in \"rds-db:connect\", nor \
             \"*\""
        ));
    }
    Ok(Pattern::folded(text))
}

/// Compiles an ARN with wildcards in any part but the service, or `*`. A short ARN that ends in a
/// wildcard (`arn:aws:s3:*`) or with the service (`arn:aws:s3`) is padded with `*`.
/// Sources: IAM user guide, "IAM JSON policy elements: Resource"; IAM's responses as recorded in
/// moto's `tests/test_iam/test_iam_policies.py`.
fn resource(text: &str, variables: Variables) -> Result<Pattern, String> {
    if text == "*" {
        return Pattern::compile(text, Wildcards::Special, variables);
    }
    let refuse = |reason: &str| {
        Err(format!(
            "the resource {text:?} {reason}; write an ARN \
             (arn:partition:service:region:account:resource) or \"*\""
        ))
    };
    let Some(rest) = text.strip_prefix("arn:") else {
        return refuse("is not an ARN");
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
        return refuse(&format!("is in {partition:?}, which is not a partition of AWS"));
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

#[cfg(test)]
mod tests;
