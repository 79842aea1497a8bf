//! Lines in the server's error log, which is the standard error of both.

use std::ffi::CStr;
use std::fmt;

use countersign_core::failure::{AuditOutcome, Failure};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// The plugin's name, to the servers and in the log.
pub(crate) const PLUGIN: &CStr = c"AWSAuthenticationPlugin";

/// As MySQL writes it: `2026-11-20T16:26:25.000000Z`.
const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// How urgent a line is, as the servers write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Something on this side has to be put right.
    Error,
    /// The client brought what is not enough.
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

/// Writes a line, whole, so that no other thread's gets into it. Where the log takes it no longer, the line is lost.
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

/// Has a panic logged by its place alone: what it would say otherwise might quote what a client sent.
pub(crate) fn name_panics_by_place() {
    std::panic::set_hook(Box::new(|panic| {
        let place =
            panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        write(Level::Error, &format!("refused: internal: the plugin panicked at {place}"));
    }));
}

#[cfg(test)]
mod tests;
