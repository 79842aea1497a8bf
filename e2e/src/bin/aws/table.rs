//! The table, printed row by row.

use crate::trial::{COLUMNS, Outcome};

/// Widths of the first two columns.
const WIDTHS: [usize; 2] = [12, 9];

/// Result of one client.
pub(crate) struct Row {
    pub(crate) client: &'static str,
    pub(crate) version: String,
    /// A cell per column, or the reason why the client was skipped.
    pub(crate) cells: Result<Vec<Outcome>, String>,
}

impl Row {
    /// Descriptions of failures.
    pub(crate) fn failures(&self) -> Vec<String> {
        let cells = self.cells.as_deref().unwrap_or_default();
        let failed = COLUMNS.iter().zip(cells).filter_map(|(column, cell)| match cell {
            Outcome::Failed(what) => {
                Some(format!("{} {}, {}: {what}", self.client, self.version, column.title()))
            }
            _ => None,
        });
        failed.collect()
    }
}

pub(crate) struct Table {
    widths: Vec<usize>,
}

impl Table {
    /// Prints the heading.
    pub(crate) fn new(titles: &[&str]) -> Self {
        let [client, version] = WIDTHS;
        println!("{:client$}  {:version$}  {}", "client", "version", titles.join("  "));
        Self { widths: titles.iter().map(|title| title.chars().count()).collect() }
    }

    pub(crate) fn print(&self, row: &Row) {
        let [client, version] = WIDTHS;
        let cells = match &row.cells {
            Ok(cells) => cells
                .iter()
                .zip(&self.widths)
                .map(|(cell, width)| format!("{:width$}", cell.word()))
                .collect::<Vec<_>>()
                .join("  "),
            Err(why) => {
                format!("skipped: {}", why.split_whitespace().collect::<Vec<_>>().join(" "))
            }
        };
        println!("{:client$}  {:version$}  {}", row.client, row.version, cells.trim_end());
    }
}
