use countersign_core::name::Engine::{Mariadb, Mysql};

use super::{Account, check_kind, check_machine, non_empty};

#[test]
fn engine_and_version_are_checked() {
    for (engine, version, comment) in [
        (Mariadb, "10.11.19-MariaDB-0+deb12u1", "Debian 12"),
        (Mariadb, "11.8.3-MariaDB-log", ""),
        (Mysql, "8.0.36", "MySQL Community Server - GPL"),
        (Mysql, "9.7.4", "Debian"),
        (Mysql, "8.4.0-1", "Percona Server (GPL), Release 1"),
    ] {
        check_kind(engine, version, comment).unwrap();
    }
    for (engine, version, comment, reason) in [
        (Mysql, "10.11.19-MariaDB", "Debian 12", "--engine mariadb"),
        (Mysql, "10.11.19", "mariadb.org binary distribution", "--engine mariadb"),
        (Mariadb, "9.7.4", "Debian", "--engine mysql"),
        (Mariadb, "10.5.23-MariaDB", "", "10.6 or later"),
        (Mysql, "5.7.44", "MySQL Community Server (GPL)", "8.0 or later"),
        (Mysql, "unknown", "", "8.0 or later"),
    ] {
        let refused = check_kind(engine, version, comment).unwrap_err().to_string();
        assert!(refused.contains(reason), "{refused}");
    }
}

#[test]
fn the_server_must_run_on_this_machine() {
    check_machine("db1", "db1\n").unwrap();
    assert!(
        check_machine("db1", "laptop\n")
            .unwrap_err()
            .to_string()
            .contains("run this command on db1")
    );
}

#[test]
fn empty_variables_are_unset() {
    let lines =
        ["awsauthenticationplugin_socket\t/run/v.sock", "awsauthenticationplugin_timeout\t"]
            .map(str::to_owned);
    let variables = non_empty(&lines);
    assert_eq!(variables.len(), 1);
    assert_eq!(variables["awsauthenticationplugin_socket"], "/run/v.sock");
}

#[test]
fn an_account_is_formatted_as_in_sql() {
    let account = Account { user: "o'neil".to_owned(), host: "10.%".to_owned() };
    assert_eq!(account.to_string(), "'o''neil'@'10.%'");
}
