//! Environment of database clients.

use std::ffi::OsString;
use std::path::Path;

use countersign_connect::database_url::DatabaseUrl;
use countersign_core::failure::{Class, Failure};

/// Environment of one engine's clients: address, user and TLS mode, without the token.
#[derive(Debug)]
pub(super) struct ClientEnvironment {
    /// Prefixes of the variables that these clients read.
    pub(super) prefixes: &'static [&'static str],
    /// Variables inherited from the user's environment: none that changes the address or TLS.
    pub(super) kept: &'static [&'static str],
    /// Variables to set.
    pub(super) set: Vec<(&'static str, OsString)>,
    /// Variable for the token.
    pub(super) password: &'static str,
}

impl ClientEnvironment {
    /// Returns true if a variable of the user's environment must not reach the program.
    pub(super) fn is_removed(&self, name: &str) -> bool {
        self.prefixes.iter().any(|prefix| name.starts_with(prefix)) && !self.kept.contains(&name)
    }
}

/// Returns true if the host is this machine, as it is for the local stack.
pub(super) fn is_local(target: &DatabaseUrl) -> bool {
    matches!(target.host.as_str(), "localhost" | "127.0.0.1" | "::1")
}

/// Returns the error for a missing file of CA certificates.
pub(super) fn missing_ca_file(file: &Path, advice: &str) -> Failure {
    Failure::new(
        Class::Configuration,
        format!("cannot find the CA certificates {}: {advice}", file.display()),
    )
}
