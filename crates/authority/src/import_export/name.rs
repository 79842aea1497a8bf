//! Formats of names. Source for IAM: "IAM and AWS STS quotas", name requirements, and the patterns
//! of the API reference.

use countersign_config_file::{DiagnosticSink, Location};

/// Kind of entity that a name belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameKind {
    User,
    Role,
    Group,
    Policy,
    Profile,
}

impl NameKind {
    const fn longest(self) -> usize {
        match self {
            Self::User | Self::Role => 64,
            Self::Group | Self::Policy | Self::Profile => 128,
        }
    }

    /// Returns the prefix of unique ids. Source: "Understanding unique ID prefixes" in the IAM user
    /// guide.
    pub(super) const fn prefix(self) -> &'static str {
        match self {
            Self::User => "AIDA",
            Self::Role => "AROA",
            Self::Group => "AGPA",
            Self::Policy => "ANPA",
            Self::Profile => "AIPA",
        }
    }

    /// Returns true if `name` is valid; reports an invalid name.
    pub(super) fn check(
        self,
        location: &Location,
        name: &str,
        diagnostics: &DiagnosticSink,
    ) -> bool {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
        let fits = (1..=self.longest()).contains(&name.len()) && name.bytes().all(word);
        if !fits {
            diagnostics.add(
                location,
                format!(
                    "{name:?} is not 1 to {} letters, digits or characters of _+=,.@-",
                    self.longest()
                ),
            );
        }
        fits
    }

    /// Returns true if `id` is a valid unique id; reports an invalid one.
    pub(super) fn check_id(
        self,
        location: &Location,
        id: &str,
        diagnostics: &DiagnosticSink,
    ) -> bool {
        let fits = id.starts_with(self.prefix())
            && (16..=128).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !fits {
            diagnostics.add(
                location,
                format!(
                    "{id:?} is not a unique id: {} followed by 12 to 124 letters and digits",
                    self.prefix()
                ),
            );
        }
        fits
    }
}

/// Returns true if `path` is valid; reports an invalid path.
pub(super) fn check_path(location: &Location, path: &str, diagnostics: &DiagnosticSink) -> bool {
    let framed = path == "/" || (path.len() > 2 && path.starts_with('/') && path.ends_with('/'));
    let fits =
        framed && path.len() <= 512 && path.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
    if !fits {
        diagnostics.add(
            location,
            format!(
                "{path:?} is not a path: it must begin and end with a slash, and have at most 512 \
                 visible ASCII characters"
            ),
        );
    }
    fits
}

/// Returns true if `name` is a valid name of an inline policy; reports an invalid name.
pub(super) fn check_inline(location: &Location, name: &str, diagnostics: &DiagnosticSink) -> bool {
    NameKind::Policy.check(location, name, diagnostics)
}

/// Returns true if `name` is a valid Kubernetes name: DNS labels joined by dots. Reports an invalid
/// name.
pub(super) fn check_kubernetes_name(
    location: &Location,
    name: &str,
    diagnostics: &DiagnosticSink,
) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(word)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let fits = name.len() <= 253 && name.split('.').all(label);
    if !fits {
        diagnostics.add(
            location,
            format!(
                "{name:?} is not a Kubernetes name: lower-case letters, digits and hyphens, with \
                 dots between them"
            ),
        );
    }
    fits
}
