//! Durations as people write them: `15s`, `1h30m`.

use std::time::Duration;

/// The longest that is taken: beyond it somebody mistook the unit.
const MOST: Duration = Duration::from_secs(366 * 24 * 3600);

/// The units and their milliseconds.
const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads whole numbers, each with its unit; `0` needs none.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let refused = || format!("{text:?} is no duration: write it as 500ms, 15s, 10m, 1h30m or 7d");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut sum) = (text, 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(refused)?;
        let (number, after) = rest.split_at_checked(digits).ok_or_else(refused)?;
        let end = after.find(|letter: char| letter.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end).ok_or_else(refused)?;
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refused)?;
        let number: u64 = number.parse().map_err(|_| refused())?;
        sum =
            number.checked_mul(*size).and_then(|part| sum.checked_add(part)).ok_or_else(refused)?;
        rest = after;
    }
    let duration = Duration::from_millis(sum);
    if text.is_empty() || duration > MOST { Err(refused()) } else { Ok(duration) }
}

/// As it would be written.
pub(crate) fn written(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, size) in UNITS.iter().rev() {
        let number = rest.checked_div(*size).unwrap_or(0);
        if number > 0 {
            text.push_str(&format!("{number}{unit}"));
            rest -= number * size;
        }
    }
    text
}

#[cfg(test)]
mod tests;
