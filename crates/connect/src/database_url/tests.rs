use countersign_core::name::Engine;

use super::{DatabaseUrl, MYSQL_SSL_CA, MYSQL_SSL_MODE};

fn parse_error(url: &str) -> String {
    DatabaseUrl::parse(url).unwrap_err().detail
}

#[test]
fn a_url_with_all_components() {
    let target = DatabaseUrl::parse("postgres://Jane%2BX%40corp@MyDb.example.com:6432/my%20db?sslmode=require&options=-c%20a%3Db").unwrap();
    assert_eq!(
        (target.user.as_str(), target.host.as_str(), target.port),
        ("Jane+X@corp", "MyDb.example.com", 6432)
    );
    assert_eq!(target.database.as_deref(), Some("my db"));
    assert_eq!(
        target.settings,
        [("PGSSLMODE", "require".to_owned()), ("PGOPTIONS", "-c a=b".to_owned())]
    );
}

#[test]
fn absent_components_have_defaults() {
    let target = DatabaseUrl::parse("postgresql://jane@[::1]").unwrap();
    assert_eq!((target.host.as_str(), target.port, target.database), ("::1", 5432, None));
}

#[test]
fn errors_do_not_repeat_a_password() {
    let password = parse_error("postgres://jane:hunter2@db/x");
    assert!(password.contains("contains a password") && !password.contains("hunter2"));
    assert!(!parse_error("postgres://jane:hunter2@db:port/x").contains("hunter2"));
    assert!(parse_error("postgres://db/x").contains("no user"));
    assert!(parse_error("postgres://jane@/x").contains("host"));
    assert!(parse_error("postgres://jane@db:0").contains("port is 0"));
    assert!(
        parse_error("postgres://jane@db?sslmode=verify-full&sslmode=disable").contains("twice")
    );
    assert!(parse_error("postgres://jane@db?sslmode=bogus").contains("verify-ca"));
    assert!(parse_error("http://jane@db").contains("scheme"));
    assert!(parse_error("jane@db:5432/x").contains("postgres://USER@HOST"));
    assert!(parse_error("jane@db").contains("postgres://USER@HOST"));
    assert!(parse_error("postgres://jane@db?ssl=true").contains("sslmode"));
    assert!(parse_error("postgres://%zz@db").contains("user: malformed percent-escape"));
}

#[test]
fn mysql_and_mariadb_urls() {
    let target = DatabaseUrl::parse("mysql://Jane%2BX%40corp@MyDb.example.com:3307/my%20db?ssl-ca=/etc/my%20ca.pem&ssl-mode=verify_ca").unwrap();
    assert_eq!(
        (target.engine, target.host.as_str(), target.port),
        (Engine::Mysql, "MyDb.example.com", 3307)
    );
    assert_eq!((target.user.as_str(), target.database.as_deref()), ("Jane+X@corp", Some("my db")));
    assert_eq!(
        target.settings,
        [(MYSQL_SSL_CA, "/etc/my ca.pem".to_owned()), (MYSQL_SSL_MODE, "VERIFY_CA".to_owned())]
    );
    assert_eq!(
        (target.setting(MYSQL_SSL_MODE), target.setting("MYSQL_HOST")),
        (Some("VERIFY_CA"), None)
    );

    let target = DatabaseUrl::parse("mariadb://jane@[::1]").unwrap();
    assert_eq!(
        (target.engine, target.host.as_str(), target.port, target.database),
        (Engine::Mariadb, "::1", 3306, None)
    );
    assert_eq!(target.settings, []);
}

#[test]
fn errors_in_mysql_and_mariadb_urls() {
    let cases = [
        ("mysql://jane:hunter2@db", "contains a password"),
        ("mariadb://jane:@db:port", "invalid port number"),
        ("mariadb://db/x", "no user: write mariadb://USER@HOST"),
        ("mysql://jane@/x", "host"),
        ("mysql://jane@db:0", "port is 0"),
        ("mysql://jane@db?sslmode=verify-full", "\"sslmode\" is not one of ssl-ca, ssl-mode"),
        ("mysql://jane@db?tls=true", "\"tls\" is not one of ssl-ca, ssl-mode"),
        ("postgres://jane@db?ssl-mode=REQUIRED", "\"ssl-mode\" is not one of application_name"),
        (
            "mysql://jane@db?ssl-mode=",
            "ssl-mode is not one of DISABLED, PREFERRED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY",
        ),
        ("mysql://jane@db?ssl-mode=verify-full", "VERIFY_IDENTITY"),
        ("mysql://jane@db?ssl-mode=DISABLED&ssl-mode=VERIFY_CA", "twice"),
        ("mysql://jane@db?ssl-ca=/ca.pem&ssl-mode=required", "no effect with ssl-mode=REQUIRED"),
        ("mysql://jane@db?ssl-ca=%zz", "ssl-ca: malformed percent-escape"),
        ("mysql://jane@db/%zz", "database: malformed percent-escape"),
        ("mysqlx://jane@db", "scheme is not supported"),
    ];
    for (url, expected) in cases {
        let message = parse_error(url);
        assert!(message.contains(expected) && !message.contains("hunter2"), "{url}: {message}");
    }
}
