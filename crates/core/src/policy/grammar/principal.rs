//! The principal element: `"*"`, or lists by kind of principal.

use super::{Place, Presence, strings};
use crate::diagnostic::{Collector, Path};
use crate::json::{Node, Value};
use crate::policy::element::PolicyKind;
use crate::policy::principals::{Entry, Principals};

/// Which policies have the element: a resource's has to, an RCP may say `"*"`, the others must not.
pub(super) fn principals(
    place: Place<'_>,
    kind: PolicyKind,
    collector: &mut Collector,
) -> Option<Principals> {
    let presence =
        if kind == PolicyKind::Resource { Presence::Required } else { Presence::Optional };
    let (sense, member) = place.either(["Principal", "NotPrincipal"], presence, collector)?;
    let path = place.path.key(&member.key);
    if matches!(kind, PolicyKind::Identity | PolicyKind::ServiceControl) {
        collector.add(&path, member.position, format!("an {kind} has no principal: it applies to what it is attached to; remove the element"));
        return None;
    }
    let entries = entries(&member.node, &path, collector)?;
    if kind == PolicyKind::ResourceControl
        && (member.key != "Principal" || entries.iter().any(|entry| *entry != Entry::Everyone))
    {
        collector.add(
            &path,
            member.position,
            "a resource control policy knows only \"Principal\": \"*\"; narrow it with conditions",
        );
    }
    Some(Principals { sense, entries: entries.into() })
}

fn entries(node: &Node, path: &Path<'_>, collector: &mut Collector) -> Option<Vec<Entry>> {
    let members = match &node.value {
        Value::Object(members) if members.is_empty() => {
            collector.add(path, node.position, "no principal is named; name one, or \"*\"");
            return None;
        }
        Value::Object(members) => members,
        // The grammar has "*" here and nothing else; an account id or ARN can only mean an AWS principal.
        _ => return strings(node, path, collector, Entry::aws),
    };
    let mut entries = Vec::new();
    for member in members {
        let path = path.key(&member.key);
        let read = match member.key.as_str() {
            "AWS" => Entry::aws,
            "Service" | "Federated" | "CanonicalUser" => Entry::outside,
            other => {
                collector.add(
                    &path,
                    member.position,
                    format!("{other:?} is no kind of principal; there are AWS, Service, Federated and CanonicalUser"),
                );
                continue;
            }
        };
        entries.extend(strings(&member.node, &path, collector, read).unwrap_or_default());
    }
    (!entries.is_empty()).then_some(entries)
}
