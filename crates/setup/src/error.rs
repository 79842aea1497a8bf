//! What keeps a plan from being made or applied.

use std::io;
use std::path::{Path, PathBuf};

use countersign_core::failure::Class;

/// Why a plan was not made or not applied: each says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A file can't be read or written.
    #[error("{}: {source}{}", path.display(), advice(source))]
    File {
        /// Which one.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The database's client did not come to the server.
    #[error("{0}")]
    Unreachable(String),
    /// The server refused a statement.
    #[error("{0}")]
    Refused(String),
    /// The server, a file or a value is not as it must be.
    #[error("{0}")]
    Unusable(String),
    /// A step failed. What had been done before it is taken back, as far as that is not said to have failed too.
    #[error("{step}: {cause}{}", undone(taken_back, by_hand))]
    Step {
        /// What was to be done.
        step: String,
        /// Why it was not.
        cause: Box<SetupError>,
        /// What had been done before, and is undone.
        taken_back: Vec<String>,
        /// What could not be undone, and how to do that.
        by_hand: Vec<String>,
    },
}

impl SetupError {
    /// The class that decides the exit status.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Unreachable(_) => Class::Unavailable,
            Self::Step { cause, .. } => cause.class(),
            _ => Class::Configuration,
        }
    }
}

fn advice(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied { ": run it as root, who may" } else { "" }
}

fn undone(taken_back: &[String], by_hand: &[String]) -> String {
    let mut text = match taken_back {
        [] if by_hand.is_empty() => "\nnothing had been changed before".to_owned(),
        [] => String::new(),
        done => format!("\ntaken back: {}", done.join("; ")),
    };
    if !by_hand.is_empty() {
        text.push_str(&format!("\nstill to be taken back by hand: {}", by_hand.join("; ")));
    }
    text
}

/// Names the file in a system's error.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> SetupError {
    let path = path.to_owned();
    move |source| SetupError::File { path, source }
}
