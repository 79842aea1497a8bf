use countersign_core::failure::Class;

use super::{Client, Connection};

#[test]
fn the_option_file_is_the_first_flag() {
    assert!(Connection::default().flags().is_empty());
    let connection = Connection {
        defaults_file: Some("/etc/admin.cnf".into()),
        socket: Some("/run/mysqld/mysqld.sock".into()),
        host: Some("localhost".to_owned()),
        port: Some(3306),
        user: Some("root".to_owned()),
    };
    let flags = [
        "--defaults-file=/etc/admin.cnf",
        "--socket=/run/mysqld/mysqld.sock",
        "--host=localhost",
        "--port=3306",
        "--user=root",
    ];
    assert_eq!(connection.flags(), flags);
}

#[test]
fn a_missing_client_is_an_error() {
    let error = Client::of("/nonexistent/mariadb".into()).run("SELECT 1").unwrap_err();
    assert_eq!(error.class(), Class::Configuration);
    assert!(error.to_string().contains("install one"), "{error}");
}
