//! Locations in a file, and the collection of its errors.

use std::cell::RefCell;
use std::collections::BTreeSet;

use countersign_core::diagnostic::{Diagnostic, Diagnostics, Position};
use countersign_core::json::{Member, Node, Value};

/// A location in a file: position in the text and path in the structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Position in the text.
    pub position: Position,
    /// Path in the structure, such as `users[0].tags`; empty for the whole file.
    pub path: String,
}

impl Location {
    /// Returns the location of the whole file.
    #[must_use]
    pub fn root(node: &Node) -> Self {
        Self { position: node.position, path: String::new() }
    }

    /// Returns the location of a member: that of its value, because the key of a TOML table may be
    /// elsewhere.
    #[must_use]
    pub fn member(&self, member: &Member) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self {
            position: member.node.position,
            path: format!("{}{dot}{}", self.path, key(&member.key)),
        }
    }

    /// Returns the location of an element of a list.
    #[must_use]
    pub fn index(&self, index: usize, node: &Node) -> Self {
        Self { position: node.position, path: format!("{}[{index}]", self.path) }
    }
}

/// Formats a key for a path.
fn key(key: &str) -> String {
    let bare = !key.is_empty()
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if bare { key.to_owned() } else { format!("{key:?}") }
}

/// Collects the errors of a file while it is read and applied.
#[derive(Debug, Clone, Default)]
pub struct DiagnosticSink {
    diagnostics: RefCell<Vec<Diagnostic>>,
    /// Names of entries with errors of their own: references to them are not reported as missing.
    hidden: RefCell<BTreeSet<String>>,
}

impl DiagnosticSink {
    /// Adds an error.
    pub fn add(&self, location: &Location, problem: impl Into<String>) {
        self.diagnostics.borrow_mut().push(Diagnostic {
            position: location.position,
            path: location.path.clone(),
            problem: problem.into(),
        });
    }

    /// Adds the error that `name` is referred to and missing, unless it is hidden.
    pub fn add_missing(&self, location: &Location, name: &str, problem: impl Into<String>) {
        let last = name.rsplit('/').next().unwrap_or(name);
        let hidden = self.hidden.borrow();
        if !hidden.contains(&name.to_ascii_lowercase())
            && !hidden.contains(&last.to_ascii_lowercase())
        {
            self.add(location, problem);
        }
    }

    /// Suppresses later errors that `name` is missing.
    pub fn hide(&self, name: &str) {
        self.hidden.borrow_mut().insert(name.to_ascii_lowercase());
    }

    /// Number of errors so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.diagnostics.borrow().len()
    }

    /// Returns `Ok` if no error was added.
    ///
    /// # Errors
    /// All errors, sorted by position.
    pub fn finish(self) -> Result<(), Diagnostics> {
        Diagnostics::check(self.diagnostics.into_inner())
    }
}

/// Returns the location of core's `path` (such as `$.Statement[0].Action`) in the document at
/// `node`, or of the nearest enclosing value.
pub fn locate(node: &Node, location: &Location, path: &str) -> Location {
    let mut found = location.clone();
    let (mut node, mut rest) = (node, path.strip_prefix('$').unwrap_or(path));
    while !rest.is_empty() {
        let step = match &node.value {
            Value::Object(members) => members.iter().find_map(|member| {
                let after = strip_key(&member.key, rest)?;
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

/// Returns the rest of a path of core after `key`, which is written as `.key` or `["k e y"]`.
fn strip_key<'p>(key: &str, path: &'p str) -> Option<&'p str> {
    let bare = path
        .strip_prefix('.')
        .and_then(|path| path.strip_prefix(key))
        .filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    bare.or_else(|| path.strip_prefix(&format!("[{key:?}]")))
}
