//! The forms of IAM's names. Source: "IAM and AWS STS quotas", name requirements, and the API reference's patterns.

use countersign_config_file::{DiagnosticSink, Location};

/// What a name is of, with the longest that it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    User,
    Role,
    Group,
    Policy,
    Profile,
}

impl Named {
    const fn longest(self) -> usize {
        match self {
            Self::User | Self::Role => 64,
            Self::Group | Self::Policy | Self::Profile => 128,
        }
    }

    /// What its unique ids begin with.
    /// Source: "Understanding unique ID prefixes" in the IAM user guide.
    pub(super) const fn prefix(self) -> &'static str {
        match self {
            Self::User => "AIDA",
            Self::Role => "AROA",
            Self::Group => "AGPA",
            Self::Policy => "ANPA",
            Self::Profile => "AIPA",
        }
    }

    /// Whether it is a name; a mistake where it is none.
    pub(super) fn check(self, place: &Location, name: &str, report: &DiagnosticSink) -> bool {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
        let fits = (1..=self.longest()).contains(&name.len()) && name.bytes().all(word);
        if !fits {
            report.add(
                place,
                format!(
                    "{name:?} is not 1 to {} letters, digits or characters of _+=,.@-",
                    self.longest()
                ),
            );
        }
        fits
    }

    /// Whether it is a unique id; a mistake where it is none.
    pub(super) fn check_id(self, place: &Location, id: &str, report: &DiagnosticSink) -> bool {
        let fits = id.starts_with(self.prefix())
            && (16..=128).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !fits {
            report.add(
                place,
                format!(
                    "{id:?} is no unique id: {} and 12 to 124 letters and digits",
                    self.prefix()
                ),
            );
        }
        fits
    }
}

/// Whether it is a path; a mistake where it is none.
pub(super) fn check_path(place: &Location, path: &str, report: &DiagnosticSink) -> bool {
    let framed = path == "/" || (path.len() > 2 && path.starts_with('/') && path.ends_with('/'));
    let fits =
        framed && path.len() <= 512 && path.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
    if !fits {
        report.add(place, format!("{path:?} is no path: it begins and ends with a slash, and has at most 512 visible ASCII characters"));
    }
    fits
}

/// Whether it is the name of an inline policy or the like; a mistake where it is none.
pub(super) fn check_inline(place: &Location, name: &str, report: &DiagnosticSink) -> bool {
    Named::Policy.check(place, name, report)
}
