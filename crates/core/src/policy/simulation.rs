//! `policy simulate` and `policy explain`: a question with all its policies as one JSON document, and the answer.
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
//! Only `principal`, `action` and `resource` have to be there. A policy is an object, or a string that holds a
//! document. A list as a value in `context` is a multivalued key, however many values it has. Control policies are
//! lists of levels, from the root of the organization to the account. A level of service control policies without an
//! Allow allows nothing; a level of resource control policies without one allows what it does not deny.

use std::str::FromStr;
use std::sync::Arc;

use super::Caller;
use super::context::{Action, Context, ContextValue, Request};
use super::decision::{StatementName, Verdict};
use super::document::Policy;
use super::element::PolicyKind;
use super::evaluation::{applying, decide};
use super::explanation::{Explanation, explain};
use super::grammar::{self, object, string};
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

/// A request and the policies that bear on it, as one document gives them.
#[derive(Debug, Clone)]
pub struct Simulation {
    caller: Caller,
    action: Action,
    resource: String,
    resource_account: Option<AccountId>,
    context: Context,
    policies: PolicySet,
}

/// The answer: `{"decision": "allowed" | "explicitDeny" | "implicitDeny", "because": …, "matched": […]}`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SimulationResult {
    /// What was decided.
    pub decision: Verdict,
    /// Why, in a sentence.
    pub reason: String,
    /// Every statement, allowing or denying, that applies to the request.
    pub matched: Vec<StatementName>,
}

impl Simulation {
    /// Reads the input document.
    ///
    /// # Errors
    /// Everything that is wrong with the document and with the policies in it, each mistake with its JSON path and its
    /// line and column in `text`.
    pub fn parse(text: &str) -> Result<Self, Diagnostics> {
        let mut collector = Collector::default();
        let simulation = json::read(text, json::MAX_SIZE, &mut collector)
            .and_then(|node| read(&node, &mut collector));
        collector.finish(simulation)
    }

    /// The question that is asked.
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

    /// The policies that bear on it.
    #[must_use]
    pub fn policies(&self) -> &PolicySet {
        &self.policies
    }

    /// Decides.
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

    /// Decides, and says of every statement why it does or does not apply.
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
            format!("{:?} is no field of a simulation; it has {}", member.key, FIELDS.join(", ")),
        );
    }
    let mut required = |name: &str| {
        let found = given(members, name);
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
        given(members, "resource_account").and_then(|member| name(member, collector));
    let context = given(members, "context")
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

/// A field that is there and not null.
fn given<'a>(members: &'a [Member], name: &str) -> Option<&'a Member> {
    members.iter().find(|member| member.key == name && member.node.value != Value::Null)
}

/// A field that is a name; account ids may stand without quotation marks.
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
                format!("the key {:?} stands here twice, in different case; keep one", member.key),
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

/// The layer of what stands at an index.
type LayerAt = fn(usize) -> Layer;

fn policies(members: &[Member], collector: &mut Collector) -> PolicySet {
    let mut set = PolicySet::new();
    let lists: [(&str, LayerAt); 3] = [
        ("identity_policies", |_| Layer::Identity),
        ("permission_boundaries", Layer::Boundary),
        ("session_policies", |_| Layer::Session),
    ];
    for (name, layer) in lists {
        let Some(member) = given(members, name) else {
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
        let Some(member) = given(members, name) else {
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
    if let Some(member) = given(members, "resource_policy") {
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

/// A policy as an object, or as a string that holds one.
fn document(
    node: &Node,
    kind: PolicyKind,
    path: &Path<'_>,
    collector: &mut Collector,
) -> Option<Policy> {
    let Value::String(text) = &node.value else {
        return grammar::policy(node, kind, path, collector);
    };
    let mut inner = Collector::default();
    let policy = json::read(text, json::MAX_SIZE, &mut inner)
        .and_then(|node| grammar::policy(&node, kind, &Path::Root, &mut inner));
    collector.embed(path, node.position, inner);
    policy
}

#[cfg(test)]
mod tests;
