//! libpq: its environment, and the CA certificates that it verifies the server with.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use countersign_connect::database_url::DatabaseUrl;
use countersign_core::failure::Failure;

use super::environment::{ClientEnvironment, is_local, missing_ca_file};
use crate::output;

/// Variables of libpq that are inherited from the user's environment.
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

/// Returns libpq's environment.
pub(super) fn environment(target: &DatabaseUrl) -> ClientEnvironment {
    let mut set: Vec<(&str, OsString)> = vec![
        ("PGHOST", target.host.as_str().into()),
        ("PGPORT", target.port.to_string().into()),
        ("PGUSER", target.user.as_str().into()),
        ("PGSSLMODE", "verify-full".into()),
        ("PGGSSENCMODE", "disable".into()),
    ];
    set.extend(target.database.as_ref().map(|database| ("PGDATABASE", database.into())));
    // After the defaults above, so that the URL's sslmode replaces verify-full.
    set.extend(target.settings.iter().map(|(name, value)| (*name, value.into())));
    ClientEnvironment { prefixes: &["PG"], kept: &KEPT, set, password: "PGPASSWORD" }
}

/// Checks what libpq reports late or not at all.
///
/// Returns an error if the CA file is missing, and warns if the token could be sent without TLS.
pub(super) fn check_tls(target: &DatabaseUrl) -> Result<(), Failure> {
    match target.setting("PGSSLMODE").unwrap_or("verify-full") {
        "verify-full" | "verify-ca" => {}
        "require" => return Ok(()),
        mode => {
            output::note(&format!(
                "warning: sslmode={mode} may send the token without TLS; servers that enforce IAM \
                 reject such logins"
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
    // `system` selects the operating system's CAs.
    if file.as_os_str() == "system" || file.exists() {
        return Ok(());
    }
    let advice = if is_local(target) {
        "for the local stack run eval \"$(countersign local env)\""
    } else {
        "for RDS download global-bundle.pem and name it as sslrootcert in the URL or in \
         PGSSLROOTCERT"
    };
    Err(missing_ca_file(&file, advice))
}

#[cfg(test)]
mod tests {
    use countersign_connect::database_url::DatabaseUrl;

    use super::environment;

    fn set(url: &str) -> Vec<String> {
        let environment = environment(&DatabaseUrl::parse(url).unwrap());
        environment
            .set
            .into_iter()
            .map(|(name, value)| format!("{name}={}", value.to_string_lossy()))
            .collect()
    }

    #[test]
    fn sets_variables_of_libpq() {
        assert_eq!(
            set("postgres://jane@db.example.com"),
            [
                "PGHOST=db.example.com",
                "PGPORT=5432",
                "PGUSER=jane",
                "PGSSLMODE=verify-full",
                "PGGSSENCMODE=disable"
            ]
        );
        let all = set("postgres://jane@db/orders?sslmode=verify-ca&sslrootcert=/ca.pem");
        assert_eq!(
            all.get(5..).unwrap(),
            ["PGDATABASE=orders", "PGSSLMODE=verify-ca", "PGSSLROOTCERT=/ca.pem"]
        );
    }

    #[test]
    fn removes_variables_that_change_the_destination() {
        let environment = environment(&DatabaseUrl::parse("postgres://jane@db").unwrap());
        for name in ["PGHOSTADDR", "PGSERVICE", "PGPASSFILE", "PGSSLNEGOTIATION", "PGPASSWORD"] {
            assert!(environment.is_removed(name), "{name}");
        }
        for name in ["PGTZ", "PGSSLROOTCERT", "PSQLRC", "PAGER", "MYSQL_HOST"] {
            assert!(!environment.is_removed(name), "{name}");
        }
    }
}
