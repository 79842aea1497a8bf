//! Errors of making and applying plans.

use std::io;
use std::path::{Path, PathBuf};

use countersign_core::failure::Class;

/// Error of making or applying a plan. Its text includes the remedy.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A file cannot be read or written.
    #[error("cannot access {}: {source}{}", path.display(), remedy(source))]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The database's client could not connect to the server.
    #[error("{0}")]
    Unreachable(String),
    /// The server rejected a statement.
    #[error("{0}")]
    Refused(String),
    /// The server, a file or a value is unsuitable.
    #[error("{0}")]
    Unusable(String),
    /// A step failed. The steps before it were undone, except those in `by_hand`.
    #[error("{step}: {cause}{}", undo_report(undone, by_hand))]
    Step {
        /// The failed step.
        step: String,
        /// The cause.
        cause: Box<SetupError>,
        /// The undone steps.
        undone: Vec<String>,
        /// The steps that could not be undone, with the error.
        by_hand: Vec<String>,
    },
}

impl SetupError {
    /// Returns the class, which determines the exit status.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Unreachable(_) => Class::Unavailable,
            Self::Step { cause, .. } => cause.class(),
            _ => Class::Configuration,
        }
    }
}

fn remedy(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied { "; run the command as root" } else { "" }
}

fn undo_report(undone: &[String], by_hand: &[String]) -> String {
    let mut text = match undone {
        [] if by_hand.is_empty() => "\nnothing was changed before it".to_owned(),
        [] => String::new(),
        done => format!("\nundone: {}", done.join("; ")),
    };
    if !by_hand.is_empty() {
        text.push_str(&format!("\nto be undone by hand: {}", by_hand.join("; ")));
    }
    text
}

/// Adds the path of the file to an error of the operating system.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> SetupError {
    let path = path.to_owned();
    move |source| SetupError::File { path, source }
}
