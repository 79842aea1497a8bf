//! JSON reader (RFC 8259) that keeps the position of every key and value and rejects duplicate
//! keys.
//!
//! `serde_json` keeps no positions and lets the last of two equal keys win. A second `Effect` in a
//! policy would then be ignored, and another reader of the same JWT could act on a claim that was
//! not verified. Duplicate keys are therefore errors at any depth, even if they are escaped
//! differently. Size and depth are bounded.
//!
//! ```
//! use countersign_core::json;
//!
//! let value = json::parse_value(r#"{"sub": "jane", "aud": ["sts.amazonaws.com"]}"#, 1024)?;
//! assert_eq!(value["aud"][0], "sts.amazonaws.com");
//!
//! let error = json::parse(r#"{"sub": "jane", "sub": "root"}"#, 1024).unwrap_err();
//! assert_eq!(error.to_string(), r#"$.sub (line 1, column 17): duplicate key "sub"; keep one"#);
//! # Ok::<(), countersign_core::diagnostic::Diagnostics>(())
//! ```

use std::collections::HashSet;

use crate::diagnostic::{Collector, Diagnostics, Path, Position};

/// Maximum size in bytes of a policy or simulation. The largest policy of AWS has 10,240
/// characters; a simulation holds many policies.
pub(crate) const MAX_SIZE: usize = 4 << 20;
/// Maximum nesting depth of arrays and objects. A policy inside a simulation reaches 9.
pub(crate) const MAX_DEPTH: usize = 32;

/// A value and its position.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Position of the first character.
    pub position: Position,
    /// The value.
    pub value: Value,
}

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// The number as it is written, so that no digit is lost.
    Number(String),
    /// A string, unescaped.
    String(String),
    /// An array.
    Array(Vec<Node>),
    /// The members of an object, in the order of the text.
    Object(Vec<Member>),
}

/// A key of an object and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The key.
    pub key: String,
    /// Position of the key.
    pub position: Position,
    /// The value.
    pub node: Node,
}

impl Value {
    /// Returns the type with its article, such as "a string" or "an object".
    #[must_use]
    pub fn noun(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        }
    }
}

impl Node {
    /// Converts to the value of `serde_json`.
    fn into_serde(self, path: &Path<'_>, collector: &mut Collector) -> Option<serde_json::Value> {
        Some(match self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => value.into(),
            Value::String(text) => text.into(),
            Value::Number(digits) => match serde_json::from_str::<serde_json::Number>(&digits) {
                Ok(number) => number.into(),
                Err(_) => {
                    collector.add(path, self.position, "number out of range of a 64-bit float");
                    return None;
                }
            },
            Value::Array(nodes) => {
                let values = nodes.into_iter().enumerate();
                values
                    .map(|(index, node)| node.into_serde(&path.index(index), collector))
                    .collect::<Option<_>>()?
            }
            Value::Object(members) => {
                let mut object = serde_json::Map::new();
                for Member { key, node, .. } in members {
                    let value = node.into_serde(&path.key(&key), collector)?;
                    object.insert(key, value);
                }
                object.into()
            }
        })
    }
}

/// Reads one JSON value of at most `max_size` bytes and keeps all positions.
///
/// # Errors
/// Every duplicate key, and the first syntax error.
pub fn parse(text: &str, max_size: usize) -> Result<Node, Diagnostics> {
    let mut collector = Collector::default();
    let node = read(text, max_size, &mut collector);
    collector.finish(node)
}

/// Reads one JSON value of at most `max_size` bytes as a `serde_json` value.
///
/// # Errors
/// Every duplicate key, and the first syntax error or number that a 64-bit float cannot hold.
pub fn parse_value(text: &str, max_size: usize) -> Result<serde_json::Value, Diagnostics> {
    let mut collector = Collector::default();
    let value = read(text, max_size, &mut collector)
        .and_then(|node| node.into_serde(&Path::Root, &mut collector));
    collector.finish(value)
}

/// Reads one JSON value of at most `max_size` bytes. Continues after a duplicate key and stops at a
/// syntax error; both go to `collector`.
pub(crate) fn read(text: &str, max_size: usize, collector: &mut Collector) -> Option<Node> {
    if text.len() > max_size {
        let problem = format!("document is {} bytes; the limit is {max_size}", text.len());
        collector.add(&Path::Root, Position::START, problem);
        return None;
    }
    let mut reader = Reader { rest: text.chars(), position: Position::START, depth: 0, collector };
    let node = reader.value(&Path::Root).ok()?;
    reader.skip_whitespace();
    if reader.peek().is_none() {
        return Some(node);
    }
    let problem = "unexpected data after the end of the document; remove it";
    reader.fail(&Path::Root, problem).ok()
}

/// A syntax error went to the collector; the rest of the text cannot be read.
#[derive(Debug)]
struct SyntaxError;

struct Reader<'t, 'c> {
    rest: std::str::Chars<'t>,
    position: Position,
    depth: usize,
    collector: &'c mut Collector,
}

impl Reader<'_, '_> {
    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.next()?;
        self.position = match next {
            '\n' => Position { line: self.position.line.saturating_add(1), column: 1 },
            _ => Position { column: self.position.column.saturating_add(1), ..self.position },
        };
        Some(next)
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.next();
        }
        found
    }

    fn skip_whitespace(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.next();
        }
    }

    fn fail<T>(&mut self, path: &Path<'_>, problem: impl Into<String>) -> Result<T, SyntaxError> {
        self.collector.add(path, self.position, problem);
        Err(SyntaxError)
    }

    /// Fails because the next character does not begin `wanted`.
    fn expected<T>(&mut self, path: &Path<'_>, wanted: &str) -> Result<T, SyntaxError> {
        match self.peek() {
            Some(found) => self.fail(path, format!("expected {wanted}, found {found:?}")),
            None => self.fail(path, format!("expected {wanted}, found the end of the document")),
        }
    }

    fn value(&mut self, path: &Path<'_>) -> Result<Node, SyntaxError> {
        self.skip_whitespace();
        let position = self.position;
        let value = match self.peek() {
            Some('{') => self.nested(path, Self::object)?,
            Some('[') => self.nested(path, Self::array)?,
            Some('"') => Value::String(self.string(path)?),
            Some('-' | '0'..='9') => Value::Number(self.number(path)?),
            Some('t') => self.literal(path, "true", Value::Bool(true))?,
            Some('f') => self.literal(path, "false", Value::Bool(false))?,
            Some('n') => self.literal(path, "null", Value::Null)?,
            _ => return self.expected(path, "a JSON value"),
        };
        Ok(Node { position, value })
    }

    fn nested(
        &mut self,
        path: &Path<'_>,
        read: fn(&mut Self, &Path<'_>) -> Result<Value, SyntaxError>,
    ) -> Result<Value, SyntaxError> {
        if self.depth == MAX_DEPTH {
            return self.fail(path, format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.depth += 1;
        self.next();
        let value = read(self, path)?;
        self.depth -= 1;
        Ok(value)
    }

    fn array(&mut self, path: &Path<'_>) -> Result<Value, SyntaxError> {
        let mut nodes = Vec::new();
        self.skip_whitespace();
        if self.eat(']') {
            return Ok(Value::Array(nodes));
        }
        loop {
            nodes.push(self.value(&path.index(nodes.len()))?);
            self.skip_whitespace();
            if self.eat(']') {
                return Ok(Value::Array(nodes));
            }
            if !self.eat(',') {
                return self.expected(path, "',' or ']'");
            }
        }
    }

    fn object(&mut self, path: &Path<'_>) -> Result<Value, SyntaxError> {
        let mut members: Vec<Member> = Vec::new();
        let mut seen = HashSet::new();
        self.skip_whitespace();
        if self.eat('}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.skip_whitespace();
            let position = self.position;
            if self.peek() != Some('"') {
                return self.expected(path, "a key in double quotes");
            }
            let key = self.string(path)?;
            if !seen.insert(key.clone()) {
                let problem = format!("duplicate key {key:?}; keep one");
                self.collector.add(&path.key(&key), position, problem);
            }
            self.skip_whitespace();
            if !self.eat(':') {
                return self.expected(&path.key(&key), "':'");
            }
            let node = self.value(&path.key(&key))?;
            members.push(Member { key, position, node });
            self.skip_whitespace();
            if self.eat('}') {
                return Ok(Value::Object(members));
            }
            if !self.eat(',') {
                return self.expected(path, "',' or '}'");
            }
        }
    }

    fn literal(&mut self, path: &Path<'_>, text: &str, value: Value) -> Result<Value, SyntaxError> {
        let matches = text.chars().all(|wanted| self.eat(wanted));
        if matches { Ok(value) } else { self.expected(path, text) }
    }

    fn number(&mut self, path: &Path<'_>) -> Result<String, SyntaxError> {
        let mut number = String::new();
        self.eat_into('-', &mut number);
        if !self.eat_into('0', &mut number) {
            self.digits(path, &mut number)?;
        }
        if self.eat_into('.', &mut number) {
            self.digits(path, &mut number)?;
        }
        if self.eat_into('e', &mut number) || self.eat_into('E', &mut number) {
            let _signed = self.eat_into('+', &mut number) || self.eat_into('-', &mut number);
            self.digits(path, &mut number)?;
        }
        Ok(number)
    }

    fn eat_into(&mut self, wanted: char, into: &mut String) -> bool {
        let found = self.eat(wanted);
        if found {
            into.push(wanted);
        }
        found
    }

    fn digits(&mut self, path: &Path<'_>, into: &mut String) -> Result<(), SyntaxError> {
        let before = into.len();
        while let Some(digit @ '0'..='9') = self.peek() {
            into.push(digit);
            self.next();
        }
        if into.len() == before { self.expected(path, "a digit") } else { Ok(()) }
    }

    fn string(&mut self, path: &Path<'_>) -> Result<String, SyntaxError> {
        let mut string = String::new();
        self.next();
        loop {
            match self.peek() {
                Some('"') => {
                    self.next();
                    return Ok(string);
                }
                Some('\\') => string.push(self.escape(path)?),
                Some(control @ '\0'..='\u{1f}') => {
                    let problem = format!("control character {control:?} must be escaped");
                    return self.fail(path, problem);
                }
                Some(plain) => {
                    string.push(plain);
                    self.next();
                }
                None => return self.expected(path, "'\"'"),
            }
        }
    }

    fn escape(&mut self, path: &Path<'_>) -> Result<char, SyntaxError> {
        self.next();
        let plain = match self.peek() {
            Some(same @ ('"' | '\\' | '/')) => same,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => return self.unicode_escape(path),
            _ => return self.expected(path, "one of \"\\/bfnrtu after a backslash"),
        };
        self.next();
        Ok(plain)
    }

    fn unicode_escape(&mut self, path: &Path<'_>) -> Result<char, SyntaxError> {
        let first = self.code_unit(path)?;
        let high = first.wrapping_sub(0xd800);
        if high >= 0x400 {
            return char::from_u32(first).map_or_else(
                || self.fail(path, "low surrogate without a preceding high surrogate"),
                Ok,
            );
        }
        if !self.eat('\\') || self.peek() != Some('u') {
            return self.fail(path, "high surrogate without a following low surrogate");
        }
        let low = self.code_unit(path)?.wrapping_sub(0xdc00);
        let pair = (low < 0x400).then_some(0x10000 + (high << 10) + low).and_then(char::from_u32);
        pair.map_or_else(|| self.fail(path, "high surrogate without a following low surrogate"), Ok)
    }

    /// Reads `u` and its four hexadecimal digits.
    fn code_unit(&mut self, path: &Path<'_>) -> Result<u32, SyntaxError> {
        self.next();
        let mut unit = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|digit| digit.to_digit(16)) else {
                return self.expected(path, "a hexadecimal digit");
            };
            unit = unit << 4 | digit;
            self.next();
        }
        Ok(unit)
    }
}

#[cfg(test)]
mod tests;
