//! Timestamps of Signature Version 4, such as `20240115T120000Z`, and RFC 3339.

use std::fmt;
use std::time::{Duration, SystemTime};

use time::{Date, Month, OffsetDateTime, Time};

/// A whole second of UTC, from 1970 to 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AmzDate(OffsetDateTime);

impl AmzDate {
    /// Truncates `now` to a second. Instants before 1970 become 1970.
    #[must_use]
    pub fn at(now: SystemTime) -> Self {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let second = i64::try_from(since)
            .ok()
            .and_then(|second| OffsetDateTime::from_unix_timestamp(second).ok());
        Self(second.unwrap_or(OffsetDateTime::UNIX_EPOCH))
    }

    /// Parses `YYYYMMDDTHHMMSSZ`; `None` for any other form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 16 || bytes.get(8) != Some(&b'T') || bytes.get(15) != Some(&b'Z') {
            return None;
        }
        let number = |from: usize, to: usize| {
            bytes.get(from..to)?.iter().try_fold(0_u16, |sum, digit| {
                digit.is_ascii_digit().then(|| sum * 10 + u16::from(digit - b'0'))
            })
        };
        let small = |from: usize| number(from, from + 2).and_then(|value| u8::try_from(value).ok());
        let year = number(0, 4).filter(|year| *year >= 1970)?;
        let date =
            Date::from_calendar_date(i32::from(year), Month::try_from(small(4)?).ok()?, small(6)?)
                .ok()?;
        let time = Time::from_hms(small(9)?, small(11)?, small(13)?).ok()?;
        Some(Self(OffsetDateTime::new_utc(date, time)))
    }

    /// The sixteen characters `20240115T120000Z`.
    #[must_use]
    pub fn stamp(self) -> Stamp {
        let (year, month, day) = self.0.to_calendar_date();
        let (hour, minute, second) = self.0.to_hms();
        let year = u16::try_from(year).unwrap_or(1970);
        let century = [year / 100, year % 100].map(|part| u8::try_from(part).unwrap_or(0));
        let [high, low] = century.map(two_digits);
        let [month, day] = [u8::from(month), day].map(two_digits);
        let [hour, minute, second] = [hour, minute, second].map(two_digits);
        Stamp([
            high[0], high[1], low[0], low[1], month[0], month[1], day[0], day[1], b'T', hour[0],
            hour[1], minute[0], minute[1], second[0], second[1], b'Z',
        ])
    }

    /// Converts to the type of the standard library.
    #[must_use]
    pub fn to_system_time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH
            + Duration::from_secs(u64::try_from(self.0.unix_timestamp()).unwrap_or(0))
    }
}

const fn two_digits(value: u8) -> [u8; 2] {
    [b'0' + value / 10 % 10, b'0' + value % 10]
}

impl fmt::Display for AmzDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.stamp().as_str())
    }
}

impl fmt::Debug for AmzDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text of an [`AmzDate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp([u8; 16]);

impl Stamp {
    /// `20240115T120000Z`
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// `20240115`
    #[must_use]
    pub fn day(&self) -> &str {
        self.as_str().get(..8).unwrap_or_default()
    }
}

/// Formats an instant as RFC 3339 in UTC with milliseconds, `2024-01-15T12:00:00.000Z`, as in all
/// records and reports.
#[must_use]
pub fn rfc3339(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at);
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second, milli) = at.to_hms_milli();
    format!(
        "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z",
        u8::from(month)
    )
}

#[cfg(test)]
mod tests;
