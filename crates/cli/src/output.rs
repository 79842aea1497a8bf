//! Terminal output: results on standard output, everything else on standard error.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use countersign_core::failure::{Class, Failure};

use crate::process::io_failure;

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub(crate) enum Format {
    /// Text for people
    #[default]
    Text,
    /// JSON for programs
    Json,
}

/// Prints a text and a line feed.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
        .map_err(|error| io_failure("standard output", &error))
}

/// Prints a value as JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(Class::Internal, format!("cannot write JSON: {error}")))?;
    line(&text)
}

/// Escapes control characters, so that text from elsewhere cannot start a line or control the
/// terminal.
pub(crate) fn escape_control(text: &str) -> String {
    let escape = |letter: char| {
        if letter.is_control() { letter.escape_debug().to_string() } else { letter.to_string() }
    };
    text.chars().map(escape).collect()
}

/// Formats rows as aligned columns. The first row is the heading.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| escape_control(cell)).collect()).collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Prints a progress message on standard error.
pub(crate) fn note(text: &str) {
    // An error is ignored: standard error is the only place to report it.
    let _ignored = writeln!(io::stderr(), "{text}");
}

/// Prints a failure on standard error.
pub(crate) fn error(failure: &Failure) {
    let label = if use_color(&io::stderr()) { "\u{1b}[1;31merror:\u{1b}[0m" } else { "error:" };
    // The detail of usage and configuration errors is a whole sentence; others begin with the
    // class.
    let text = match failure.class {
        Class::Usage | Class::Configuration => failure.detail.clone(),
        _ => failure.to_string(),
    };
    let lines: Vec<String> = text.lines().map(escape_control).collect();
    note(&format!("{label} {}", lines.join("\n")));
}

/// Returns true if the stream is a terminal and `NO_COLOR` is not set.
pub(crate) fn use_color(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Logs warnings and errors of daemons to standard error; `COUNTERSIGN_LOG` sets another level.
pub(crate) fn log_to_stderr() {
    use tracing_subscriber::EnvFilter;

    let filter =
        EnvFilter::try_from_env("COUNTERSIGN_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(use_color(&io::stderr()))
        .init();
}
