//! Parses the text of a file, TOML or JSON, into one tree of values with their positions.

use countersign_core::diagnostic::Position;
use countersign_core::json::{self, Member, Node, Value};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::diagnostics::{DiagnosticSink, Location};

/// Maximum size of a file in bytes. An account of 100,000 users has about 100 MB.
pub const MAX_SIZE: usize = 512 << 20;

/// Parses TOML, or JSON if the text begins with a brace, which no TOML does. Adds syntax errors to
/// `sink`.
#[must_use]
pub fn read(text: &str, sink: &DiagnosticSink) -> Option<Node> {
    if text.trim_start().starts_with('{') {
        return read_json(text, sink);
    }
    let start = Location { position: Position::START, path: String::new() };
    if text.len() > MAX_SIZE {
        sink.add(&start, format!("the file has {} bytes; the maximum is {MAX_SIZE}", text.len()));
        return None;
    }
    let lines = Lines::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let position = lines.position(error.span().map_or(0, |span| span.start));
        // Only the message: the full error quotes the line, which may contain a secret.
        sink.add(&Location { position, path: String::new() }, error.message());
    }
    errors
        .is_empty()
        .then(|| Node { position: start.position, value: lines.table(table.get_ref()) })
}

fn read_json(text: &str, sink: &DiagnosticSink) -> Option<Node> {
    let errors = match json::parse(text, MAX_SIZE) {
        Ok(node) => return Some(node),
        Err(errors) => errors,
    };
    for error in errors.as_slice() {
        let path = error.path.trim_start_matches(['$', '.']).to_owned();
        sink.add(&Location { position: error.position, path }, &*error.problem);
    }
    None
}

/// Offsets at which the lines of a text begin.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Self {
        let starts =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    fn position(&self, offset: usize) -> Position {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start =
            line.checked_sub(1).and_then(|line| self.starts.get(line)).copied().unwrap_or(0);
        let before = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Position { line: number(line), column: number(before).saturating_add(1) }
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let at = self.position(value.span().start);
        let value = match value.get_ref() {
            DeValue::String(text) => Value::String(text.clone().into_owned()),
            DeValue::Integer(number) => {
                let decimal = i128::from_str_radix(number.as_str(), number.radix())
                    .map(|number| number.to_string());
                Value::Number(decimal.unwrap_or_else(|_| number.as_str().to_owned()))
            }
            DeValue::Float(number) => Value::Number(number.as_str().to_owned()),
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::Datetime(instant) => Value::String(instant.to_string()),
            DeValue::Array(array) => Value::Array(self.array(array)),
            DeValue::Table(table) => self.table(table),
        };
        Node { position: at, value }
    }

    fn array(&self, array: &DeArray<'_>) -> Vec<Node> {
        array.iter().map(|value| self.node(value)).collect()
    }

    /// Returns the members in the order of the text.
    fn table(&self, table: &DeTable<'_>) -> Value {
        let mut members: Vec<_> = table.iter().collect();
        members.sort_by_key(|(key, _)| key.span().start);
        let member = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let name: &std::borrow::Cow<'_, str> = key.get_ref();
            Member {
                key: name.clone().into_owned(),
                position: self.position(key.span().start),
                node: self.node(value),
            }
        };
        Value::Object(members.into_iter().map(member).collect())
    }
}
