//! What keeps a local stack from doing what it was asked.

use std::io;
use std::path::{Path, PathBuf};

use countersign_authority::store::StoreError;
use countersign_aws_api::server::StartError;
use countersign_core::failure::Class;
use countersign_core::name::{Engine, InvalidName};

use crate::Version;

/// Why a local stack did not do what it was asked: each says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// A file or directory can't be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A program did not do its work.
    #[error("{program} failed: {output}")]
    Program {
        /// Its name and what it was to do.
        program: String,
        /// What it said, or the system's error.
        output: String,
    },
    /// The directory, a version or a name can't be used.
    #[error("{0}")]
    Unusable(String),
    /// No such server is installed.
    #[error("{}", not_installed(*.engine, *.wanted, .here))]
    NotInstalled {
        /// The server's kind.
        engine: Engine,
        /// The version asked for.
        wanted: Option<Version>,
        /// The versions that are there.
        here: Vec<String>,
    },
    /// Nothing runs in the directory.
    #[error("nothing runs in {}: start it with `countersign local up --dir {}`", .0.display(), .0.display())]
    NotRunning(PathBuf),
    /// Something runs there already.
    #[error("a stack runs in {} already: see `countersign local status --dir {}`", .0.display(), .0.display())]
    Running(PathBuf),
    /// Something took longer than it may.
    #[error("{0}")]
    TimedOut(String),
    /// The authority did not start.
    #[error(transparent)]
    Authority(#[from] StartError),
    /// The authority's store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A name is malformed.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A certificate can't be made.
    #[error("a certificate can't be made: {0}")]
    Certificate(#[from] rcgen::Error),
}

impl LocalError {
    /// The class that decides the exit status.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::NotRunning(_) => Class::Unavailable,
            Self::TimedOut(_) => Class::TimedOut,
            Self::Certificate(_) => Class::Internal,
            _ => Class::Configuration,
        }
    }
}

/// Says what to do about it.
fn not_installed(engine: Engine, wanted: Option<Version>, here: &[String]) -> String {
    let product = engine.product();
    let here =
        if here.is_empty() { "none is".to_owned() } else { format!("here: {}", here.join(", ")) };
    match (engine, wanted) {
        (_, Some(version)) => {
            format!("{product} {version} is not installed ({here}): `countersign local install --engine {engine}:{version}`")
        }
        (Engine::Postgres, None) => {
            "PostgreSQL is not installed: `apt-get install postgresql`, or `countersign local install --engine postgres:18`".to_owned()
        }
        (Engine::Mariadb, None) => {
            "MariaDB is not installed: `apt-get install mariadb-server`, or `countersign local install --engine mariadb`".to_owned()
        }
        (Engine::Mysql, None) => "MySQL is not installed: `countersign local install --engine mysql`".to_owned(),
    }
}

/// Names the file in a system's error.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> LocalError {
    let path = path.to_owned();
    move |source| LocalError::File { path, source }
}
