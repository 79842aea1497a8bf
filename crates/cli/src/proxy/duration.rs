//! Durations in text: `15s`, `1h30m`.

use std::time::Duration;

/// Maximum duration. A longer one is more likely a wrong unit.
const MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// Units and their lengths in milliseconds.
const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Parses whole numbers with a unit each. `0` needs no unit.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let invalid =
        || format!("{text:?} is not a duration: write it as 500ms, 15s, 10m, 1h30m or 7d");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut sum) = (text, 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(invalid)?;
        let (number, after) = rest.split_at_checked(digits).ok_or_else(invalid)?;
        let end = after.find(|letter: char| letter.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end).ok_or_else(invalid)?;
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(invalid)?;
        let number: u64 = number.parse().map_err(|_| invalid())?;
        sum =
            number.checked_mul(*size).and_then(|part| sum.checked_add(part)).ok_or_else(invalid)?;
        rest = after;
    }
    let duration = Duration::from_millis(sum);
    if text.is_empty() || duration > MAX { Err(invalid()) } else { Ok(duration) }
}

/// Formats a duration as [`parse`] reads it.
pub(crate) fn format(duration: Duration) -> String {
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
mod tests {
    use std::time::Duration;

    use super::{format, parse};

    #[test]
    fn parses_numbers_with_units() {
        for (text, milliseconds) in [
            ("0", 0),
            ("0s", 0),
            ("500ms", 500),
            ("15s", 15_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn rejects_other_text() {
        let overflows = ["367d", "99999999999999999999s", "9999999999999999d"];
        for text in
            ["", "15", "s", "-1s", "1.5h", "15 s", "1y", "1h30", "ä"].iter().chain(&overflows)
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parses_what_it_formats() {
        for milliseconds in [0, 1, 999, 1000, 61_001, 3_600_000, 90_061_001] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse(&format(duration)), Ok(duration), "{}", format(duration));
        }
        assert_eq!(format(Duration::from_secs(5400)), "1h30m");
    }
}
