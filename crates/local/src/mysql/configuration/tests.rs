use countersign_core::name::Engine;

use super::{init_file, literal, login};

#[test]
fn literals_quote_every_character() {
    for (name, quoted) in [
        ("jane", "'jane'"),
        ("o'hara", "'o''hara'"),
        (r"a\'; DROP USER x", r"'a\\''; DROP USER x'"),
        ("日本", "'日本'"),
    ] {
        assert_eq!(literal(name), quoted);
    }
}

#[test]
fn iam_account_uses_the_statements_of_the_aws_guide() {
    insta::assert_snapshot!(login(&literal("jane_doe")), @r"
    CREATE USER IF NOT EXISTS 'jane_doe'@'%' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS';
    ALTER USER 'jane_doe'@'%' IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS';
    ALTER USER 'jane_doe'@'%' REQUIRE SSL;
    GRANT ALL PRIVILEGES ON app.* TO 'jane_doe'@'%';
    ");
}

#[test]
fn administrators_use_the_socket_only() {
    for (engine, plugin) in
        [(Engine::Mariadb, "VIA unix_socket"), (Engine::Mysql, "WITH auth_socket")]
    {
        let sql = init_file(engine, &["root".to_owned()]);
        assert!(
            sql.contains(&format!("ALTER USER 'root'@'localhost' IDENTIFIED {plugin};")),
            "{sql}"
        );
        assert!(
            sql.lines().all(|line| line.ends_with(';')),
            "the servers read it line by line: {sql}"
        );
    }
}
