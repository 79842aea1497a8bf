//! What stops a command.

use std::fmt;

/// What went wrong and, where that isn't plain, what to do about it.
#[derive(Debug)]
pub(crate) struct Problem(String);

impl Problem {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// The command line is wrong.
    pub(crate) fn usage(what: &str) -> Self {
        Self(format!("{what}: `cargo xtask help` lists the commands"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
