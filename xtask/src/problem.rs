//! Reasons for which a command fails.

use std::fmt;
use std::path::Path;

/// Message of a failed command: the cause and, unless that is plain, the remedy.
#[derive(Debug)]
pub(crate) struct Problem(String);

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// Reports a wrong command line.
    pub(crate) fn usage(message: &str) -> Self {
        Self(format!("{message}; `cargo xtask help` lists the commands"))
    }

    /// Collects the problems of several steps into one.
    pub(crate) fn join(
        results: impl IntoIterator<Item = Result<(), Self>>,
        separator: &str,
    ) -> Result<(), Self> {
        let problems = results.into_iter().filter_map(Result::err).map(|problem| problem.0);
        let problems: Vec<String> = problems.collect();
        if problems.is_empty() { Ok(()) } else { Err(Self(problems.join(separator))) }
    }

    /// Reports an error of the operating system for a path.
    pub(crate) fn io(path: &Path, error: &std::io::Error) -> Self {
        Self(format!("{}: {error}", path.display()))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
