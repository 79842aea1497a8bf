//! Typed values that conditions compare: numbers, instants, networks, Base64.

use std::net::IpAddr;

use time::{Date, Month, OffsetDateTime, Time, UtcOffset};

/// A decimal number, exact: up to 18 digits before the point and 18 after it.
/// Source: IAM user guide, "Numeric condition operators": "an integer or decimal value".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Decimal(i128);

impl Decimal {
    const DIGITS: usize = 18;

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |part: &str| {
            (1..=Self::DIGITS).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !plain(whole) || !plain(fraction) {
            return None;
        }
        let scaled: i128 =
            format!("{whole}{fraction:0<width$}", width = Self::DIGITS).parse().ok()?;
        Some(Self(sign * scaled))
    }
}

/// An instant in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Instant(i128);

impl Instant {
    /// Parses whole seconds since 1970, or the W3C profile of ISO 8601 (`2013-06-30`, `2013-06`,
    /// `2013-06-30T12:00Z`, `2013-06-30T12:00:00.5+01:00`). Digits alone are seconds, never a year.
    /// Source: IAM user guide, "Date condition operators"; W3C NOTE-datetime.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return text
                .parse::<i64>()
                .ok()
                .map(|seconds| Self(i128::from(seconds) * 1_000_000_000));
        }
        let (date, clock) =
            text.split_once(['T', 't']).map_or((text, None), |(date, clock)| (date, Some(clock)));
        let date = calendar(date, clock.is_some())?;
        let (time, offset) = match clock {
            Some(clock) => of_day(clock)?,
            None => (Time::MIDNIGHT, UtcOffset::UTC),
        };
        Some(Self(OffsetDateTime::new_in_offset(date, time, offset).unix_timestamp_nanos()))
    }
}

fn number<T: std::str::FromStr>(text: &str, digits: usize) -> Option<T> {
    let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

/// Parses `2013-06-30`, or `2013-06` if no time follows.
fn calendar(text: &str, timed: bool) -> Option<Date> {
    let mut parts = text.split('-');
    let (year, month) = (number(parts.next()?, 4)?, number::<u8>(parts.next()?, 2)?);
    let day = match parts.next() {
        Some(day) => number(day, 2)?,
        None if timed => return None,
        None => 1,
    };
    if parts.next().is_some() {
        return None;
    }
    Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()
}

/// Parses `12:00Z`, `12:00:00Z` or `12:00:00.25+01:00`.
fn of_day(text: &str) -> Option<(Time, UtcOffset)> {
    let zone = text.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = text.split_at_checked(zone)?;
    let offset = match zone {
        "Z" | "z" => UtcOffset::UTC,
        _ => {
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            UtcOffset::from_hms(sign * number::<i8>(hours, 2)?, sign * number::<i8>(minutes, 2)?, 0)
                .ok()?
        }
    };
    let mut parts = clock.splitn(3, ':');
    let (hour, minute) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let (second, fraction) = parts
        .next()
        .map_or(("00", "0"), |seconds| seconds.split_once('.').unwrap_or((seconds, "0")));
    if !(1..=9).contains(&fraction.len()) {
        return None;
    }
    let nanos = number(&format!("{fraction:0<9}"), 9)?;
    Some((Time::from_hms_nano(hour, minute, number(second, 2)?, nanos).ok()?, offset))
}

/// A range of addresses: `203.0.113.0/24`, `2001:db8::/32`, or one address.
/// Source: IAM user guide, "IP address condition operators".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    base: IpAddr,
    prefix: u32,
}

impl Network {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let base: IpAddr = address.parse().ok()?;
        let width = if base.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(digits) if (1..=3).contains(&digits.len()) => {
                number(digits, digits.len()).filter(|bits| *bits <= width)?
            }
            Some(_) => return None,
        };
        Some(Self { base, prefix })
    }

    pub(super) fn contains(self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let differs = base.to_bits() ^ address.to_bits();
                differs.checked_shr(32 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let differs = base.to_bits() ^ address.to_bits();
                differs.checked_shr(128 - self.prefix).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// Returns true if `text` is canonical Base64 (RFC 4648, section 4), including padding. Two
/// canonical texts are equal exactly if the bytes that they encode are, so comparing does not need
/// decoding.
pub(super) fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let last = body.bytes().last().and_then(value).unwrap_or(0);
    let unused = match (body.len() % 4, text.len() - body.len()) {
        (0, 0) => 0,
        (2, 2) => last & 0b1111,
        (3, 1) => last & 0b11,
        _ => return false,
    };
    unused == 0 && body.bytes().all(|byte| value(byte).is_some())
}

#[cfg(test)]
mod tests;
