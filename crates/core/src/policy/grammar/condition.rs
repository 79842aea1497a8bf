//! Parser of the `Condition` element: operators, keys and values.

use std::collections::HashSet;

use super::node::object;
use crate::diagnostic::{Collector, Path};
use crate::json::{Node, Value};
use crate::policy::condition::{Condition, Operand, Operator};
use crate::policy::pattern::Variables;

pub(super) fn conditions(
    node: &Node,
    variables: Variables,
    path: &Path<'_>,
    collector: &mut Collector,
) -> Vec<Condition> {
    let mut conditions = Vec::new();
    for block in object(node, path, "Condition", collector).unwrap_or_default() {
        let path = path.key(&block.key);
        let mut seen = HashSet::new();
        let operator = Operator::parse(&block.key)
            .map_err(|problem| collector.add(&path, block.position, problem))
            .ok();
        for member in
            object(&block.node, &path, "a condition operator", collector).unwrap_or_default()
        {
            let path = path.key(&member.key);
            let folded = member.key.to_ascii_lowercase();
            if member.key.is_empty()
                || member.key.contains(|c: char| c.is_control() || "*?${}".contains(c))
            {
                collector.add(
                    &path,
                    member.position,
                    format!("{:?} is not a condition key", member.key),
                );
            }
            let Some(operator) = &operator else { continue };
            if !seen.insert(folded.clone()) {
                collector.add(
                    &path,
                    member.position,
                    format!("duplicate key {:?}, in different case; keep one", member.key),
                );
            }
            let Some((operands, wanted)) =
                values(&member.node, operator, variables, &path, collector)
            else {
                continue;
            };
            let key = member.key.as_str().into();
            conditions.push(Condition {
                operator: operator.clone(),
                key,
                folded: folded.into(),
                operands,
                wanted,
            });
        }
    }
    conditions
}

type Values = (Box<[Operand]>, Box<[Box<str>]>);

/// Reads a value or a non-empty list. Numbers and booleans may be unquoted.
fn values(
    node: &Node,
    operator: &Operator,
    variables: Variables,
    path: &Path<'_>,
    collector: &mut Collector,
) -> Option<Values> {
    let one = |node: &Node, path: &Path<'_>, collector: &mut Collector| {
        let text = match &node.value {
            Value::String(text) | Value::Number(text) => text.as_str(),
            Value::Bool(true) => "true",
            Value::Bool(false) => "false",
            other => {
                collector.add(
                    path,
                    node.position,
                    format!(
                        "a condition's value is a string, a number or a boolean, not {}",
                        other.noun()
                    ),
                );
                return None;
            }
        };
        let operand = operator
            .operand(text, variables)
            .map_err(|problem| collector.add(path, node.position, problem))
            .ok()?;
        Some((operand, Box::from(text)))
    };
    match &node.value {
        Value::Array(nodes) if nodes.is_empty() => {
            collector.add(path, node.position, "the list is empty; give at least one value");
            None
        }
        Value::Array(nodes) => {
            let read: Vec<_> = nodes
                .iter()
                .enumerate()
                .filter_map(|(index, node)| one(node, &path.index(index), collector))
                .collect();
            let (operands, wanted): (Vec<_>, Vec<_>) = read.into_iter().unzip();
            Some((operands.into(), wanted.into()))
        }
        _ => one(node, path, collector)
            .map(|(operand, wanted)| (Box::from([operand]), Box::from([wanted]))),
    }
}
