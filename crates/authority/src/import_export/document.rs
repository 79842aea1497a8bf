//! Policy documents: tables, objects or strings in a file, text in the store.

use countersign_core::json::{Node, Value};
use countersign_core::policy::{Policy, PolicyKind};

use countersign_config_file::{DiagnosticSink, Location, locate};

/// Returns the text of a policy, and reports all errors of the document. A string is kept
/// unchanged.
pub(super) fn read(
    location: &Location,
    node: &Node,
    kind: PolicyKind,
    diagnostics: &DiagnosticSink,
) -> Option<String> {
    if let Value::String(text) = &node.value {
        return check(text, kind, |problem, at| {
            let problem = format!(
                "{problem} (line {}, column {} of the document in this string)",
                at.line, at.column
            );
            diagnostics.add(location, problem);
        });
    }
    let text = to_json(node);
    let Err(errors) = Policy::parse(&text, kind) else {
        return Some(text);
    };
    for error in errors.as_slice() {
        diagnostics.add(&locate(node, location, &error.path), &*error.problem);
    }
    None
}

/// Like [`read`], for `aws iam`'s output: an object, or a string that may be URL-encoded (RFC
/// 3986).
pub(super) fn read_encoded(
    location: &Location,
    node: &Node,
    kind: PolicyKind,
    diagnostics: &DiagnosticSink,
) -> Option<String> {
    match &node.value {
        Value::String(text) if !text.trim_start().starts_with('{') => {
            let value = Value::String(decoded(text));
            read(location, &Node { position: node.position, value }, kind, diagnostics)
        }
        _ => read(location, node, kind, diagnostics),
    }
}

fn check(
    text: &str,
    kind: PolicyKind,
    mut each: impl FnMut(String, countersign_core::diagnostic::Position),
) -> Option<String> {
    match Policy::parse(text, kind) {
        Ok(_) => Some(text.to_owned()),
        Err(errors) => {
            errors.as_slice().iter().for_each(|error| {
                each(format!("{}: {}", error.path, error.problem), error.position)
            });
            None
        }
    }
}

/// Decodes a URL-encoded string, in which a plus is a plus, unlike in a form.
fn decoded(text: &str) -> String {
    let field = format!("d={}", text.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(field.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// Formats a table as indented JSON, with its members in their original order.
fn to_json(node: &Node) -> String {
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
