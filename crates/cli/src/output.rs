//! What goes to the terminal: results to standard output, all else to standard error.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use countersign_core::failure::{Class, Failure};

use crate::io_failure;

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
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
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        Failure::new(Class::Internal, format!("JSON can't be written: {error}"))
    })?;
    line(&text)
}

/// A text that may hold somebody else's, with its control characters spelled out: it begins no line and paints nothing.
pub(crate) fn plain(text: &str) -> String {
    let spelled = |letter: char| {
        if letter.is_control() { letter.escape_debug().to_string() } else { letter.to_string() }
    };
    text.chars().map(spelled).collect()
}

/// Rows in columns, the first row being the heading.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
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

/// Says on standard error what is going on.
pub(crate) fn note(text: &str) {
    // There is nowhere to report it if standard error is closed.
    let _unheard = writeln!(io::stderr(), "{text}");
}

/// Says on standard error what went wrong.
pub(crate) fn error(failure: &Failure) {
    let label = if colour(&io::stderr()) { "\u{1b}[1;31merror:\u{1b}[0m" } else { "error:" };
    // What is wrong with a setting says so itself; for the others the class comes first.
    let text = match failure.class {
        Class::Usage | Class::Configuration => failure.detail.clone(),
        _ => failure.to_string(),
    };
    let lines: Vec<String> = text.lines().map(plain).collect();
    note(&format!("{label} {}", lines.join("\n")));
}

/// Whether colours may be used there: on a terminal, unless `NO_COLOR` is set.
pub(crate) fn colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Logs warnings and errors of the daemons to standard error; `COUNTERSIGN_LOG` asks for more or less.
pub(crate) fn log_to_stderr() {
    use tracing_subscriber::EnvFilter;

    let filter =
        EnvFilter::try_from_env("COUNTERSIGN_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colour(&io::stderr()))
        .init();
}
