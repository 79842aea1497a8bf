//! Readers of JSON nodes that the elements of a policy share.

use crate::diagnostic::{Collector, Path, Position};
use crate::json::{Member, Node, Value};
use crate::policy::element::Polarity;

/// The JSON node of a statement.
#[derive(Clone, Copy)]
pub(super) struct StatementNode<'a> {
    pub(super) members: &'a [Member],
    pub(super) position: Position,
    pub(super) path: &'a Path<'a>,
}

/// States if a statement must have an element.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Required,
    Optional,
}

impl<'a> StatementNode<'a> {
    /// Returns the element or its negation. A statement must not have both.
    pub(super) fn either(
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
                    format!("{is} and {is_not} are mutually exclusive; keep one"),
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

pub(super) fn find<'a>(members: &'a [Member], key: &str) -> Option<&'a Member> {
    members.iter().find(|member| member.key == key)
}

/// Returns the members of an object; any other value of `what` is an error.
pub(in crate::policy) fn object<'a>(
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
                format!("{what} must be an object, not {}", other.noun()),
            );
            None
        }
    }
}

pub(in crate::policy) fn string<'a>(
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

/// Compiles a string or each string of a non-empty list.
pub(super) fn strings<T>(
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
            collector.add(path, node.position, "the list is empty; give at least one value");
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
