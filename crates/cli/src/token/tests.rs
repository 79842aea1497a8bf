use countersign_core::credentials::{Credentials, Secret};
use countersign_core::endpoint::Endpoint;
use countersign_core::name::Engine;

use super::{environment, uri};
use crate::signing::Signer;

fn signer(engine: Engine) -> Signer {
    let secret = Secret::new("secret").unwrap();
    let credentials = Credentials {
        access_key_id: "AKIDEXAMPLE".parse().unwrap(),
        secret,
        session_token: None,
        expires: None,
    };
    let endpoint = Endpoint {
        engine,
        host: "db.example.com".parse().unwrap(),
        port: 3306,
        region: "us-east-1".parse().unwrap(),
    };
    Signer { credentials, endpoint }
}

#[test]
fn the_variables_of_each_engine() {
    let user = "o'hara".parse().unwrap();
    let lines = |engine: Engine| environment(&signer(engine), &user, "db/?a=b").to_string();
    assert_eq!(
        lines(Engine::Postgres),
        "export PGHOST='db.example.com'\nexport PGPORT='3306'\nexport PGUSER='o'\\''hara'\nexport \
         PGPASSWORD='db/?a=b'"
    );
    let mysql = "export MYSQL_HOST='db.example.com'\nexport MYSQL_TCP_PORT='3306'\nexport \
     MYSQL_USER='o'\\''hara'\n\
        export MYSQL_PWD='db/?a=b'\nexport LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN='1'";
    assert_eq!([lines(Engine::Mysql), lines(Engine::Mariadb)], [mysql, mysql]);
}

#[test]
fn the_url_of_each_engine() {
    let user = "jane@corp".parse().unwrap();
    for (engine, expected) in [
        (
            Engine::Postgres,
            "postgres://jane%40corp:db%2F%3Fa%3Db@db.example.com:3306/?sslmode=verify-full",
        ),
        (Engine::Mysql, "mysql://jane%40corp:db%2F%3Fa%3Db@db.example.com:3306/"),
        (Engine::Mariadb, "mariadb://jane%40corp:db%2F%3Fa%3Db@db.example.com:3306/"),
    ] {
        assert_eq!(*uri(&signer(engine), &user, "db/?a=b"), expected);
    }
}
