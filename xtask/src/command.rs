//! Running of programs, with their output on the terminal or captured.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::problem::Problem;

/// Runs a program with its output on the terminal.
pub(crate) fn run(command: &mut Command) -> Result<(), Problem> {
    let status = command.status().map_err(|error| not_started(command, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(Problem::new(format!("`{}` failed with {status}", line(command))))
    }
}

/// Runs a program and returns its trimmed standard output. The error of a failed program holds its
/// standard error.
pub(crate) fn output(command: &mut Command) -> Result<String, Problem> {
    let output = attempt(command)?;
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let errors = text(&output.stderr);
    Err(Problem::new(format!(
        "`{}` failed with {}{}{errors}",
        line(command),
        output.status,
        if errors.is_empty() { "" } else { ":\n" }
    )))
}

/// Runs a program and returns its status and output.
pub(crate) fn attempt(command: &mut Command) -> Result<Output, Problem> {
    command.stdin(Stdio::null()).output().map_err(|error| not_started(command, &error))
}

/// Returns true if a program starts and succeeds. Its output is discarded.
pub(crate) fn works(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Finds a program on a search path.
pub(crate) fn find(name: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// Converts a program's output to trimmed text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// Formats a command line, without environment variables: they may hold secrets.
pub(crate) fn line(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    words.join(" ")
}

fn not_started(command: &Command, error: &std::io::Error) -> Problem {
    Problem::new(format!("cannot start `{}`: {error}", line(command)))
}
