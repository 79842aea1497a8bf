//! What is wrong with a document, and where: JSON path, line and column of every mistake, all at once.

use std::fmt;

/// A place in a text. Lines and columns count from 1; a column is a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The character within the line, from 1.
    pub column: u32,
}

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, thiserror::Error)]
#[error("{path} (line {}, column {}): {problem}", at.line, at.column)]
pub struct Diagnostic {
    path: String,
    #[serde(flatten)]
    at: Position,
    problem: String,
}

impl Diagnostic {
    /// Where in the structure, as `$.Statement[1].Condition.StringEquals`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where in the text.
    #[must_use]
    pub fn at(&self) -> Position {
        self.at
    }

    /// What is wrong and what to do about it.
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

/// How many mistakes of one document are kept.
pub(super) const MAX_MISTAKES: usize = 100;

/// Everything that is wrong with a document, in the order of the text. There is at least one mistake; beyond a hundred
/// they are only counted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    #[serde(skip)]
    omitted: usize,
}

impl Diagnostics {
    /// The mistakes, from the first place to the last.
    #[must_use]
    pub fn as_slice(&self) -> &[Diagnostic] {
        &self.kept
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.kept.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{mistake}")?;
        }
        match self.omitted {
            0 => Ok(()),
            omitted => write!(f, "\nand {omitted} more"),
        }
    }
}

impl std::error::Error for Diagnostics {}

/// The way from the root of a document to a value, kept on the stack of whoever walks it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    pub(super) fn key(&'a self, key: &'a str) -> Self {
        Path::Key(self, key)
    }

    pub(super) fn index(&'a self, index: usize) -> Self {
        Path::Index(self, index)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => f.write_str("$"),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Path::Key(parent, key)
                if !key.is_empty()
                    && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') =>
            {
                write!(f, "{parent}.{key}")
            }
            Path::Key(parent, key) => write!(f, "{parent}[{key:?}]"),
        }
    }
}

/// Collects mistakes while a document is walked.
#[derive(Debug, Default)]
pub(super) struct Report {
    kept: Vec<Diagnostic>,
    omitted: usize,
}

impl Report {
    pub(super) fn add(&mut self, path: &Path<'_>, at: Position, problem: impl Into<String>) {
        if self.kept.len() < MAX_MISTAKES {
            self.kept.push(Diagnostic { path: path.to_string(), at, problem: problem.into() });
        } else {
            self.omitted += 1;
        }
    }

    /// Takes over what is wrong with a document that stands inside a string of this one.
    pub(super) fn embed(&mut self, path: &Path<'_>, at: Position, inner: Report) {
        let room = MAX_MISTAKES.saturating_sub(self.kept.len());
        self.omitted += inner.omitted + inner.kept.len().saturating_sub(room);
        self.kept.extend(inner.kept.into_iter().take(room).map(|mistake| {
            let tail = mistake.path.strip_prefix('$').unwrap_or_default();
            let Position { line, column } = mistake.at;
            let problem = format!(
                "{} (line {line}, column {column} of the document in this string)",
                mistake.problem
            );
            Diagnostic { path: format!("{path}{tail}"), at, problem }
        }));
    }

    /// How many mistakes there are so far: equal before and after a step means that the step went well.
    pub(super) fn count(&self) -> usize {
        self.kept.len() + self.omitted
    }

    /// `value`, if nothing is wrong and there is one.
    pub(super) fn conclude<T>(mut self, value: Option<T>) -> Result<T, Diagnostics> {
        self.kept.sort_by_key(|mistake| mistake.at);
        match value {
            Some(value) if self.kept.is_empty() => Ok(value),
            _ => Err(Diagnostics { kept: self.kept, omitted: self.omitted }),
        }
    }
}

#[cfg(test)]
mod tests;
