//! MySQL and MariaDB: what their environment says, which of the two clients is opened, and with which flags.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use countersign_connect::database_url::{DatabaseUrl, MYSQL_SSL_CA, MYSQL_SSL_MODE};
use countersign_core::failure::{Class, Failure};
use countersign_core::name::Engine;

use super::{Environment, is_local, no_such_authorities};
use crate::output;

/// The variable that names the CA. No client reads it by itself: `connect` makes a flag of it, `exec` hands it on.
pub(super) const CA: &str = MYSQL_SSL_CA;

/// What is said where neither client is there.
pub(super) const MISSING: &str = "neither mysql nor mariadb is there: install one (apt-get install mariadb-client, or default-mysql-client, or Oracle's mysql-client)";

/// What of the clients' variables the user's own environment may set: the prompt, the history, and where their plugins lie.
const KEPT: [&str; 6] = [
    "LIBMYSQL_PLUGIN_DIR",
    "MARIADB_HISTFILE",
    "MARIADB_PLUGIN_DIR",
    "MYSQL_HISTFILE",
    "MYSQL_HISTIGNORE",
    "MYSQL_PS1",
];

/// Which of the two command-line clients a program is; `mysql` may be either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    Oracle,
    Mariadb,
}

/// What clients and other programs are told.
pub(super) fn environment(target: &DatabaseUrl, authorities: Option<PathBuf>) -> Environment {
    let mut set: Vec<(&str, OsString)> = vec![
        ("MYSQL_HOST", target.host.as_str().into()),
        ("MYSQL_TCP_PORT", target.port.to_string().into()),
        ("MYSQL_USER", target.user.as_str().into()),
        (MYSQL_SSL_MODE, mode(target).into()),
        // libmysqlclient's own switch: without it, its programs refuse to send a password that is not hashed.
        ("LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN", "1".into()),
        // In place of ~/.mylogin.cnf, which Oracle's programs read even with --no-defaults, and whose password and host go
        // before those of the environment.
        ("MYSQL_TEST_LOGIN_FILE", "/dev/null".into()),
    ];
    set.extend(target.database.as_ref().map(|database| ("MYSQL_DATABASE", database.into())));
    set.extend(authorities.map(|file| (CA, file.into_os_string())));
    Environment {
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

/// Says that a token would cross the network in clear.
pub(super) fn warn_of_clear_text(target: &DatabaseUrl) {
    let mode = mode(target);
    if matches!(mode, "DISABLED" | "PREFERRED") {
        output::note(&format!(
            "warning: ssl-mode={mode} may send the token without TLS; servers that enforce IAM refuse that"
        ));
    }
}

/// The CA certificates to verify the server by: those that the URL names, else those of the environment.
pub(super) fn authorities(
    target: &DatabaseUrl,
    of_environment: Option<OsString>,
) -> Result<Option<PathBuf>, Failure> {
    let named = target
        .setting(CA)
        .map(OsString::from)
        .or(of_environment)
        .filter(|file| !file.is_empty())
        .map(PathBuf::from);
    match named {
        Some(file) if is_verified(target) && !file.exists() => {
            Err(no_such_authorities(&file, &advice(target)))
        }
        named => Ok(named),
    }
}

fn advice(target: &DatabaseUrl) -> String {
    if is_local(target) {
        return format!(
            "for the local stack: eval \"$(countersign local env --engine {})\"",
            target.engine
        );
    }
    "for RDS download its bundle (global-bundle.pem) and name it as ssl-ca in the URL or in MYSQL_SSL_CA; \
     for an RDS Proxy name the system's (/etc/ssl/certs/ca-certificates.crt)"
        .to_owned()
}

/// The client, with all its flags but the user's own.
pub(super) fn client(target: &DatabaseUrl) -> Result<Command, Failure> {
    let (program, client) = choose(preferred(target), version)
        .ok_or_else(|| Failure::new(Class::Configuration, MISSING))?;
    let mut command = Command::new(program);
    command.args(flags(client, target, authorities(target, env::var_os(CA))?.as_deref())?);
    Ok(command)
}

/// MariaDB's client has no mode for two of the URL's words, so those ask for Oracle's.
fn preferred(target: &DatabaseUrl) -> Client {
    match (mode(target), target.engine) {
        ("REQUIRED" | "VERIFY_CA", _) => Client::Oracle,
        (_, Engine::Mariadb) => Client::Mariadb,
        _ => Client::Oracle,
    }
}

/// The program to open, given what each says of its version: `None` where it can't be run.
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
            // Debian's old name for MariaDB's client, which newer versions of it complain about.
            Some(renamed @ (_, Client::Mariadb)) => mariadb().or(Some(renamed)),
            found => found.or_else(mariadb),
        },
    }
}

fn version(program: &str) -> Option<String> {
    let said = Command::new(program)
        .args(["--no-defaults", "--version"])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    said.status.success().then(|| String::from_utf8_lossy(&said.stdout).into_owned())
}

/// Where to log in and how far to verify, as flags.
///
/// No option file is read: a `password` in `~/.my.cnf` goes before `MYSQL_PWD`, and the token can't be a flag, which all users
/// of the machine could read; an `ssl-capath` would add CAs, an `init-command` or a `plugin-dir` would act behind the URL. What
/// is lost with them (`prompt`, `pager`) can be given after `--`, and the prompt in `MYSQL_PS1`.
fn flags(
    client: Client,
    target: &DatabaseUrl,
    authorities: Option<&Path>,
) -> Result<Vec<OsString>, Failure> {
    // --no-defaults counts only as the first flag. --protocol: `localhost` would mean the Unix socket.
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
    // In the other modes Oracle's client warns of a CA, and MariaDB's 11.8 verifies by it after all.
    if is_verified(target) {
        let file = authorities.ok_or_else(|| {
            Failure::new(
                Class::Configuration,
                format!(
                    "there are no CA certificates to verify {} by: {}",
                    target.host,
                    advice(target)
                ),
            )
        })?;
        let mut flag = OsString::from("--ssl-ca=");
        flag.push(file);
        flags.push(flag);
    }
    Ok(flags)
}

/// How far MariaDB's client verifies TLS. Where it is told not to verify the certificate, it logs in in clear if the server has
/// no TLS, whatever `--ssl` and `--ssl-ca` say (measured with 10.11, 11.4 and 11.8): nothing requires TLS and verifies less.
fn mariadb_tls(mode: &str) -> Result<&'static [&'static str], Failure> {
    match mode {
        "VERIFY_IDENTITY" => Ok(&["--ssl", "--ssl-verify-server-cert"]),
        "PREFERRED" => Ok(&["--ssl", "--disable-ssl-verify-server-cert"]),
        "DISABLED" => Ok(&["--skip-ssl"]),
        _ => Err(Failure::new(
            Class::Configuration,
            format!(
                "MariaDB's client has no equal of ssl-mode={mode}: leave it out to verify the host name too, or install Oracle's mysql"
            ),
        )),
    }
}

#[cfg(test)]
mod tests;
