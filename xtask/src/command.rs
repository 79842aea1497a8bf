//! Running programs: with their output on the terminal, or for what they print.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::problem::Problem;

/// Runs it with its output on the terminal.
pub(crate) fn run(command: &mut Command) -> Result<(), Problem> {
    let status = command.status().map_err(|error| not_started(command, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(Problem::new(format!("`{}` failed with {status}", line(command))))
    }
}

/// Runs it for what it prints on its standard output, surrounding whitespace left out. Fails where it does, with what it said.
pub(crate) fn output(command: &mut Command) -> Result<String, Problem> {
    let output = attempt(command)?;
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let said = text(&output.stderr);
    Err(Problem::new(format!(
        "`{}` failed with {}{}{said}",
        line(command),
        output.status,
        if said.is_empty() { "" } else { ":\n" }
    )))
}

/// Runs it, whatever comes of it.
pub(crate) fn attempt(command: &mut Command) -> Result<Output, Problem> {
    command.stdin(Stdio::null()).output().map_err(|error| not_started(command, &error))
}

/// Whether it starts and ends well; what it prints is dropped.
pub(crate) fn works(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Where a program of this name lies on `path`.
pub(crate) fn find(name: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// What a program printed, surrounding whitespace left out.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// The command as one would type it. Environment variables, which may hold secrets, are left out.
pub(crate) fn line(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    words.join(" ")
}

fn not_started(command: &Command, error: &std::io::Error) -> Problem {
    Problem::new(format!("`{}` could not be started: {error}", line(command)))
}
