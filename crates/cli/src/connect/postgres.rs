//! libpq: what its environment says, and which CA it verifies the server by.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use countersign_connect::database_url::DatabaseUrl;
use countersign_core::failure::Failure;

use super::{Environment, is_local, no_such_authorities};
use crate::output;

/// What of libpq's variables the user's own environment may set.
const KEPT: [&str; 12] = [
    "PGAPPNAME",
    "PGCLIENTENCODING",
    "PGCONNECT_TIMEOUT",
    "PGDATESTYLE",
    "PGGEQO",
    "PGLOCALEDIR",
    "PGOPTIONS",
    "PGSSLCRL",
    "PGSSLCRLDIR",
    "PGSSLROOTCERT",
    "PGTARGETSESSIONATTRS",
    "PGTZ",
];

/// What libpq is told.
pub(super) fn environment(target: &DatabaseUrl) -> Environment {
    let mut set: Vec<(&str, OsString)> = vec![
        ("PGHOST", target.host.as_str().into()),
        ("PGPORT", target.port.to_string().into()),
        ("PGUSER", target.user.as_str().into()),
        ("PGSSLMODE", "verify-full".into()),
        ("PGGSSENCMODE", "disable".into()),
    ];
    set.extend(target.database.as_ref().map(|database| ("PGDATABASE", database.into())));
    // Last, so that the URL's sslmode replaces the one above.
    set.extend(target.settings.iter().map(|(name, value)| (*name, value.into())));
    Environment { prefixes: &["PG"], kept: &KEPT, set, password: "PGPASSWORD" }
}

/// Says what libpq would say too late or not at all: that the CA is missing, or that a token would cross the network in clear.
pub(super) fn check_tls(target: &DatabaseUrl) -> Result<(), Failure> {
    match target.setting("PGSSLMODE").unwrap_or("verify-full") {
        "verify-full" | "verify-ca" => {}
        "require" => return Ok(()),
        mode => {
            output::note(&format!(
                "warning: sslmode={mode} may send the token without TLS; servers that enforce IAM refuse that"
            ));
            return Ok(());
        }
    }
    let named = target
        .setting("PGSSLROOTCERT")
        .map(PathBuf::from)
        .or_else(|| env::var_os("PGSSLROOTCERT").map(PathBuf::from));
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".postgresql/root.crt"));
    let Some(file) = named.or(home) else {
        return Ok(());
    };
    // `system` is libpq's word for the operating system's CAs.
    if file.as_os_str() == "system" || file.exists() {
        return Ok(());
    }
    let advice = if is_local(target) {
        "for the local stack: eval \"$(countersign local env)\""
    } else {
        "for RDS download its bundle (global-bundle.pem) and name it as sslrootcert in the URL or in PGSSLROOTCERT"
    };
    Err(no_such_authorities(&file, advice))
}

#[cfg(test)]
mod tests;
