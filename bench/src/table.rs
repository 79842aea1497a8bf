//! Printed table: a line for each ratio, with its goal and whether it is met.

use crate::paired::{Samples, Spread};

/// Goal of a measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// No goal.
    None,
}

/// Line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    what: String,
    measurement: Measurement,
}

#[derive(Debug)]
enum Measurement {
    Measured { spread: Spread, unit: &'static str, goal: Goal, aside: String },
    Skipped(String),
}

impl Row {
    /// Creates a row of a measurement. `aside` is shown for orientation.
    pub(crate) fn new(
        what: impl Into<String>,
        spread: Spread,
        unit: &'static str,
        goal: Goal,
        aside: String,
    ) -> Self {
        Self { what: what.into(), measurement: Measurement::Measured { spread, unit, goal, aside } }
    }

    /// Creates a row of the ratio of `one` to `other`.
    pub(crate) fn ratio(
        what: impl Into<String>,
        one: &Samples,
        other: &Samples,
        goal: Goal,
    ) -> Self {
        Self::new(what, one.over(other), "x", goal, format!("{} : {}", time(one), time(other)))
    }

    /// Creates a row of a case that could not be measured.
    pub(crate) fn skipped(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), measurement: Measurement::Skipped(why.into()) }
    }

    fn cells(&self) -> [String; 6] {
        match &self.measurement {
            Measurement::Skipped(why) => [
                self.what.clone(),
                String::new(),
                String::new(),
                String::new(),
                "skipped".to_owned(),
                why.clone(),
            ],
            Measurement::Measured { spread, unit, goal, aside } => {
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

/// Formats the median of the times.
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

/// Formats the table with aligned columns.
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
