use std::ffi::OsString;
use std::path::{Path, PathBuf};

use countersign_connect::database_url::DatabaseUrl;

use super::{Client, ca_file, choose, environment, flags, preferred};

fn target(url: &str) -> DatabaseUrl {
    DatabaseUrl::parse(url).unwrap()
}

fn flags_for(client: Client, url: &str) -> Result<String, String> {
    let flags = flags(client, &target(url), Some(Path::new("/ca.pem")))
        .map_err(|failure| failure.detail)?;
    Ok(flags.join(&OsString::from(" ")).into_string().unwrap())
}

#[test]
fn builds_the_flags_of_each_client() {
    const COMMON: &str = "--no-defaults --protocol=TCP --host=db --port=3306 --user=jane";
    let cases = [
        (
            "",
            Client::Oracle,
            "--enable-cleartext-plugin --ssl-mode=VERIFY_IDENTITY --ssl-ca=/ca.pem",
        ),
        ("", Client::Mariadb, "--ssl --ssl-verify-server-cert --ssl-ca=/ca.pem"),
        (
            "?ssl-mode=verify_ca",
            Client::Oracle,
            "--enable-cleartext-plugin --ssl-mode=VERIFY_CA --ssl-ca=/ca.pem",
        ),
        ("?ssl-mode=REQUIRED", Client::Oracle, "--enable-cleartext-plugin --ssl-mode=REQUIRED"),
        ("?ssl-mode=PREFERRED", Client::Oracle, "--enable-cleartext-plugin --ssl-mode=PREFERRED"),
        ("?ssl-mode=PREFERRED", Client::Mariadb, "--ssl --disable-ssl-verify-server-cert"),
        ("?ssl-mode=DISABLED", Client::Oracle, "--enable-cleartext-plugin --ssl-mode=DISABLED"),
        ("?ssl-mode=DISABLED", Client::Mariadb, "--skip-ssl"),
    ];
    for (query, client, expected) in cases {
        assert_eq!(
            flags_for(client, &format!("mysql://jane@db{query}")),
            Ok(format!("{COMMON} {expected}")),
            "{query}"
        );
    }
    let whole = flags_for(Client::Mariadb, "mariadb://o%27hara@db:13306/my%20db").unwrap();
    assert!(
        whole.starts_with(
            "--no-defaults --protocol=TCP --host=db --port=13306 --user=o'hara \
     --database=my db --ssl "
        ),
        "{whole}"
    );
}

#[test]
fn rejects_modes_that_a_client_lacks() {
    for mode in ["REQUIRED", "VERIFY_CA"] {
        let error =
            flags_for(Client::Mariadb, &format!("mariadb://jane@db?ssl-mode={mode}")).unwrap_err();
        assert!(error.contains(&format!("cannot use ssl-mode={mode}")), "{error}");
    }
    for (url, expected) in [
        ("mysql://jane@localhost", "eval \"$(countersign local env --engine mysql)\""),
        ("mariadb://jane@127.0.0.1", "eval \"$(countersign local env --engine mariadb)\""),
        ("mysql://jane@db.example.com", "global-bundle.pem"),
    ] {
        let error = flags(Client::Oracle, &target(url), None).unwrap_err().detail;
        assert!(error.contains("no CA certificates") && error.contains(expected), "{error}");
    }
}

#[test]
fn chooses_the_client() {
    const ORACLE: &str = "mysql  Ver 9.7.4 for Linux on x86_64 (MySQL Community Server - GPL)";
    const RENAMED: &str = "mysql  Ver 15.1 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64) \
         using  EditLine wrapper";
    const NEWER: &str = "mariadb from 11.8.9-MariaDB, client 15.2 for debian-linux-gnu (x86_64) \
         using  EditLine wrapper";
    let (mysql, mariadb, renamed) =
        (("mysql", Client::Oracle), ("mariadb", Client::Mariadb), ("mysql", Client::Mariadb));
    // Versions of `mysql` and `mariadb`; clients chosen for mysql:// and mariadb://.
    let cases = [
        (Some(ORACLE), None, Some(mysql), Some(mysql)),
        (Some(ORACLE), Some(NEWER), Some(mysql), Some(mariadb)),
        (Some(RENAMED), Some(RENAMED), Some(mariadb), Some(mariadb)),
        (Some(RENAMED), None, Some(renamed), Some(renamed)),
        (None, Some(NEWER), Some(mariadb), Some(mariadb)),
        (None, None, None, None),
    ];
    for (mysql, mariadb, for_mysql, for_mariadb) in cases {
        let version =
            |program: &str| if program == "mysql" { mysql } else { mariadb }.map(str::to_owned);
        let opened = |url: &str| choose(preferred(&target(url)), version);
        assert_eq!(
            (opened("mysql://jane@db"), opened("mariadb://jane@db")),
            (for_mysql, for_mariadb),
            "{mysql:?} {mariadb:?}"
        );
    }
    for mode in ["REQUIRED", "VERIFY_CA"] {
        assert_eq!(
            preferred(&target(&format!("mariadb://jane@db?ssl-mode={mode}"))),
            Client::Oracle
        );
    }
}

#[test]
fn sets_and_removes_variables() {
    let environment =
        environment(&target("mysql://jane@db.example.com/orders"), Some(PathBuf::from("/ca.pem")));
    let set: Vec<String> = environment
        .set
        .iter()
        .map(|(name, value)| format!("{name}={}", value.to_string_lossy()))
        .collect();
    assert_eq!(
        set,
        [
            "MYSQL_HOST=db.example.com",
            "MYSQL_TCP_PORT=3306",
            "MYSQL_USER=jane",
            "MYSQL_SSL_MODE=VERIFY_IDENTITY",
            "LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN=1",
            "MYSQL_TEST_LOGIN_FILE=/dev/null",
            "MYSQL_DATABASE=orders",
            "MYSQL_SSL_CA=/ca.pem",
        ]
    );
    assert_eq!(environment.password, "MYSQL_PWD");
    for name in [
        "MYSQL_UNIX_PORT",
        "MYSQL_HOME",
        "MYSQL_GROUP_SUFFIX",
        "MYSQL_SSL_CA",
        "MARIADB_HOST",
        "LIBMYSQL_PLUGINS",
        "MYSQL_PWD",
    ] {
        assert!(environment.is_removed(name), "{name}");
    }
    for name in ["MYSQL_PS1", "MYSQL_HISTFILE", "MARIADB_PLUGIN_DIR", "PGHOST", "PATH"] {
        assert!(!environment.is_removed(name), "{name}");
    }
}

#[test]
fn chooses_the_ca_file() {
    let here = std::env::current_exe().unwrap();
    let named = target(&format!("mysql://jane@db?ssl-ca={}", here.display()));
    assert_eq!(
        ca_file(&named, Some("/nowhere.pem".into())),
        Ok(Some(here.clone())),
        "the URL overrides the environment"
    );
    let url = |mode: &str| target(&format!("mysql://jane@localhost?ssl-mode={mode}"));
    assert_eq!(ca_file(&url("VERIFY_CA"), Some(here.clone().into())), Ok(Some(here)));
    assert_eq!(ca_file(&url("VERIFY_CA"), Some("".into())), Ok(None));
    assert_eq!(ca_file(&url("VERIFY_CA"), None), Ok(None));
    let error = ca_file(&url("VERIFY_IDENTITY"), Some("/nowhere.pem".into())).unwrap_err().detail;
    assert!(
        error.contains("cannot find the CA certificates /nowhere.pem")
            && error.contains("local env --engine mysql"),
        "{error}"
    );
    assert_eq!(
        ca_file(&url("REQUIRED"), Some("/nowhere.pem".into())),
        Ok(Some("/nowhere.pem".into())),
        "not required"
    );
}
