//! Lines in the error log, which is the standard error of both servers.

use std::ffi::CStr;
use std::fmt;

use countersign_core::failure::{AuditOutcome, Failure};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// Name of the plugin for the servers and in the log.
pub(crate) const PLUGIN: &CStr = c"AWSAuthenticationPlugin";

/// The format of MySQL: `2026-11-20T16:26:25.000000Z`.
const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// Level of a line, as the servers write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// A failure on the side of the server.
    Error,
    /// A denial because of the client.
    Warning,
}

impl Level {
    pub(crate) const fn of(failure: &Failure) -> Self {
        match failure.class.outcome() {
            AuditOutcome::Denied | AuditOutcome::Allowed => Self::Warning,
            AuditOutcome::Error => Self::Error,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "ERROR",
            Self::Warning => "Warning",
        })
    }
}

/// Writes a line with one call, so that lines of other threads do not interleave. A line that
/// cannot be written is lost.
pub(crate) fn write(level: Level, message: &str) {
    let _ = rustix::io::write(
        rustix::stdio::stderr(),
        line(OffsetDateTime::now_utc(), level, message).as_bytes(),
    );
}

fn line(now: OffsetDateTime, level: Level, message: &str) -> String {
    let timestamp = now.format(TIMESTAMP).unwrap_or_default();
    let message: String =
        message.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect();
    format!("{timestamp} 0 [{level}] {}: {message}\n", PLUGIN.to_string_lossy())
}

/// Installs a panic hook that logs only the location: the message could contain data of a client.
pub(crate) fn log_panics_by_location() {
    std::panic::set_hook(Box::new(|panic| {
        let location =
            panic.location().map_or_else(|| "an unknown location".to_owned(), ToString::to_string);
        write(Level::Error, &format!("login denied: internal: the plugin panicked at {location}"));
    }));
}

#[cfg(test)]
mod tests;
