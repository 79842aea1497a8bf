//! Input and result of `policy simulate` and `policy explain` as JSON documents.
//!
//! ```json
//! {
//!   "principal": "arn:aws:iam::123456789012:user/jane",
//!   "action": "rds-db:connect",
//!   "resource": "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABCD/jane",
//!   "resource_account": "123456789012",
//!   "context": {"aws:SourceIp": "203.0.113.7", "aws:TagKeys": ["team"]},
//!   "identity_policies": [{"Version": "2012-10-17", "Statement": []}],
//!   "permission_boundaries": [],
//!   "session_policies": [],
//!   "service_control_policies": [[]],
//!   "resource_control_policies": [[]],
//!   "resource_policy": null
//! }
//! ```
//!
//! Only `principal`, `action` and `resource` are required. A policy is an object, or a string that
//! holds a document. A list in `context` is a multivalued key, regardless of its number of values.
//! Control policies are lists of levels, from the root of the organization to the account. A level
//! of service control policies without an Allow allows nothing; a level of resource control
//! policies without an Allow allows everything that it does not deny.

use std::str::FromStr;
use std::sync::Arc;

use super::Caller;
use super::context::{Action, Context, ContextValue, Request};
use super::decision::{StatementName, Verdict};
use super::document::Policy;
use super::element::PolicyKind;
use super::evaluation::{applying, decide};
use super::explanation::{Explanation, explain};
use super::grammar::node::{object, string};
use super::grammar::policy;
use super::set::{Layer, PolicySet};
use crate::diagnostic::{Collector, Diagnostics, Path};
use crate::json::{self, Member, Node, Value};
use crate::name::AccountId;

/// The fields of the input.
const FIELDS: [&str; 11] = [
    "principal",
    "action",
    "resource",
    "resource_account",
    "context",
    "identity_policies",
    "permission_boundaries",
    "session_policies",
    "service_control_policies",
    "resource_control_policies",
    "resource_policy",
];

/// A request and the policies in effect, read from one document.
#[derive(Debug, Clone)]
pub struct Simulation {
    caller: Caller,
    action: Action,
    resource: String,
    resource_account: Option<AccountId>,
    context: Context,
    policies: PolicySet,
}

/// The result: `{"decision": "allowed" | "explicitDeny" | "implicitDeny", "reason": …, "matched":
/// […]}`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SimulationResult {
    /// The decision.
    pub decision: Verdict,
    /// Reason of the decision, as a sentence.
    pub reason: String,
    /// Every statement, allowing or denying, that applies to the request.
    pub matched: Vec<StatementName>,
}

impl Simulation {
    /// Parses the input document.
    ///
    /// # Errors
    /// All errors of the document and of the policies in it, each with its JSON path and its line
    /// and column in `text`.
    pub fn parse(text: &str) -> Result<Self, Diagnostics> {
        let mut collector = Collector::default();
        let simulation = json::read(text, json::MAX_SIZE, &mut collector)
            .and_then(|node| read(&node, &mut collector));
        collector.finish(simulation)
    }

    /// The request to decide on.
    #[must_use]
    pub fn request(&self) -> Request<'_> {
        Request {
            caller: &self.caller,
            action: &self.action,
            resource: &self.resource,
            resource_account: self.resource_account.as_ref(),
            context: &self.context,
        }
    }

    /// The policies in effect.
    #[must_use]
    pub fn policies(&self) -> &PolicySet {
        &self.policies
    }

    /// Decides on the request.
    #[must_use]
    pub fn run(&self) -> SimulationResult {
        let request = self.request();
        let decision = decide(&request, &self.policies);
        SimulationResult {
            decision: Verdict::from(&decision),
            reason: decision.to_string(),
            matched: applying(&request, &self.policies),
        }
    }

    /// Decides, and explains for every statement why it does or does not apply.
    #[must_use]
    pub fn explain(&self) -> Explanation {
        explain(&self.request(), &self.policies)
    }
}

fn read(node: &Node, collector: &mut Collector) -> Option<Simulation> {
    let root = Path::Root;
    let members = object(node, &root, "a simulation", collector)?;
    for member in members.iter().filter(|member| !FIELDS.contains(&member.key.as_str())) {
        collector.add(
            &root.key(&member.key),
            member.position,
            format!(
                "{:?} is not a field of a simulation, which has {}",
                member.key,
                FIELDS.join(", ")
            ),
        );
    }
    let mut required = |name: &str| {
        let found = present(members, name);
        if found.is_none() {
            collector.add(&root, node.position, format!("the field {name:?} is missing"));
        }
        found
    };
    let (caller, action, resource) =
        (required("principal"), required("action"), required("resource"));
    let caller = caller.and_then(|member| name(member, collector));
    let action = action.and_then(|member| name(member, collector));
    let resource =
        resource.and_then(|member| string(&member.node, &root.key(&member.key), collector));
    let resource_account =
        present(members, "resource_account").and_then(|member| name(member, collector));
    let context = present(members, "context")
        .map_or_else(|| Some(Context::new()), |member| context(&member.node, collector));
    let policies = policies(members, collector);
    Some(Simulation {
        caller: caller?,
        action: action?,
        resource: resource?.into(),
        resource_account,
        context: context?,
        policies,
    })
}

/// Returns a field that is present and not null.
fn present<'a>(members: &'a [Member], name: &str) -> Option<&'a Member> {
    members.iter().find(|member| member.key == name && member.node.value != Value::Null)
}

/// Parses a field as a name. Account IDs may be unquoted.
fn name<T: FromStr<Err: std::fmt::Display>>(
    member: &Member,
    collector: &mut Collector,
) -> Option<T> {
    let path = Path::Root.key(&member.key);
    let text = match &member.node.value {
        Value::Number(digits) => digits,
        _ => string(&member.node, &path, collector)?,
    };
    text.parse()
        .map_err(|invalid: T::Err| collector.add(&path, member.node.position, invalid.to_string()))
        .ok()
}

fn context(node: &Node, collector: &mut Collector) -> Option<Context> {
    let path = Path::Root.key("context");
    let mut context = Context::new();
    for member in object(node, &path, "the context", collector)? {
        let path = path.key(&member.key);
        let value = match &member.node.value {
            Value::Null => continue,
            Value::Array(nodes) => {
                let values = nodes
                    .iter()
                    .enumerate()
                    .filter_map(|(index, node)| scalar(node, &path.index(index), collector));
                ContextValue::Many(values.collect())
            }
            _ => match scalar(&member.node, &path, collector) {
                Some(value) => ContextValue::One(value),
                None => continue,
            },
        };
        if context.insert(&member.key, value).is_some() {
            collector.add(
                &path,
                member.position,
                format!("duplicate key {:?}, in different case; keep one", member.key),
            );
        }
    }
    Some(context)
}

fn scalar(node: &Node, path: &Path<'_>, collector: &mut Collector) -> Option<String> {
    match &node.value {
        Value::String(text) | Value::Number(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        other => {
            collector.add(
                path,
                node.position,
                format!(
                    "a context value is a string, a number, a boolean or a list of these, not {}",
                    other.noun()
                ),
            );
            None
        }
    }
}

/// Maps an index to its layer.
type LayerAt = fn(usize) -> Layer;

fn policies(members: &[Member], collector: &mut Collector) -> PolicySet {
    let mut set = PolicySet::new();
    let lists: [(&str, LayerAt); 3] = [
        ("identity_policies", |_| Layer::Identity),
        ("permission_boundaries", Layer::Boundary),
        ("session_policies", |_| Layer::Session),
    ];
    for (name, layer) in lists {
        let Some(member) = present(members, name) else {
            continue;
        };
        let path = Path::Root.key(name);
        for (index, node) in list(&member.node, &path, collector).iter().enumerate() {
            attach(&mut set, layer(index), node, &path.index(index), collector);
        }
    }
    let levels: [(&str, LayerAt); 2] = [
        ("service_control_policies", Layer::ServiceControl),
        ("resource_control_policies", Layer::ResourceControl),
    ];
    for (name, layer) in levels {
        let Some(member) = present(members, name) else {
            continue;
        };
        let path = Path::Root.key(name);
        for (level, node) in list(&member.node, &path, collector).iter().enumerate() {
            set.require(layer(level));
            let path = path.index(level);
            for (index, node) in list(node, &path, collector).iter().enumerate() {
                attach(&mut set, layer(level), node, &path.index(index), collector);
            }
        }
    }
    if let Some(member) = present(members, "resource_policy") {
        attach(
            &mut set,
            Layer::Resource,
            &member.node,
            &Path::Root.key("resource_policy"),
            collector,
        );
    }
    set
}

fn list<'a>(node: &'a Node, path: &Path<'_>, collector: &mut Collector) -> &'a [Node] {
    match &node.value {
        Value::Array(nodes) => nodes,
        other => {
            collector.add(path, node.position, format!("expected a list, found {}", other.noun()));
            &[]
        }
    }
}

fn attach(
    set: &mut PolicySet,
    layer: Layer,
    node: &Node,
    path: &Path<'_>,
    collector: &mut Collector,
) {
    let Some(policy) = document(node, layer.kind(), path, collector) else {
        return;
    };
    if let Err(wrong) = set.add(layer, Arc::new(policy)) {
        collector.add(path, node.position, wrong.to_string());
    }
}

/// Reads a policy from an object, or from a string that holds a document.
fn document(
    node: &Node,
    kind: PolicyKind,
    path: &Path<'_>,
    collector: &mut Collector,
) -> Option<Policy> {
    let Value::String(text) = &node.value else {
        return policy(node, kind, path, collector);
    };
    let mut inner = Collector::default();
    let policy = json::read(text, json::MAX_SIZE, &mut inner)
        .and_then(|node| policy(&node, kind, &Path::Root, &mut inner));
    collector.embed(path, node.position, inner);
    policy
}

#[cfg(test)]
mod tests;
