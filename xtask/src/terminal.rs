//! Headers and notes; coloured on a terminal, unless `NO_COLOR` is set.

use std::io::IsTerminal;
use std::sync::LazyLock;

static COLOURS: LazyLock<bool> = LazyLock::new(|| {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !unwanted && std::io::stdout().is_terminal() && std::io::stderr().is_terminal()
});

fn paint(code: u8, text: &str) -> String {
    if *COLOURS { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

pub(crate) fn bold(text: &str) -> String {
    paint(1, text)
}

pub(crate) fn red(text: &str) -> String {
    paint(31, text)
}

pub(crate) fn green(text: &str) -> String {
    paint(32, text)
}

/// Prints the line above the output of a step.
pub(crate) fn header(title: &str) {
    eprintln!("{} {}", green("==>"), bold(title));
}

/// Prints a line that belongs to the header above it.
pub(crate) fn note(text: &str) {
    eprintln!("    {text}");
}
