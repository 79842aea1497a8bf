//! MySQL and MariaDB clients: their environment, and the choice and flags of the command-line
//! client.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use countersign_connect::database_url::{DatabaseUrl, MYSQL_SSL_CA, MYSQL_SSL_MODE};
use countersign_core::failure::{Class, Failure};
use countersign_core::name::Engine;

use super::environment::{ClientEnvironment, is_local, missing_ca_file};
use crate::output;

/// Variable that names the CA file. No client reads it: `connect` passes it as a flag, `exec` sets
/// it.
pub(super) const CA: &str = MYSQL_SSL_CA;

/// Error if neither client is installed.
pub(super) const MISSING: &str = "cannot find mysql or mariadb: install one (apt-get install \
 mariadb-client, or default-mysql-client, or Oracle's mysql-client)";

/// Variables of the clients that are inherited from the user's environment: prompt, history and
/// plugin directories.
const KEPT: [&str; 6] = [
    "LIBMYSQL_PLUGIN_DIR",
    "MARIADB_HISTFILE",
    "MARIADB_PLUGIN_DIR",
    "MYSQL_HISTFILE",
    "MYSQL_HISTIGNORE",
    "MYSQL_PS1",
];

/// Implementation of a command-line client. A program named `mysql` may be either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    Oracle,
    Mariadb,
}

/// Returns the environment of clients and other programs.
pub(super) fn environment(target: &DatabaseUrl, ca_file: Option<PathBuf>) -> ClientEnvironment {
    let mut set: Vec<(&str, OsString)> = vec![
        ("MYSQL_HOST", target.host.as_str().into()),
        ("MYSQL_TCP_PORT", target.port.to_string().into()),
        ("MYSQL_USER", target.user.as_str().into()),
        (MYSQL_SSL_MODE, mode(target).into()),
        // Without it, programs of libmysqlclient refuse to send a password that is not hashed.
        ("LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN", "1".into()),
        // Replaces ~/.mylogin.cnf, which Oracle's programs read even with --no-defaults, and whose
        // password and host take precedence over the environment.
        ("MYSQL_TEST_LOGIN_FILE", "/dev/null".into()),
    ];
    set.extend(target.database.as_ref().map(|database| ("MYSQL_DATABASE", database.into())));
    set.extend(ca_file.map(|file| (CA, file.into_os_string())));
    ClientEnvironment {
        prefixes: &["LIBMYSQL_", "MARIADB_", "MYSQL_"],
        kept: &KEPT,
        set,
        password: "MYSQL_PWD",
    }
}

fn mode(target: &DatabaseUrl) -> &str {
    target.setting(MYSQL_SSL_MODE).unwrap_or("VERIFY_IDENTITY")
}

fn is_verified(target: &DatabaseUrl) -> bool {
    mode(target).starts_with("VERIFY_")
}

/// Warns if the token could be sent without TLS.
pub(super) fn warn_about_plaintext(target: &DatabaseUrl) {
    let mode = mode(target);
    if matches!(mode, "DISABLED" | "PREFERRED") {
        output::note(&format!(
            "warning: ssl-mode={mode} may send the token without TLS; servers that enforce IAM \
             reject such logins"
        ));
    }
}

/// Returns the file of CA certificates that the URL names, otherwise that of the environment.
pub(super) fn ca_file(
    target: &DatabaseUrl,
    from_environment: Option<OsString>,
) -> Result<Option<PathBuf>, Failure> {
    let named = target
        .setting(CA)
        .map(OsString::from)
        .or(from_environment)
        .filter(|file| !file.is_empty())
        .map(PathBuf::from);
    match named {
        Some(file) if is_verified(target) && !file.exists() => {
            Err(missing_ca_file(&file, &advice(target)))
        }
        named => Ok(named),
    }
}

fn advice(target: &DatabaseUrl) -> String {
    if is_local(target) {
        return format!(
            "for the local stack run eval \"$(countersign local env --engine {})\"",
            target.engine
        );
    }
    "for RDS download global-bundle.pem and name it as ssl-ca in the URL or in MYSQL_SSL_CA; for \
     an \
     RDS Proxy name the system's file (/etc/ssl/certs/ca-certificates.crt)"
        .to_owned()
}

/// Returns the client with all flags except those of the user.
pub(super) fn client(target: &DatabaseUrl) -> Result<Command, Failure> {
    let (program, client) = choose(preferred(target), version)
        .ok_or_else(|| Failure::new(Class::Configuration, MISSING))?;
    let mut command = Command::new(program);
    command.args(flags(client, target, ca_file(target, env::var_os(CA))?.as_deref())?);
    Ok(command)
}

/// Returns the preferred client. MariaDB's client has no equivalent of two TLS modes.
fn preferred(target: &DatabaseUrl) -> Client {
    match (mode(target), target.engine) {
        ("REQUIRED" | "VERIFY_CA", _) => Client::Oracle,
        (_, Engine::Mariadb) => Client::Mariadb,
        _ => Client::Oracle,
    }
}

/// Chooses the program by the output of `--version`, which is `None` if it cannot be run.
fn choose(
    preferred: Client,
    version: impl Fn(&str) -> Option<String>,
) -> Option<(&'static str, Client)> {
    let mariadb = || version("mariadb").map(|_| ("mariadb", Client::Mariadb));
    let mysql = || {
        version("mysql").map(|text| {
            ("mysql", if text.contains("MariaDB") { Client::Mariadb } else { Client::Oracle })
        })
    };
    match preferred {
        Client::Mariadb => mariadb().or_else(mysql),
        Client::Oracle => match mysql() {
            // Debian's old name for MariaDB's client, about which newer versions print a warning.
            Some(renamed @ (_, Client::Mariadb)) => mariadb().or(Some(renamed)),
            found => found.or_else(mariadb),
        },
    }
}

fn version(program: &str) -> Option<String> {
    let output = Command::new(program)
        .args(["--no-defaults", "--version"])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns the flags for address, user and TLS.
///
/// Option files are not read. A `password` in `~/.my.cnf` takes precedence over `MYSQL_PWD`, and
/// the token cannot be a flag, which every user of the machine could read. An `ssl-capath` would
/// add CAs; an `init-command` or `plugin-dir` would override the URL. Users pass `--prompt` or
/// `--pager` after `--`, or the prompt in `MYSQL_PS1`.
fn flags(
    client: Client,
    target: &DatabaseUrl,
    ca_file: Option<&Path>,
) -> Result<Vec<OsString>, Failure> {
    // --no-defaults must be the first flag. Without --protocol, `localhost` means the Unix socket.
    let mut flags: Vec<OsString> = vec!["--no-defaults".into(), "--protocol=TCP".into()];
    flags.extend([
        format!("--host={}", target.host).into(),
        format!("--port={}", target.port).into(),
    ]);
    flags.push(format!("--user={}", target.user).into());
    flags.extend(
        target.database.as_ref().map(|database| OsString::from(format!("--database={database}"))),
    );
    let mode = mode(target);
    match client {
        Client::Oracle => {
            flags.extend(["--enable-cleartext-plugin".into(), format!("--ssl-mode={mode}").into()])
        }
        Client::Mariadb => flags.extend(mariadb_tls(mode)?.iter().map(OsString::from)),
    }
    // In the other modes Oracle's client warns about a CA, and MariaDB's 11.8 verifies with it.
    if is_verified(target) {
        let file = ca_file.ok_or_else(|| {
            Failure::new(
                Class::Configuration,
                format!("cannot verify {}: no CA certificates; {}", target.host, advice(target)),
            )
        })?;
        let mut flag = OsString::from("--ssl-ca=");
        flag.push(file);
        flags.push(flag);
    }
    Ok(flags)
}

/// Returns MariaDB's TLS flags.
///
/// A client that does not verify the certificate logs in without TLS if the server has none,
/// whatever `--ssl` and `--ssl-ca` say (measured with 10.11, 11.4 and 11.8). So no flags require
/// TLS and verify less.
fn mariadb_tls(mode: &str) -> Result<&'static [&'static str], Failure> {
    match mode {
        "VERIFY_IDENTITY" => Ok(&["--ssl", "--ssl-verify-server-cert"]),
        "PREFERRED" => Ok(&["--ssl", "--disable-ssl-verify-server-cert"]),
        "DISABLED" => Ok(&["--skip-ssl"]),
        _ => Err(Failure::new(
            Class::Configuration,
            format!(
                "cannot use ssl-mode={mode}: MariaDB's client has no equivalent; remove it to \
                 verify the host name too, or install Oracle's mysql"
            ),
        )),
    }
}

#[cfg(test)]
mod tests;
