//! Servers that are created, stopped, started and deleted in a running stack, as by the RDS API.

mod fixture;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use countersign_authority::servers::{MasterUser, NewServer, RunningServer, Servers, ServersError};
use countersign_core::credentials::Secret;
use countersign_core::name::{Engine, InstanceId, ResourceId};
use countersign_e2e::{run, wait_until, ways_of};
use countersign_local::stack::AuthPreference;
use countersign_local::state::Authentication;

use fixture::StackFixture;

const PASSWORD: &str = "it's-Long$enough\\";

fn name(text: &str) -> InstanceId {
    text.parse().unwrap()
}

/// Returns a resource id that no other test uses: PAM services are named after it.
fn resource_id(instance: &str) -> ResourceId {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    let id: String =
        format!("{instance}{test}").chars().filter(char::is_ascii_alphanumeric).collect();
    format!("db-{}", id.to_ascii_uppercase()).parse().unwrap()
}

fn new_server(instance: &str, engine: Engine) -> NewServer {
    NewServer {
        instance: name(instance),
        resource_id: resource_id(instance),
        engine,
        version: None,
        port: None,
        database: Some("shop".to_owned()),
        // `postgres` is an ordinary user on RDS, but the superuser of a default PostgreSQL.
        master: Some(MasterUser {
            name: "postgres".to_owned(),
            password: Secret::new(PASSWORD).unwrap(),
        }),
        replica_of: None,
    }
}

/// Asserts that the master user has the privileges of RDS's, and no others.
fn assert_master_privileges(fixture: &StackFixture, engine: Engine, at: &RunningServer) {
    let must = |sql: &str| {
        let output = fixture.login(engine, at, PASSWORD, sql);
        assert!(output.ok, "{sql}: {output:?}");
        output.out
    };
    let refused = |sql: &str| assert!(!fixture.login(engine, at, PASSWORD, sql).ok, "{sql}");
    if engine == Engine::Postgres {
        assert_eq!(
            must(
                "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles \
                 WHERE rolname = current_user"
            ),
            "f|t|t"
        );
        assert_eq!(
            must(
                "SELECT pg_has_role('rds_superuser', 'member'), pg_has_role('pg_monitor', 'usage')"
            ),
            "t|t"
        );
        assert_eq!(
            must("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop'"),
            "postgres"
        );
        must("CREATE USER jane; GRANT rds_iam TO jane; CREATE TABLE public.goods (id int)");
        refused("COPY (SELECT 1) TO PROGRAM 'true'");
        refused("ALTER SYSTEM SET ssl = off");
    } else {
        must(
            "CREATE USER jane IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'; CREATE TABLE \
             goods (id int)",
        );
        must("GRANT SELECT ON shop.* TO jane");
        refused("SELECT 1 INTO OUTFILE '/tmp/countersign-no'");
        refused("SHUTDOWN");
        assert!(
            !must("SHOW DATABASES").lines().any(|database| database == "app"),
            "RDS does not create this database"
        );
    }
}

/// Exercises the lifecycle of one server.
fn exercise_lifecycle(
    fixture: &StackFixture,
    servers: &Arc<dyn Servers>,
    engine: Engine,
    version: &str,
) {
    let instance = name("orders");
    let new = NewServer { version: Some(version.to_owned()), ..new_server("orders", engine) };
    let at = servers.create(&new).unwrap();
    assert_eq!(at.version, version);
    assert_master_privileges(fixture, engine, &at);
    assert_eq!(servers.describe(&instance).unwrap().running, at);
    assert!(
        matches!(servers.create(&new_server("orders", engine)), Err(ServersError::Invalid(_))),
        "the name is in use"
    );
    let same_port = NewServer { port: Some(at.port), ..new_server("others", engine) };
    assert_eq!(servers.create(&same_port).unwrap_err(), ServersError::PortInUse(at.port));

    assert_eq!(servers.reboot(&instance).unwrap(), at);
    assert!(fixture.login(engine, &at, PASSWORD, "SELECT 1").ok);
    servers.stop(&instance).unwrap();
    assert!(!fixture.listens(&at) && !servers.describe(&instance).unwrap().started);
    assert_eq!(servers.start(&instance).unwrap(), at);

    servers
        .set_master_password(&instance, "postgres", &Secret::new("another-password").unwrap())
        .unwrap();
    assert!(!fixture.login(engine, &at, PASSWORD, "SELECT 1").ok);
    assert!(fixture.login(engine, &at, "another-password", "SELECT 1").ok);
    servers.set_master_password(&instance, "postgres", &Secret::new(PASSWORD).unwrap()).unwrap();
    servers.set_master_password(&instance, "jane", &Secret::new(PASSWORD).unwrap()).unwrap_err();

    let logs = servers.logs(&instance).unwrap();
    assert!(logs.len() == 1 && logs[0].size > 0, "{logs:?}");
    let log = servers.read_log(&instance, &logs[0].name, 0, u64::MAX).unwrap();
    let log = String::from_utf8_lossy(&log);
    assert!(
        log.contains("ready") && !log.contains(PASSWORD) && !log.contains("SCRAM-SHA-256$"),
        "{log}"
    );
    assert_eq!(servers.read_log(&instance, &logs[0].name, 3, 5).unwrap(), log.as_bytes()[3..8]);
    for other in [
        "server.json",
        "../server.log",
        "error/../server.log",
        "error/postgresql.log/../../server.json",
        "",
    ] {
        assert!(
            matches!(servers.read_log(&instance, other, 0, 10), Err(ServersError::Invalid(_))),
            "{other}"
        );
    }
}

/// Asserts that a deleted server leaves no listener, directory, state or PAM service.
fn assert_removed(fixture: &StackFixture, instance: &str, at: &RunningServer) {
    assert!(
        !fixture.listens(at) && !fixture.layout().root().join("instances").join(instance).exists()
    );
    assert!(!fixture.names().contains(&instance.to_owned()));
    let service = format!("countersign-{}", resource_id(instance).as_str().to_ascii_lowercase());
    assert!(!Path::new("/etc/pam.d").join(service).exists());
}

/// Exercises each installed version of the engine. Returns false if none is installed.
fn exercise_installed_versions(engine: Engine) -> bool {
    let fixture = StackFixture::new();
    let stack = fixture.up(&[Engine::Mariadb], AuthPreference::Automatic);
    let versions = stack.servers().versions().unwrap();
    fixture.down(stack);
    let versions: Vec<String> = versions
        .into_iter()
        .filter(|known| known.engine == engine)
        .map(|known| known.version)
        .collect();
    versions.iter().for_each(|version| exercise_version(engine, version));
    !versions.is_empty()
}

fn exercise_version(engine: Engine, version: &str) {
    let fixture = StackFixture::new();
    // The stack starts with another engine; PostgreSQL's authentication is chosen all the same.
    let stack = fixture.up(&[Engine::Mariadb], AuthPreference::Automatic);
    let servers = stack.servers();
    exercise_lifecycle(&fixture, &servers, engine, version);
    let at = servers.create(&new_server("stopped", engine)).unwrap();
    servers.stop(&name("stopped")).unwrap();
    let orders = servers.describe(&name("orders")).unwrap();
    let kept = |running: &RunningServer| {
        assert!(fixture.login(engine, running, PASSWORD, "SELECT * FROM goods").ok)
    };

    // The servers of a killed stack keep running, and the next stack adopts them.
    drop(servers);
    fixture.kill(stack);
    kept(&orders.running);
    let stack = fixture.up(&[Engine::Mariadb], AuthPreference::Automatic);
    assert_eq!(stack.servers().describe(&name("orders")).unwrap(), orders);
    kept(&orders.running);

    // Servers stop and start with the stack, except those that were stopped by the API.
    fixture.down(stack);
    assert!(!fixture.listens(&orders.running));
    let stack = fixture.up(&[], AuthPreference::Automatic);
    assert_eq!(fixture.names().len(), 3, "{:?}", fixture.names());
    kept(&orders.running);
    assert!(!fixture.listens(&at));
    let servers = stack.servers();
    assert_eq!(servers.start(&name("stopped")).unwrap(), at);
    assert!(fixture.listens(&at));
    for (instance, at) in [("orders", &orders.running), ("stopped", &at)] {
        servers.delete(&name(instance)).unwrap();
        assert_removed(&fixture, instance, at);
        assert_eq!(
            servers.delete(&name(instance)).unwrap_err(),
            ServersError::InstanceNotFound(name(instance))
        );
    }
    drop(servers);
    fixture.down(stack);
}

#[test]
fn postgresql_lifecycle() {
    assert!(exercise_installed_versions(Engine::Postgres));
}

#[test]
fn mariadb_lifecycle() {
    assert!(exercise_installed_versions(Engine::Mariadb));
}

#[test]
fn mysql_lifecycle() {
    let here = !ways_of(&[Engine::Mysql]).is_empty();
    assert_eq!(exercise_installed_versions(Engine::Mysql), here);
}

#[test]
fn created_postgresql_authenticates_by_ldap() {
    let fixture = StackFixture::new();
    let stack = fixture.up(&[Engine::Mariadb], AuthPreference::Ldap);
    let at = stack.servers().create(&new_server("orders", Engine::Postgres)).unwrap();
    let asks = fixture
        .state()
        .instances
        .iter()
        .find(|known| known.instance == name("orders"))
        .map(|known| known.authentication);
    assert_eq!(asks, Some(Authentication::Ldap));
    assert!(
        fixture
            .login(Engine::Postgres, &at, PASSWORD, "CREATE USER jane; GRANT rds_iam TO jane")
            .ok
    );
    let mut jane = Command::new("psql");
    jane.args(["--no-psqlrc", "--no-password", "--command", "SELECT 1"])
        .env("PGHOST", at.host.as_str())
        .env("PGUSER", "jane");
    let output = run(jane
        .env("PGPORT", at.port.to_string())
        .env("PGDATABASE", "shop")
        .env("PGPASSWORD", "no token")
        .env("PGSSLMODE", "require"));
    assert!(output.err.contains("LDAP authentication failed for user \"jane\""), "{output:?}");
    fixture.down(stack);
}

#[test]
fn postgresql_replica_replicates_until_promoted() {
    let fixture = StackFixture::new();
    let stack = fixture.up(&[Engine::Mariadb], AuthPreference::Ldap);
    let servers = stack.servers();
    let writer = servers.create(&new_server("writer", Engine::Postgres)).unwrap();
    let replica = NewServer {
        master: None,
        database: None,
        replica_of: Some(name("writer")),
        ..new_server("reader", Engine::Postgres)
    };
    let reader = servers.create(&replica).unwrap();
    let login = |at: &RunningServer, sql: &str| fixture.login(Engine::Postgres, at, PASSWORD, sql);
    let follows = |count: &str| {
        assert!(login(&writer, "INSERT INTO goods VALUES (1)").ok);
        wait_until("replication of the row to the reader", || {
            login(&reader, "SELECT count(*) FROM goods").out == count
        });
    };
    assert!(login(&writer, "CREATE TABLE goods (id int)").ok);
    follows("1");
    assert!(login(&reader, "INSERT INTO goods VALUES (2)").err.contains("read-only transaction"));
    servers.reboot(&name("reader")).unwrap();
    follows("2");
    drop(servers);
    fixture.down(stack);
    let stack = fixture.up(&[], AuthPreference::Ldap);
    follows("3");

    let servers = stack.servers();
    assert!(matches!(servers.promote(&name("writer")), Err(ServersError::Invalid(_))));
    servers.promote(&name("reader")).unwrap();
    assert!(login(&reader, "INSERT INTO goods VALUES (4)").ok);
    assert_eq!(servers.reboot(&name("reader")).unwrap(), reader);
    assert_eq!(login(&reader, "SELECT count(*) FROM goods").out, "4");
    assert_eq!(login(&writer, "SELECT count(*) FROM goods").out, "3");
    drop(servers);
    fixture.down(stack);
}

#[test]
fn failed_creation_leaves_no_remains() {
    let fixture = StackFixture::new();
    let stack = fixture.up(&[Engine::Postgres], AuthPreference::Ldap);
    let servers = stack.servers();
    // The database `sys` exists already, so the last step fails.
    let refused = servers
        .create(&NewServer {
            database: Some("sys".to_owned()),
            ..new_server("orders", Engine::Mariadb)
        })
        .unwrap_err();
    assert!(
        matches!(&refused, ServersError::Failed(text) if !text.contains(PASSWORD)),
        "{refused}"
    );
    assert!(!fixture.layout().root().join("instances/orders").exists());
    assert_eq!(fixture.names(), ["postgres"]);
    let absent = servers
        .create(&NewServer {
            version: Some("9.6".to_owned()),
            ..new_server("orders", Engine::Postgres)
        })
        .unwrap_err();
    assert!(matches!(&absent, ServersError::NotFound(_)), "{absent}");
    // Simulates a stack that was killed during the creation.
    servers.create(&new_server("orders", Engine::Postgres)).unwrap();
    drop(servers);
    fixture.kill(stack);
    let mut text: serde_json::Value =
        serde_json::from_slice(&std::fs::read(fixture.layout().state_file()).unwrap()).unwrap();
    text["instances"][1]["desired_state"] = "partial".into();
    std::fs::write(fixture.layout().state_file(), text.to_string()).unwrap();
    let stack = fixture.up(&[], AuthPreference::Ldap);
    assert_eq!(fixture.names(), ["postgres"]);
    stack.servers().create(&new_server("orders", Engine::Postgres)).unwrap();
    fixture.down(stack);
}
