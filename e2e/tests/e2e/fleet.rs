//! Servers that are made, stopped, started and taken away while a stack runs, as the RDS API has them.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use countersign_authority::servers::{MasterUser, NewServer, RunningServer, Servers, ServersError};
use countersign_authority::verifier::{ContextKeys, VerifierConfig};
use countersign_core::credentials::Secret;
use countersign_core::name::{Engine, InstanceId};
use countersign_e2e::{CommandOutput, mysql_client, programs, run, wait_until, ways_of};
use countersign_local::Layout;
use countersign_local::stack::{AuthPreference, Plan, ServerSpec, Stack, down};
use countersign_local::state::{Authentication, State};
use tempfile::TempDir;

const PASSWORD: &str = "it's-Long$enough\\";

/// A directory with a stack, run by this process.
struct Place {
    directory: TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("countersign-").tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { directory, runtime }
    }

    fn layout(&self) -> Layout {
        Layout::new(self.directory.path()).unwrap()
    }

    /// A stack with these servers, or with those that it had.
    fn up(&self, servers: &[Engine], preference: AuthPreference) -> Stack {
        let wanted = |engine: &Engine| ServerSpec {
            instance: engine.as_str().parse().unwrap(),
            engine: *engine,
            version: None,
            port: None,
        };
        let plan = Plan {
            layout: self.layout(),
            servers: servers.iter().map(wanted).collect(),
            preference,
            pam_module: Some(programs().join("libpam_countersign.so")),
            mysql_plugin: Some(programs().join("libmysql_countersign.so")),
            unpacked: unpacked(),
            account: "123456789012".parse().unwrap(),
            region: "eu-central-1".parse().unwrap(),
            ldap_address: "127.0.0.1".parse().unwrap(),
            allowed_users: Vec::new(),
            settings: VerifierConfig { limit: None, context_keys: ContextKeys::AsRds },
            seed_file: None,
            issuer: countersign_authority::issuer::DEFAULT_URL.to_owned(),
            machine: None,
        };
        self.runtime.block_on(Stack::up(plan, |_| {})).unwrap()
    }

    fn down(&self, stack: Stack) {
        self.runtime.block_on(stack.down()).unwrap();
        self.wait_for_the_end();
    }

    /// Ends a stack as a kill does: nobody stops its servers.
    fn lose(&self, stack: Stack) {
        drop(stack);
        self.wait_for_the_end();
    }

    /// The authority ends in its own time, here as a task of this thread's.
    fn wait_for_the_end(&self) {
        let socket = self.layout().socket();
        wait_until("the end of the authority", || {
            self.runtime.block_on(tokio::task::yield_now());
            UnixStream::connect(&socket).is_err()
        });
    }

    fn state(&self) -> State {
        State::read(&self.layout()).unwrap().unwrap()
    }

    fn names(&self) -> Vec<String> {
        self.state().instances.iter().map(|known| known.instance.to_string()).collect()
    }

    /// The engine's own client, as the master user, over TCP with TLS.
    fn login(
        &self,
        engine: Engine,
        at: &RunningServer,
        password: &str,
        sql: &str,
    ) -> CommandOutput {
        let ca = self.layout().ca();
        let (host, port) = (at.host.as_str(), at.port.to_string());
        if engine == Engine::Postgres {
            let mut psql = Command::new("psql");
            psql.args([
                "--no-psqlrc",
                "--no-align",
                "--tuples-only",
                "--no-password",
                "--command",
                sql,
            ]);
            psql.env("PGHOST", host)
                .env("PGPORT", port)
                .env("PGUSER", "postgres")
                .env("PGDATABASE", "shop");
            return run(psql
                .env("PGPASSWORD", password)
                .env("PGSSLMODE", "verify-full")
                .env("PGSSLROOTCERT", ca));
        }
        let (program, verified) = match engine {
            Engine::Mysql => (mysql_client().unwrap(), "--ssl-mode=VERIFY_IDENTITY"),
            _ => (PathBuf::from("mariadb"), "--ssl-verify-server-cert"),
        };
        let mut client = Command::new(program);
        client.args([
            "--no-defaults",
            "--protocol=TCP",
            "--batch",
            "--skip-column-names",
            verified,
        ]);
        client
            .arg(format!("--ssl-ca={}", ca.display()))
            .arg(format!("--host={host}"))
            .arg(format!("--port={port}"));
        run(client
            .args(["--user=postgres", &format!("--execute={sql}"), "shop"])
            .env("MYSQL_PWD", password))
    }

    fn listens(&self, at: &RunningServer) -> bool {
        std::net::TcpStream::connect((at.host.as_str(), at.port)).is_ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let wiped = down(&self.layout(), &unpacked(), true);
        assert!(wiped.is_ok() || std::thread::panicking(), "{wiped:?}");
    }
}

/// Where the tests' servers are unpacked: MySQL is, wherever it can be had.
fn unpacked() -> PathBuf {
    // DIRECTORY/mysql-9.7/usr/bin/mysql
    mysql_client()
        .and_then(|client| client.ancestors().nth(4).map(Path::to_owned))
        .unwrap_or_else(|| PathBuf::from("/nonexistent"))
}

fn name(text: &str) -> InstanceId {
    text.parse().unwrap()
}

fn order(instance: &str, engine: Engine) -> NewServer {
    NewServer {
        instance: name(instance),
        resource_id: format!("db-{}", instance.to_ascii_uppercase()).parse().unwrap(),
        engine,
        version: None,
        port: None,
        database: Some("shop".to_owned()),
        // On RDS no superuser, though PostgreSQL's is called so elsewhere.
        master: Some(MasterUser {
            name: "postgres".to_owned(),
            password: Secret::new(PASSWORD).unwrap(),
        }),
        replica_of: None,
    }
}

/// What RDS's master user can do, and can't.
fn master_is_as_on_rds(place: &Place, engine: Engine, at: &RunningServer) {
    let must = |sql: &str| {
        let said = place.login(engine, at, PASSWORD, sql);
        assert!(said.ok, "{sql}: {said:?}");
        said.out
    };
    let refused = |sql: &str| assert!(!place.login(engine, at, PASSWORD, sql).ok, "{sql}");
    if engine == Engine::Postgres {
        assert_eq!(
            must(
                "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
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
            "CREATE USER jane IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'; CREATE TABLE goods (id int)",
        );
        must("GRANT SELECT ON shop.* TO jane");
        refused("SELECT 1 INTO OUTFILE '/tmp/countersign-no'");
        refused("SHUTDOWN");
        assert!(
            !must("SHOW DATABASES").lines().any(|database| database == "app"),
            "RDS makes no such database"
        );
    }
}

/// The life of one server, from its making to its end.
fn life(place: &Place, servers: &Arc<dyn Servers>, engine: Engine, version: &str) {
    let instance = name("orders");
    let new = NewServer { version: Some(version.to_owned()), ..order("orders", engine) };
    let at = servers.create(&new).unwrap();
    assert_eq!(at.version, version);
    master_is_as_on_rds(place, engine, &at);
    assert_eq!(servers.describe(&instance).unwrap().running, at);
    assert!(
        matches!(servers.create(&order("orders", engine)), Err(ServersError::Invalid(_))),
        "the name is taken"
    );
    let same_port = NewServer { port: Some(at.port), ..order("others", engine) };
    assert_eq!(servers.create(&same_port).unwrap_err(), ServersError::PortInUse(at.port));

    assert_eq!(servers.reboot(&instance).unwrap(), at);
    assert!(place.login(engine, &at, PASSWORD, "SELECT 1").ok);
    servers.stop(&instance).unwrap();
    assert!(!place.listens(&at) && !servers.describe(&instance).unwrap().started);
    assert_eq!(servers.start(&instance).unwrap(), at);

    servers
        .set_master_password(&instance, "postgres", &Secret::new("another-password").unwrap())
        .unwrap();
    assert!(!place.login(engine, &at, PASSWORD, "SELECT 1").ok);
    assert!(place.login(engine, &at, "another-password", "SELECT 1").ok);
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

/// What is left of a server that has been taken away.
fn nothing_is_left(place: &Place, instance: &str, at: &RunningServer) {
    assert!(!place.listens(at) && !place.layout().root().join("instances").join(instance).exists());
    assert!(!place.names().contains(&instance.to_owned()));
    assert!(!Path::new("/etc/pam.d").join(format!("countersign-db-{instance}")).exists());
}

/// Whether each version that is here does; `false` where none is.
fn each_lives_through_everything(engine: Engine) -> bool {
    let place = Place::new();
    let stack = place.up(&[Engine::Mariadb], AuthPreference::Automatic);
    let versions = stack.servers().versions().unwrap();
    place.down(stack);
    let versions: Vec<String> = versions
        .into_iter()
        .filter(|known| known.engine == engine)
        .map(|known| known.version)
        .collect();
    versions.iter().for_each(|version| lives_through_everything(engine, version));
    !versions.is_empty()
}

fn lives_through_everything(engine: Engine, version: &str) {
    let place = Place::new();
    // The command line's own is of another engine: how PostgreSQL asks is chosen all the same.
    let stack = place.up(&[Engine::Mariadb], AuthPreference::Automatic);
    let servers = stack.servers();
    life(&place, &servers, engine, version);
    let at = servers.create(&order("stopped", engine)).unwrap();
    servers.stop(&name("stopped")).unwrap();
    let orders = servers.describe(&name("orders")).unwrap();
    let kept = |running: &RunningServer| {
        assert!(place.login(engine, running, PASSWORD, "SELECT * FROM goods").ok)
    };

    // As a killed stack leaves them: they go on, and are taken over.
    drop(servers);
    place.lose(stack);
    kept(&orders.running);
    let stack = place.up(&[Engine::Mariadb], AuthPreference::Automatic);
    assert_eq!(stack.servers().describe(&name("orders")).unwrap(), orders);
    kept(&orders.running);

    // Stopped and started with the stack, whatever that is told to start; but not what was stopped.
    place.down(stack);
    assert!(!place.listens(&orders.running));
    let stack = place.up(&[], AuthPreference::Automatic);
    assert_eq!(place.names().len(), 3, "{:?}", place.names());
    kept(&orders.running);
    assert!(!place.listens(&at));
    let servers = stack.servers();
    assert_eq!(servers.start(&name("stopped")).unwrap(), at);
    assert!(place.listens(&at));
    for (instance, at) in [("orders", &orders.running), ("stopped", &at)] {
        servers.delete(&name(instance)).unwrap();
        nothing_is_left(&place, instance, at);
        assert_eq!(
            servers.delete(&name(instance)).unwrap_err(),
            ServersError::InstanceNotFound(name(instance))
        );
    }
    drop(servers);
    place.down(stack);
}

#[test]
fn a_postgresql_lives_through_everything() {
    assert!(each_lives_through_everything(Engine::Postgres));
}

#[test]
fn a_mariadb_lives_through_everything() {
    assert!(each_lives_through_everything(Engine::Mariadb));
}

#[test]
fn a_mysql_lives_through_everything() {
    let here = !ways_of(&[Engine::Mysql]).is_empty();
    assert_eq!(each_lives_through_everything(Engine::Mysql), here);
}

#[test]
fn a_postgresql_asks_by_ldap_where_nothing_did_before() {
    let place = Place::new();
    let stack = place.up(&[Engine::Mariadb], AuthPreference::Ldap);
    let at = stack.servers().create(&order("orders", Engine::Postgres)).unwrap();
    let asks = place
        .state()
        .instances
        .iter()
        .find(|known| known.instance == name("orders"))
        .map(|known| known.authentication);
    assert_eq!(asks, Some(Authentication::Ldap));
    assert!(
        place.login(Engine::Postgres, &at, PASSWORD, "CREATE USER jane; GRANT rds_iam TO jane").ok
    );
    let mut jane = Command::new("psql");
    jane.args(["--no-psqlrc", "--no-password", "--command", "SELECT 1"])
        .env("PGHOST", at.host.as_str())
        .env("PGUSER", "jane");
    let said = run(jane
        .env("PGPORT", at.port.to_string())
        .env("PGDATABASE", "shop")
        .env("PGPASSWORD", "no token")
        .env("PGSSLMODE", "require"));
    assert!(said.err.contains("LDAP authentication failed for user \"jane\""), "{said:?}");
    place.down(stack);
}

#[test]
fn a_postgresql_follows_another_until_it_is_promoted() {
    let place = Place::new();
    let stack = place.up(&[Engine::Mariadb], AuthPreference::Ldap);
    let servers = stack.servers();
    let writer = servers.create(&order("writer", Engine::Postgres)).unwrap();
    let replica = NewServer {
        master: None,
        database: None,
        replica_of: Some(name("writer")),
        ..order("reader", Engine::Postgres)
    };
    let reader = servers.create(&replica).unwrap();
    let login = |at: &RunningServer, sql: &str| place.login(Engine::Postgres, at, PASSWORD, sql);
    let follows = |count: &str| {
        assert!(login(&writer, "INSERT INTO goods VALUES (1)").ok);
        wait_until("what was written at the writer, at the reader", || {
            login(&reader, "SELECT count(*) FROM goods").out == count
        });
    };
    assert!(login(&writer, "CREATE TABLE goods (id int)").ok);
    follows("1");
    assert!(login(&reader, "INSERT INTO goods VALUES (2)").err.contains("read-only transaction"));
    servers.reboot(&name("reader")).unwrap();
    follows("2");
    drop(servers);
    place.down(stack);
    let stack = place.up(&[], AuthPreference::Ldap);
    follows("3");

    let servers = stack.servers();
    assert!(matches!(servers.promote(&name("writer")), Err(ServersError::Invalid(_))));
    servers.promote(&name("reader")).unwrap();
    assert!(login(&reader, "INSERT INTO goods VALUES (4)").ok);
    assert_eq!(servers.reboot(&name("reader")).unwrap(), reader);
    assert_eq!(login(&reader, "SELECT count(*) FROM goods").out, "4");
    assert_eq!(login(&writer, "SELECT count(*) FROM goods").out, "3");
    drop(servers);
    place.down(stack);
}

#[test]
fn nothing_is_left_of_a_server_that_could_not_be_made() {
    let place = Place::new();
    let stack = place.up(&[Engine::Postgres], AuthPreference::Ldap);
    let servers = stack.servers();
    // A database of this name is there: the last step fails.
    let refused = servers
        .create(&NewServer { database: Some("sys".to_owned()), ..order("orders", Engine::Mariadb) })
        .unwrap_err();
    assert!(
        matches!(&refused, ServersError::Failed(text) if !text.contains(PASSWORD)),
        "{refused}"
    );
    assert!(!place.layout().root().join("instances/orders").exists());
    assert_eq!(place.names(), ["postgres"]);
    let absent = servers
        .create(&NewServer { version: Some("9.6".to_owned()), ..order("orders", Engine::Postgres) })
        .unwrap_err();
    assert!(matches!(&absent, ServersError::NotFound(_)), "{absent}");
    // As if it had been killed meanwhile.
    servers.create(&order("orders", Engine::Postgres)).unwrap();
    drop(servers);
    place.lose(stack);
    let mut text: serde_json::Value =
        serde_json::from_slice(&std::fs::read(place.layout().state_file()).unwrap()).unwrap();
    text["instances"][1]["desired_state"] = "partial".into();
    std::fs::write(place.layout().state_file(), text.to_string()).unwrap();
    let stack = place.up(&[], AuthPreference::Ldap);
    assert_eq!(place.names(), ["postgres"]);
    stack.servers().create(&order("orders", Engine::Postgres)).unwrap();
    place.down(stack);
}
