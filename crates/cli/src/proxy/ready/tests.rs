use std::path::PathBuf;
use std::time::Duration;

use countersign_connect::credentials_cache;
use countersign_connect::tls::Verification;
use countersign_core::name::Engine;
use countersign_proxy::settings::{
    ClientAuth, Listen, PoolSettings, ServerAuth, ServerTls, TargetSessionAttrs, TargetSettings,
};

use super::line;

fn target(engine: Engine, user: Option<&str>, database: Option<&str>) -> TargetSettings {
    TargetSettings {
        name: "orders".to_owned(),
        engine,
        host: "db.example.com".parse().unwrap(),
        port: 5432,
        sign: None,
        region: None,
        user: user.map(|user| user.parse().unwrap()),
        database: database.map(str::to_owned),
        server_auth: ServerAuth::Iam(credentials_cache::CredentialsConfig::default()),
        tls: ServerTls { verification: Verification::VerifyFull, ca_file: None },
        target_session_attrs: TargetSessionAttrs::Any,
        listen: Vec::new(),
        client_auth: ClientAuth::Trust,
        client_tls: None,
        pool: PoolSettings {
            min_idle: 0,
            reuse: false,
            max_idle: 0,
            idle_timeout: Duration::ZERO,
            max_lifetime: Duration::ZERO,
        },
        max_connections: 0,
        logins_per_second: 0,
        connect_timeout: Duration::ZERO,
        session_timeout: None,
    }
}

#[test]
fn a_line_can_be_pasted() {
    let tcp = Listen::Tcp("127.0.0.1:5433".parse().unwrap());
    let everywhere = Listen::Tcp("[::]:5433".parse().unwrap());
    let unix = |path: &str| Listen::Unix(PathBuf::from(path));
    let postgres = target(Engine::Postgres, Some("app"), Some("orders"));
    assert_eq!(line(&postgres, &tcp), "psql 'host=127.0.0.1 port=5433 user=app dbname=orders'");
    assert_eq!(line(&postgres, &everywhere), "psql 'host=::1 port=5433 user=app dbname=orders'");
    assert_eq!(
        line(&postgres, &unix("/run/db/orders/.s.PGSQL.6000")),
        "psql 'host=/run/db/orders port=6000 user=app dbname=orders'"
    );
    let mysql = target(Engine::Mysql, Some("app"), Some("shop"));
    assert_eq!(
        line(&mysql, &tcp),
        "mysql --host=127.0.0.1 --port=5433 --protocol=TCP --user=app shop"
    );
    assert_eq!(
        line(&target(Engine::Mariadb, None, None), &unix("/run/db/shop")),
        "mariadb --socket=/run/db/shop --user=USER"
    );
}

#[test]
fn odd_names_are_quoted_for_both_the_client_and_the_shell() {
    let tcp = Listen::Tcp("127.0.0.1:5433".parse().unwrap());
    let postgres = target(Engine::Postgres, Some("it's me"), None);
    assert_eq!(
        line(&postgres, &tcp),
        r"psql 'host=127.0.0.1 port=5433 user='\''it\'\''s me'\'' dbname=DATABASE'"
    );
    let mysql = target(Engine::Mysql, Some("a b; rm"), Some("x'y"));
    assert_eq!(
        line(&mysql, &tcp),
        r"mysql --host=127.0.0.1 --port=5433 --protocol=TCP --user='a b; rm' 'x'\''y'"
    );
}
