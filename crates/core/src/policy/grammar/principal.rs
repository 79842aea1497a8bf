//! Parser of the `Principal` element: `"*"`, or lists by kind of principal.

use super::node::{Presence, StatementNode, strings};
use crate::diagnostic::{Collector, Path};
use crate::json::{Node, Value};
use crate::policy::element::PolicyKind;
use crate::policy::principals::{Entry, Principals};

/// Reads the element. A resource policy must have it, an RCP may have `"*"`, other kinds must not
/// have it.
pub(super) fn principals(
    place: StatementNode<'_>,
    kind: PolicyKind,
    collector: &mut Collector,
) -> Option<Principals> {
    let presence =
        if kind == PolicyKind::Resource { Presence::Required } else { Presence::Optional };
    let (polarity, member) = place.either(["Principal", "NotPrincipal"], presence, collector)?;
    let path = place.path.key(&member.key);
    if matches!(kind, PolicyKind::Identity | PolicyKind::ServiceControl) {
        collector.add(
            &path,
            member.position,
            format!(
                "{kind} must not have a principal: it applies to what it is attached to; remove \
                 the element"
            ),
        );
        return None;
    }
    let entries = entries(&member.node, &path, collector)?;
    if kind == PolicyKind::ResourceControl
        && (member.key != "Principal" || entries.iter().any(|entry| *entry != Entry::Everyone))
    {
        collector.add(
            &path,
            member.position,
            "a resource control policy accepts only \"Principal\": \"*\"; narrow it with \
             conditions",
        );
    }
    Some(Principals { polarity, entries: entries.into() })
}

fn entries(node: &Node, path: &Path<'_>, collector: &mut Collector) -> Option<Vec<Entry>> {
    let members = match &node.value {
        Value::Object(members) if members.is_empty() => {
            collector.add(path, node.position, "no principal is named; name one, or \"*\"");
            return None;
        }
        Value::Object(members) => members,
        // The grammar allows only "*" here. An account ID or ARN can only be an AWS principal.
        _ => return strings(node, path, collector, Entry::aws),
    };
    let mut entries = Vec::new();
    for member in members {
        let path = path.key(&member.key);
        let read = match member.key.as_str() {
            "AWS" => Entry::aws,
            "Service" | "Federated" | "CanonicalUser" => Entry::external,
            other => {
                collector.add(
                    &path,
                    member.position,
                    format!(
                        "{other:?} is not a kind of principal; use AWS, Service, Federated and \
                         CanonicalUser"
                    ),
                );
                continue;
            }
        };
        entries.extend(strings(&member.node, &path, collector, read).unwrap_or_default());
    }
    (!entries.is_empty()).then_some(entries)
}
