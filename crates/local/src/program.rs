//! Runs programs and signals processes.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::LocalError;

/// Runs a program to its end, and returns its standard output.
pub(crate) fn run(command: &mut Command, what: &str) -> Result<String, LocalError> {
    run_holding(command, Stdio::null(), what)
}

/// Runs a program that inherits `file` as its standard input.
///
/// A lock on that file lasts as long as the program runs.
pub(crate) fn run_holding(
    command: &mut Command,
    file: impl Into<Stdio>,
    what: &str,
) -> Result<String, LocalError> {
    let output = command.stdin(file).output().map_err(|error| failed(what, error.to_string()))?;
    finished(what, output)
}

/// Runs a program that reads `input`.
pub(crate) fn run_with(
    command: &mut Command,
    input: &str,
    what: &str,
) -> Result<String, LocalError> {
    let lost = |error: std::io::Error| failed(what, error.to_string());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(lost)?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(input.as_bytes()) {
            // The program stopped reading; its output tells why.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            written => written.map_err(lost)?,
        }
    }
    finished(what, child.wait_with_output().map_err(lost)?)
}

fn finished(what: &str, output: Output) -> Result<String, LocalError> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let printed = [output.stdout, output.stderr].map(|bytes| text(&bytes)).join("\n");
    Err(failed(what, format!("{}: {}", output.status, printed.trim())))
}

fn failed(what: &str, output: String) -> LocalError {
    LocalError::Program { program: what.to_owned(), output }
}

/// Sends a signal to a process if `still` confirms that `pid` is still the intended process.
///
/// The pidfd is opened before the check, so that the pid cannot be reused in between.
pub(crate) fn send(pid: Pid, signal: Signal, still: impl FnOnce() -> bool) -> bool {
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
        return false;
    };
    still() && pidfd_send_signal(&process, signal).is_ok()
}
