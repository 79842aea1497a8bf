//! Table whose columns wrap to the terminal's width.

use std::process::{Command, Stdio};

use crate::command;
use crate::terminal::{bold, green, red};

/// Number of columns of the terminal between two columns of the table.
const GAP: usize = 2;

pub(super) struct Table {
    widths: [usize; 3],
    mismatches: u32,
}

impl Table {
    /// Prints the titles and begins a table.
    pub(super) fn new(titles: [&str; 3]) -> Self {
        // After the mark and the longest label, two columns share the rest.
        let rest = width().saturating_sub(2 + 24 + 2 * GAP);
        let table = Self { widths: [24, rest * 2 / 5, rest - rest * 2 / 5], mismatches: 0 };
        table.print("  ", titles, bold);
        table
    }

    /// Prints a row, with a mark for an expected or an unexpected result.
    pub(super) fn row(&mut self, expected: bool, cells: [&str; 3]) {
        self.mismatches += u32::from(!expected);
        let mark = if expected { green("✓ ") } else { red("✗ ") };
        self.print(&mark, cells, str::to_owned);
    }

    /// Returns the number of rows with an unexpected result.
    pub(super) const fn mismatches(&self) -> u32 {
        self.mismatches
    }

    fn print(&self, mark: &str, cells: [&str; 3], paint: fn(&str) -> String) {
        let [first, second, third] = self.widths;
        let columns = [wrap(cells[0], first), wrap(cells[1], second), wrap(cells[2], third)];
        let height = columns.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..height {
            let [a, b, c] =
                columns.each_ref().map(|column| column.get(line).map_or("", String::as_str));
            let text = format!("{a:first$}{:GAP$}{b:second$}{:GAP$}{c}", "", "");
            println!("{}{}", if line == 0 { mark } else { "  " }, paint(text.trim_end()));
        }
    }
}

/// Wraps a text into lines of at most `width` characters; a longer word gets its own line.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Returns the terminal's width, between 90 and 160.
fn width() -> usize {
    let size = Command::new("stty").args(["-F", "/dev/tty", "size"]).stdin(Stdio::null()).output();
    let size = size
        .ok()
        .filter(|output| output.status.success())
        .map(|output| command::text(&output.stdout));
    size.and_then(|size| size.split_once(' ')?.1.parse().ok()).unwrap_or(120).clamp(90, 160)
}

#[cfg(test)]
mod tests {
    use super::wrap;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrap("ünïcödé is six", 10), ["ünïcödé is", "six"]);
        assert_eq!(
            wrap("a-word-that-is-too-long for it", 8),
            ["a-word-that-is-too-long", "for it"]
        );
        assert!(wrap("", 8).is_empty());
    }
}
