//! Facilities of the process: runtime, input files and their errors, installed libraries.

use std::env;
use std::io::{self, ErrorKind, Read};
use std::path::PathBuf;

use countersign_core::failure::{Class, Failure};

/// Maximum size of an input file in bytes.
const MAX_INPUT: u64 = 64 * 1024 * 1024;

/// Builds a runtime with one thread. Blocking work runs on threads of its own.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| {
        Failure::new(Class::Internal, format!("cannot start the async runtime: {error}"))
    })
}

/// Converts an error of a file into a failure. Exits with status 0 if the reader closed the pipe.
pub(crate) fn io_failure(what: &str, error: &io::Error) -> Failure {
    if error.kind() == ErrorKind::BrokenPipe {
        // `head` and `grep -q` close the pipe once they have read enough.
        std::process::exit(0);
    }
    Failure::new(Class::Configuration, format!("cannot access {what}: {error}"))
}

/// Reads a file, or standard input for `-`.
pub(crate) fn read_text(file: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match file {
        "-" => io::stdin().lock().take(MAX_INPUT).read_to_string(&mut text),
        _ => std::fs::File::open(file)
            .and_then(|opened| opened.take(MAX_INPUT).read_to_string(&mut text)),
    };
    read.map(|_| text).map_err(|error| io_failure(file, &error))
}

/// Returns a library beside this program: in a build directory, or installed.
pub(crate) fn installed_library(library: &str) -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let directory = program.parent()?;
    let candidates =
        [library.to_owned(), format!("lib{library}"), format!("../lib/countersign/{library}")];
    candidates.iter().map(|name| directory.join(name)).find(|path| path.exists())
}

/// Returns a variable of the environment.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}
