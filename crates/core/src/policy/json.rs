//! JSON (RFC 8259) with the place of every key and value, and nothing passed over in silence.
//!
//! `serde_json` knows no positions and lets the last of two equal keys win. In a policy, a second `Effect` would then
//! vanish, so duplicate keys are mistakes here. Size and depth are bounded before anything is built. [`parse`] reads other
//! documents than policies, so that their mistakes have a place too.

use std::collections::HashSet;

use super::diagnostic::{Diagnostics, Path, Position, Report};

/// The largest text read, in bytes. AWS's largest policy has 10,240 characters; a simulation carries many.
pub(super) const MAX_SIZE: usize = 4 << 20;
/// How deep arrays and objects may nest. A policy inside a simulation reaches 9.
pub(super) const MAX_DEPTH: usize = 32;

/// A value and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub at: Position,
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
    /// As it is written, so that no digit is lost.
    Number(String),
    /// A string, unescaped.
    String(String),
    /// An array.
    Array(Vec<Node>),
    /// An object, its members as they are written.
    Object(Vec<Member>),
}

/// A key of an object with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The key.
    pub key: String,
    /// Where the key begins.
    pub at: Position,
    /// The value.
    pub node: Node,
}

impl Value {
    /// What the value is, for a sentence: "a string", "an object", …
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

/// Reads one JSON value. Duplicate keys are reported and reading goes on; a syntax error is reported and ends it.
pub(super) fn read(text: &str, report: &mut Report) -> Option<Node> {
    read_within(MAX_SIZE, text, report)
}

/// Reads one JSON value of at most `max_size` bytes.
///
/// # Errors
/// Every key that stands twice, and the first error of syntax.
pub fn parse(text: &str, max_size: usize) -> Result<Node, Diagnostics> {
    let mut report = Report::default();
    let node = read_within(max_size, text, &mut report);
    report.conclude(node)
}

fn read_within(max_size: usize, text: &str, report: &mut Report) -> Option<Node> {
    let start = Position { line: 1, column: 1 };
    if text.len() > max_size {
        report.add(
            &Path::Root,
            start,
            format!("the document has {} bytes; at most {max_size} are read", text.len()),
        );
        return None;
    }
    let mut reader = Reader { rest: text.chars(), at: start, depth: 0, report };
    let node = reader.value(&Path::Root).ok()?;
    reader.space();
    match reader.peek() {
        None => Some(node),
        Some(_) => {
            reader
                .fail::<()>(&Path::Root, "there is more after the end of the document; remove it")
                .ok();
            None
        }
    }
}

/// A syntax error was reported: nothing after it can be understood.
#[derive(Debug)]
struct Halt;

struct Reader<'t, 'r> {
    rest: std::str::Chars<'t>,
    at: Position,
    depth: usize,
    report: &'r mut Report,
}

impl Reader<'_, '_> {
    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.next()?;
        self.at = match next {
            '\n' => Position { line: self.at.line.saturating_add(1), column: 1 },
            _ => Position { column: self.at.column.saturating_add(1), ..self.at },
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

    fn space(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.next();
        }
    }

    fn fail<T>(&mut self, path: &Path<'_>, problem: impl Into<String>) -> Result<T, Halt> {
        self.report.add(path, self.at, problem);
        Err(Halt)
    }

    /// Fails because something else than `wanted` comes next.
    fn expected<T>(&mut self, path: &Path<'_>, wanted: &str) -> Result<T, Halt> {
        match self.peek() {
            Some(found) => self.fail(path, format!("expected {wanted}, found {found:?}")),
            None => self.fail(path, format!("expected {wanted}, found the end of the document")),
        }
    }

    fn value(&mut self, path: &Path<'_>) -> Result<Node, Halt> {
        self.space();
        let at = self.at;
        let value = match self.peek() {
            Some('{') => self.nested(path, Self::object)?,
            Some('[') => self.nested(path, Self::array)?,
            Some('"') => Value::String(self.string(path)?),
            Some('-' | '0'..='9') => Value::Number(self.number(path)?),
            Some('t') => self.word(path, "true", Value::Bool(true))?,
            Some('f') => self.word(path, "false", Value::Bool(false))?,
            Some('n') => self.word(path, "null", Value::Null)?,
            _ => return self.expected(path, "a JSON value"),
        };
        Ok(Node { at, value })
    }

    fn nested(
        &mut self,
        path: &Path<'_>,
        read: fn(&mut Self, &Path<'_>) -> Result<Value, Halt>,
    ) -> Result<Value, Halt> {
        if self.depth == MAX_DEPTH {
            return self.fail(path, format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.depth += 1;
        self.next();
        let value = read(self, path)?;
        self.depth -= 1;
        Ok(value)
    }

    fn array(&mut self, path: &Path<'_>) -> Result<Value, Halt> {
        let mut nodes = Vec::new();
        self.space();
        if self.eat(']') {
            return Ok(Value::Array(nodes));
        }
        loop {
            nodes.push(self.value(&path.index(nodes.len()))?);
            self.space();
            if self.eat(']') {
                return Ok(Value::Array(nodes));
            }
            if !self.eat(',') {
                return self.expected(path, "',' or ']'");
            }
        }
    }

    fn object(&mut self, path: &Path<'_>) -> Result<Value, Halt> {
        let mut members: Vec<Member> = Vec::new();
        let mut seen = HashSet::new();
        self.space();
        if self.eat('}') {
            return Ok(Value::Object(members));
        }
        loop {
            self.space();
            let at = self.at;
            if self.peek() != Some('"') {
                return self.expected(path, "a key in double quotes");
            }
            let key = self.string(path)?;
            if !seen.insert(key.clone()) {
                self.report.add(
                    &path.key(&key),
                    at,
                    format!("the key {key:?} stands here twice; keep one"),
                );
            }
            self.space();
            if !self.eat(':') {
                return self.expected(&path.key(&key), "':'");
            }
            let node = self.value(&path.key(&key))?;
            members.push(Member { key, at, node });
            self.space();
            if self.eat('}') {
                return Ok(Value::Object(members));
            }
            if !self.eat(',') {
                return self.expected(path, "',' or '}'");
            }
        }
    }

    fn word(&mut self, path: &Path<'_>, word: &str, value: Value) -> Result<Value, Halt> {
        for wanted in word.chars() {
            if !self.eat(wanted) {
                return self.expected(path, word);
            }
        }
        Ok(value)
    }

    fn number(&mut self, path: &Path<'_>) -> Result<String, Halt> {
        let mut number = String::new();
        self.copy('-', &mut number);
        if !self.copy('0', &mut number) {
            self.digits(path, &mut number)?;
        }
        if self.copy('.', &mut number) {
            self.digits(path, &mut number)?;
        }
        if self.copy('e', &mut number) || self.copy('E', &mut number) {
            let _signed = self.copy('+', &mut number) || self.copy('-', &mut number);
            self.digits(path, &mut number)?;
        }
        Ok(number)
    }

    fn copy(&mut self, wanted: char, into: &mut String) -> bool {
        let found = self.eat(wanted);
        if found {
            into.push(wanted);
        }
        found
    }

    fn digits(&mut self, path: &Path<'_>, into: &mut String) -> Result<(), Halt> {
        let before = into.len();
        while let Some(digit @ '0'..='9') = self.peek() {
            into.push(digit);
            self.next();
        }
        if into.len() == before { self.expected(path, "a digit") } else { Ok(()) }
    }

    fn string(&mut self, path: &Path<'_>) -> Result<String, Halt> {
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
                    return self.fail(
                        path,
                        format!("the control character {control:?} must be escaped in a string"),
                    );
                }
                Some(plain) => {
                    string.push(plain);
                    self.next();
                }
                None => return self.expected(path, "'\"'"),
            }
        }
    }

    fn escape(&mut self, path: &Path<'_>) -> Result<char, Halt> {
        self.next();
        let plain = match self.peek() {
            Some(same @ ('"' | '\\' | '/')) => same,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => return self.unicode(path),
            _ => return self.expected(path, "one of \"\\/bfnrtu after a backslash"),
        };
        self.next();
        Ok(plain)
    }

    fn unicode(&mut self, path: &Path<'_>) -> Result<char, Halt> {
        let first = self.unit(path)?;
        let high = first.wrapping_sub(0xd800);
        if high >= 0x400 {
            return char::from_u32(first).map_or_else(
                || self.fail(path, "a low surrogate without a high one before it"),
                Ok,
            );
        }
        if !self.eat('\\') || self.peek() != Some('u') {
            return self.fail(path, "a high surrogate without a low one after it");
        }
        let low = self.unit(path)?.wrapping_sub(0xdc00);
        let pair = (low < 0x400).then_some(0x10000 + (high << 10) + low).and_then(char::from_u32);
        pair.map_or_else(|| self.fail(path, "a high surrogate without a low one after it"), Ok)
    }

    /// The four hexadecimal digits after `u`.
    fn unit(&mut self, path: &Path<'_>) -> Result<u32, Halt> {
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
