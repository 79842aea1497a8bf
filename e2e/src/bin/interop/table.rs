//! The table, printed cell by cell.

use std::io::Write as _;

use crate::attempt::Outcome;

/// Widths of the first three columns.
const WIDTHS: [usize; 3] = [22, 9, 15];

pub(crate) struct Table {
    widths: Vec<usize>,
    at: usize,
}

impl Table {
    /// Prints the heading.
    pub(crate) fn new(titles: &[&'static str]) -> Self {
        let [client, version, server] = WIDTHS;
        let widths: Vec<usize> = titles.iter().map(|title| title.chars().count().max(7)).collect();
        let titles: Vec<String> =
            titles.iter().zip(&widths).map(|(title, width)| format!("{title:width$}")).collect();
        println!(
            "{:client$}  {:version$}  {:server$}  {}",
            "client",
            "version",
            "server",
            titles.join("  ").trim_end()
        );
        Self { widths, at: 0 }
    }

    /// Begins a row.
    pub(crate) fn begin(&mut self, name: &str, run: &str, on: &str) {
        let [client, version, server] = WIDTHS;
        self.at = 0;
        self.print(&format!("{name:client$}  {run:version$}  {on:server$}"));
    }

    /// Prints the next cell of the row, with a star if it has a note.
    pub(crate) fn cell(&mut self, outcome: &Outcome, noted: bool) {
        let width = self.widths.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        let word = format!("{}{}", outcome.word(), if noted { "*" } else { "" });
        self.print(&format!("  {word:width$}"));
    }

    pub(crate) fn end(&mut self) {
        println!();
    }

    /// Prints a row without cells.
    pub(crate) fn skipped(&mut self, name: &str, on: &str, why: &str) {
        self.begin(name, "-", on);
        println!("  skipped: {}", why.split_whitespace().collect::<Vec<_>>().join(" "));
    }

    /// Prints a line below the table.
    pub(crate) fn note(&self, text: &str) {
        self.print(&format!("{text}\n"));
    }

    fn print(&self, text: &str) {
        print!("{text}");
        // A cell may take a while: the row's name is shown meanwhile.
        drop(std::io::stdout().flush());
    }
}
