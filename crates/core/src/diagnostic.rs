//! Errors in a document with their positions: JSON path, line and column of each, all reported at
//! once.

use std::fmt;

/// A position in a text. Lines and columns count from 1; a column is a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The character within the line, from 1.
    pub column: u32,
}

impl Position {
    /// The first character of a text.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// One error in a document.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// The path of the value in the document, such as `$.Statement[1].Condition.StringEquals`.
    /// Empty if the error has no path.
    pub path: String,
    /// The position in the text.
    #[serde(flatten)]
    pub position: Position,
    /// The error and its remedy.
    pub problem: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        match &*self.path {
            "" => write!(f, "line {line}, column {column}: {}", self.problem),
            path => write!(f, "{path} (line {line}, column {column}): {}", self.problem),
        }
    }
}

impl std::error::Error for Diagnostic {}

/// Maximum number of diagnostics kept for one document.
pub const MAX_DIAGNOSTICS: usize = 100;

/// All errors of a document, in the order of its text. There is at least one. Those beyond
/// [`MAX_DIAGNOSTICS`] are counted and not kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    #[serde(skip)]
    omitted: usize,
}

impl Diagnostics {
    /// Returns `Ok` if `diagnostics` is empty.
    ///
    /// # Errors
    /// The diagnostics, sorted by position.
    pub fn check(diagnostics: Vec<Diagnostic>) -> Result<(), Self> {
        Collector { kept: diagnostics, omitted: 0 }.finish(Some(()))
    }

    /// The diagnostics, from the first position to the last.
    #[must_use]
    pub fn as_slice(&self) -> &[Diagnostic] {
        &self.kept
    }

    /// Number of diagnostics that were not kept.
    #[must_use]
    pub const fn omitted(&self) -> usize {
        self.omitted
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.kept.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{diagnostic}")?;
        }
        match self.omitted {
            0 => Ok(()),
            omitted => write!(f, "\nand {omitted} more"),
        }
    }
}

impl std::error::Error for Diagnostics {}

/// The path from the root of a document to a value. It lives on the stack of the function that
/// walks the document, so that only an error allocates its text.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl<'a> Path<'a> {
    pub(crate) fn key(&'a self, key: &'a str) -> Self {
        Path::Key(self, key)
    }

    pub(crate) fn index(&'a self, index: usize) -> Self {
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

/// Collects diagnostics while a document is walked.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    kept: Vec<Diagnostic>,
    omitted: usize,
}

impl Collector {
    pub(crate) fn add(&mut self, path: &Path<'_>, position: Position, problem: impl Into<String>) {
        if self.kept.len() < MAX_DIAGNOSTICS {
            let (path, problem) = (path.to_string(), problem.into());
            self.kept.push(Diagnostic { path, position, problem });
        } else {
            self.omitted += 1;
        }
    }

    /// Adds the diagnostics of a document that is the value of a string in this one.
    pub(crate) fn embed(&mut self, path: &Path<'_>, position: Position, inner: Collector) {
        let room = MAX_DIAGNOSTICS.saturating_sub(self.kept.len());
        self.omitted += inner.omitted + inner.kept.len().saturating_sub(room);
        self.kept.extend(inner.kept.into_iter().take(room).map(|diagnostic| {
            let tail = diagnostic.path.strip_prefix('$').unwrap_or_default();
            let Position { line, column } = diagnostic.position;
            let problem = format!(
                "{} (line {line}, column {column} of the document in this string)",
                diagnostic.problem
            );
            Diagnostic { path: format!("{path}{tail}"), position, problem }
        }));
    }

    /// Number of diagnostics so far. A step that leaves it unchanged found no error.
    pub(crate) fn count(&self) -> usize {
        self.kept.len() + self.omitted
    }

    /// Returns `value` if it is present and there are no diagnostics.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<T, Diagnostics> {
        self.kept.sort_by_key(|diagnostic| diagnostic.position);
        match value {
            Some(value) if self.kept.is_empty() => Ok(value),
            _ => {
                let excess = self.kept.len().saturating_sub(MAX_DIAGNOSTICS);
                self.kept.truncate(MAX_DIAGNOSTICS);
                Err(Diagnostics { kept: self.kept, omitted: self.omitted + excess })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Collector, Diagnostic, Diagnostics, MAX_DIAGNOSTICS, Path, Position};

    #[test]
    fn paths_are_json_paths() {
        let root = Path::Root;
        let statement = root.key("Statement");
        let second = statement.index(1);
        let condition = second.key("Condition");
        assert_eq!(
            condition.key("ForAllValues:StringEquals").to_string(),
            r#"$.Statement[1].Condition["ForAllValues:StringEquals"]"#
        );
        assert_eq!(
            condition.key("StringEquals").to_string(),
            "$.Statement[1].Condition.StringEquals"
        );
    }

    #[test]
    fn diagnostics_are_sorted_by_position() {
        let mut collector = Collector::default();
        collector.add(&Path::Root, Position { line: 3, column: 1 }, "later");
        collector.add(&Path::Root, Position { line: 2, column: 9 }, "earlier");
        let diagnostics = collector.finish(Some(())).unwrap_err();
        assert_eq!(
            diagnostics.to_string(),
            "$ (line 2, column 9): earlier\n$ (line 3, column 1): later"
        );
        assert_eq!(diagnostics.as_slice()[0].problem, "earlier");
        assert_eq!(
            serde_json::to_string(&diagnostics).unwrap(),
            concat!(
                r#"[{"path":"$","line":2,"column":9,"problem":"earlier"},"#,
                r#"{"path":"$","line":3,"column":1,"problem":"later"}]"#
            )
        );
    }

    #[test]
    fn excess_diagnostics_are_counted_and_not_kept() {
        let full = || {
            let mut collector = Collector::default();
            (0..MAX_DIAGNOSTICS + 2).for_each(|index| {
                collector.add(&Path::Root.index(index), Position::START, "wrong");
            });
            collector
        };
        let mut collector = full();
        assert_eq!(collector.count(), 102);
        collector.embed(&Path::Root, Position::START, full());
        let diagnostics = collector.finish(Some(())).unwrap_err();
        assert_eq!(diagnostics.as_slice().len(), 100);
        assert!(diagnostics.to_string().ends_with("$[99] (line 1, column 1): wrong\nand 104 more"));
    }

    #[test]
    fn check_bounds_the_list_of_a_caller() {
        let diagnostic = |column| Diagnostic {
            path: String::new(),
            position: Position { line: 1, column },
            problem: "wrong".into(),
        };
        assert!(Diagnostics::check(Vec::new()).is_ok());
        let diagnostics =
            Diagnostics::check((1..=103).rev().map(diagnostic).collect()).unwrap_err();
        assert_eq!(diagnostics.omitted(), 3);
        assert_eq!(diagnostics.as_slice()[0].to_string(), "line 1, column 1: wrong");
    }
}
