//! Errors of a local stack.

use std::io;
use std::path::{Path, PathBuf};

use countersign_authority::store::StoreError;
use countersign_aws_api::server::StartError;
use countersign_core::failure::Class;
use countersign_core::name::{Engine, InvalidName};

use crate::Version;

/// Error of a local stack. Each message ends with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// A file or directory cannot be read or written.
    #[error("cannot access {}: {source}", path.display())]
    File {
        /// Path.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A program failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Name and purpose of the program.
        program: String,
        /// Its output, or the error of the operating system.
        output: String,
    },
    /// The directory, a version or a name cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// The server is not installed.
    #[error("{}", not_installed(*.engine, *.wanted, .installed))]
    NotInstalled {
        /// Database engine.
        engine: Engine,
        /// Requested version.
        wanted: Option<Version>,
        /// Installed versions.
        installed: Vec<String>,
    },
    /// No stack runs in the directory.
    #[error(
        "no stack runs in {dir}: start it with `countersign local up --dir {dir}`",
        dir = .0.display()
    )]
    NotRunning(PathBuf),
    /// A stack runs in the directory already.
    #[error(
        "cannot start in {dir}: a stack runs there already; see `countersign local status --dir \
         {dir}`",
        dir = .0.display()
    )]
    AlreadyRunning(PathBuf),
    /// A time limit was exceeded.
    #[error("{0}")]
    TimedOut(String),
    /// The authority did not start.
    #[error(transparent)]
    Authority(#[from] StartError),
    /// The authority's store returned an error.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A name is malformed.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A certificate cannot be created.
    #[error("cannot create a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

impl LocalError {
    /// Returns the failure class, which decides the exit status.
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

/// Returns the message for a server that is not installed.
fn not_installed(engine: Engine, wanted: Option<Version>, installed: &[String]) -> String {
    let product = engine.product();
    let installed = if installed.is_empty() {
        "installed: none".to_owned()
    } else {
        format!("installed: {}", installed.join(", "))
    };
    match (engine, wanted) {
        (_, Some(version)) => {
            format!(
                "cannot find {product} {version} ({installed}): install it with `countersign \
             local install --engine {engine}:{version}`"
            )
        }
        (Engine::Postgres, None) => {
            "cannot find PostgreSQL: `apt-get install postgresql`, or `countersign local install \
             --engine postgres:18`"
                .to_owned()
        }
        (Engine::Mariadb, None) => {
            "cannot find MariaDB: `apt-get install mariadb-server`, or `countersign local install \
             --engine mariadb`"
                .to_owned()
        }
        (Engine::Mysql, None) => "cannot find MySQL: install it with `countersign local install \
         --engine mysql`"
            .to_owned(),
    }
}

/// Adds the file's path to an error of the operating system.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> LocalError {
    let path = path.to_owned();
    move |source| LocalError::File { path, source }
}
