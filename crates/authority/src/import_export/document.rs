//! Policy documents: tables, objects or strings in the file, text in the store.

use countersign_core::json::{Node, Value};
use countersign_core::policy::{Policy, PolicyKind};

use countersign_config_file::{DiagnosticSink, Location, locate};

/// The text of a policy, which is refused with every mistake where it can't be evaluated. A string is kept as it is.
pub(super) fn read(
    place: &Location,
    node: &Node,
    kind: PolicyKind,
    report: &DiagnosticSink,
) -> Option<String> {
    if let Value::String(text) = &node.value {
        return check(text, kind, |mistake, at| {
            let inside = format!(
                "{mistake} (line {}, column {} of the document in this string)",
                at.line, at.column
            );
            report.add(place, inside);
        });
    }
    let text = written(node);
    let Err(mistakes) = Policy::parse(&text, kind) else {
        return Some(text);
    };
    for mistake in mistakes.as_slice() {
        report.add(&locate(node, place, &mistake.path), &*mistake.problem);
    }
    None
}

/// The same of a document in `aws iam`'s output: an object, or a string that may be URL-encoded (RFC 3986).
pub(super) fn read_encoded(
    place: &Location,
    node: &Node,
    kind: PolicyKind,
    report: &DiagnosticSink,
) -> Option<String> {
    match &node.value {
        Value::String(text) if !text.trim_start().starts_with('{') => {
            let value = Value::String(decoded(text));
            read(place, &Node { position: node.position, value }, kind, report)
        }
        _ => read(place, node, kind, report),
    }
}

fn check(
    text: &str,
    kind: PolicyKind,
    mut each: impl FnMut(String, countersign_core::diagnostic::Position),
) -> Option<String> {
    match Policy::parse(text, kind) {
        Ok(_) => Some(text.to_owned()),
        Err(mistakes) => {
            mistakes.as_slice().iter().for_each(|mistake| {
                each(format!("{}: {}", mistake.path, mistake.problem), mistake.position)
            });
            None
        }
    }
}

/// Here a plus is a plus, unlike in a form.
fn decoded(text: &str) -> String {
    let field = format!("d={}", text.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(field.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// A table as JSON for people, its members in the order in which they were written.
fn written(node: &Node) -> String {
    let mut text = String::new();
    write(&mut text, node, 0);
    text
}

fn write(out: &mut String, node: &Node, depth: usize) {
    match &node.value {
        Value::Null => out.push_str("null"),
        Value::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Value::Number(digits) => out.push_str(digits),
        Value::String(text) => out.push_str(&quoted(text)),
        Value::Array(nodes) => {
            lines(out, ['[', ']'], depth, nodes, |out, node| write(out, node, depth + 1))
        }
        Value::Object(members) => lines(out, ['{', '}'], depth, members, |out, member| {
            out.push_str(&quoted(&member.key));
            out.push_str(": ");
            write(out, &member.node, depth + 1);
        }),
    }
}

fn lines<T>(
    out: &mut String,
    [open, close]: [char; 2],
    depth: usize,
    items: &[T],
    mut each: impl FnMut(&mut String, &T),
) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        out.push_str(&"  ".repeat(depth + 1));
        each(out, item);
    }
    if !items.is_empty() {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    }
    out.push(close);
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
