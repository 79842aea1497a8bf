//! What is wrong with a file, and where: every mistake at once.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use countersign_core::diagnostic::Position;
use countersign_core::json::{Member, Node, Value};

/// How many mistakes of one file are kept.
const MAX_MISTAKES: usize = 100;

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ConfigError {
    /// Where in the text.
    #[serde(flatten)]
    pub at: Position,
    /// Where in the structure, as `users[0].tags`. At the root it is empty.
    pub path: String,
    /// What is wrong, and what to do about it.
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: ", self.at.line, self.at.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.problem)
    }
}

/// Everything that is wrong with a file, in the order of its text. Beyond a hundred they are only counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    kept: Vec<ConfigError>,
    omitted: usize,
}

impl ConfigErrors {
    /// The mistakes, from the first place to the last.
    #[must_use]
    pub fn as_slice(&self) -> &[ConfigError] {
        &self.kept
    }

    /// How many there are besides.
    #[must_use]
    pub const fn omitted(&self) -> usize {
        self.omitted
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.kept.iter().enumerate() {
            write!(f, "{}{mistake}", if index == 0 { "" } else { "\n" })?;
        }
        match self.omitted {
            0 => Ok(()),
            omitted => write!(f, "\nand {omitted} more"),
        }
    }
}

impl std::error::Error for ConfigErrors {}

/// A place in a file: in its text, and in its structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// In its text.
    pub at: Position,
    /// In its structure, as `users[0].tags`.
    pub path: String,
}

impl Location {
    /// That of the whole file.
    #[must_use]
    pub fn root(node: &Node) -> Self {
        Self { at: node.position, path: String::new() }
    }

    /// The place of a member: that of its value, for the key of a table of TOML may stand elsewhere.
    #[must_use]
    pub fn member(&self, member: &Member) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { at: member.node.position, path: format!("{}{dot}{}", self.path, key(&member.key)) }
    }

    /// The place of an element of a list.
    #[must_use]
    pub fn index(&self, index: usize, node: &Node) -> Self {
        Self { at: node.position, path: format!("{}[{index}]", self.path) }
    }
}

/// A key as it stands in a path.
fn key(key: &str) -> String {
    let bare = !key.is_empty()
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if bare { key.to_owned() } else { format!("{key:?}") }
}

/// Collects mistakes while a file is read and applied.
#[derive(Debug, Clone, Default)]
pub struct DiagnosticSink {
    mistakes: RefCell<Vec<ConfigError>>,
    /// The names of what has mistakes of its own: that it is missing to others is none of theirs.
    hidden: RefCell<BTreeSet<String>>,
}

impl DiagnosticSink {
    /// Reports a mistake.
    pub fn add(&self, place: &Location, problem: impl Into<String>) {
        self.mistakes.borrow_mut().push(ConfigError {
            at: place.at,
            path: place.path.clone(),
            problem: problem.into(),
        });
    }

    /// Reports that `name` is referred to and not there, unless it is hidden.
    pub fn missing(&self, place: &Location, name: &str, problem: impl Into<String>) {
        let last = name.rsplit('/').next().unwrap_or(name);
        let hidden = self.hidden.borrow();
        if !hidden.contains(&name.to_ascii_lowercase())
            && !hidden.contains(&last.to_ascii_lowercase())
        {
            self.add(place, problem);
        }
    }

    /// Suppresses later reports that `name` is missing.
    pub fn hide(&self, name: &str) {
        self.hidden.borrow_mut().insert(name.to_ascii_lowercase());
    }

    /// How many there are so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.mistakes.borrow().len()
    }

    /// `Ok` where nothing is wrong.
    ///
    /// # Errors
    /// Everything that was reported.
    pub fn conclude(self) -> Result<(), ConfigErrors> {
        let mut kept = self.mistakes.into_inner();
        if kept.is_empty() {
            return Ok(());
        }
        kept.sort_by_key(|mistake| mistake.at);
        let omitted = kept.len().saturating_sub(MAX_MISTAKES);
        kept.truncate(MAX_MISTAKES);
        Err(ConfigErrors { kept, omitted })
    }
}

/// The place of what core calls `path` in the document at `node`, as `$.Statement[0].Action`; the nearest there is.
pub fn locate(node: &Node, place: &Location, path: &str) -> Location {
    let mut found = place.clone();
    let (mut node, mut rest) = (node, path.strip_prefix('$').unwrap_or(path));
    while !rest.is_empty() {
        let step = match &node.value {
            Value::Object(members) => members.iter().find_map(|member| {
                let after = step_of_core(&member.key, rest)?;
                Some((found.member(member), &member.node, after))
            }),
            Value::Array(nodes) => nodes.iter().enumerate().find_map(|(index, inner)| {
                let after = rest.strip_prefix(&format!("[{index}]"))?;
                Some((found.index(index, inner), inner, after))
            }),
            _ => None,
        };
        let Some((next, inner, after)) = step else {
            break;
        };
        (found, node, rest) = (next, inner, after);
    }
    found
}

/// What follows the key in a path as core writes it: `.key`, or `["k e y"]`.
fn step_of_core<'p>(key: &str, path: &'p str) -> Option<&'p str> {
    let bare = path
        .strip_prefix('.')
        .and_then(|path| path.strip_prefix(key))
        .filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    bare.or_else(|| path.strip_prefix(&format!("[{key:?}]")))
}
