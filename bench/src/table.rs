//! What is printed: a line for each ratio, with its goal and whether it is met.

use crate::paired::{Samples, Spread};

/// What a measurement should come to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Measured to be known.
    None,
}

/// A line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    what: String,
    found: Found,
}

#[derive(Debug)]
enum Found {
    Measured { spread: Spread, unit: &'static str, goal: Goal, aside: String },
    Skipped(String),
}

impl Row {
    /// Something measured: the ratio unless another unit is named, and times for orientation.
    pub(crate) fn new(
        what: impl Into<String>,
        spread: Spread,
        unit: &'static str,
        goal: Goal,
        aside: String,
    ) -> Self {
        Self { what: what.into(), found: Found::Measured { spread, unit, goal, aside } }
    }

    /// What `one` takes in terms of what `other` takes.
    pub(crate) fn ratio(
        what: impl Into<String>,
        one: &Samples,
        other: &Samples,
        goal: Goal,
    ) -> Self {
        Self::new(what, one.over(other), "x", goal, format!("{} : {}", time(one), time(other)))
    }

    /// Something that could not be compared here, and why.
    pub(crate) fn skipped(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), found: Found::Skipped(why.into()) }
    }

    fn cells(&self) -> [String; 6] {
        match &self.found {
            Found::Skipped(why) => [
                self.what.clone(),
                String::new(),
                String::new(),
                String::new(),
                "skipped".to_owned(),
                why.clone(),
            ],
            Found::Measured { spread, unit, goal, aside } => {
                let (wanted, met) = match goal {
                    Goal::AtLeast(least) => {
                        (format!(">= {least} {unit}"), Some(spread.median >= *least))
                    }
                    Goal::AtMost(most) => {
                        (format!("<= {most} {unit}"), Some(spread.median <= *most))
                    }
                    Goal::None => (String::new(), None),
                };
                let verdict = met.map_or("", |met| if met { "met" } else { "MISSED" });
                let quartiles = format!("{} .. {}", number(spread.low), number(spread.high));
                [
                    self.what.clone(),
                    format!("{} {unit}", number(spread.median)),
                    quartiles,
                    wanted,
                    verdict.to_owned(),
                    format!("[{aside}]"),
                ]
            }
        }
    }
}

/// The median of the times, for orientation.
pub(crate) fn time(samples: &Samples) -> String {
    let seconds = samples.spread().median;
    match seconds {
        seconds if seconds < 1e-6 => format!("{:.0} ns", seconds * 1e9),
        seconds if seconds < 1e-3 => format!("{:.2} us", seconds * 1e6),
        seconds if seconds < 1.0 => format!("{:.2} ms", seconds * 1e3),
        seconds => format!("{seconds:.2} s"),
    }
}

fn number(value: f64) -> String {
    if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

/// The table, its columns aligned.
pub(crate) fn render(rows: &[Row]) -> String {
    let heading =
        ["case", "median", "quartiles", "goal", "", "[for orientation]"].map(str::to_owned);
    let lines: Vec<_> = std::iter::once(heading).chain(rows.iter().map(Row::cells)).collect();
    let widths = lines.iter().fold([0; 6], |widths, line| {
        let mut wider = widths;
        wider
            .iter_mut()
            .zip(line)
            .for_each(|(width, cell)| *width = (*width).max(cell.chars().count()));
        wider
    });
    let align = |line: &[String; 6]| {
        line.iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect::<Vec<_>>()
            .join("  ")
    };
    lines.iter().map(|line| format!("{}\n", align(line).trim_end())).collect()
}
