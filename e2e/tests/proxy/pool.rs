//! Connection pool: reuse, reset and prewarming of server sessions.

use countersign_core::name::Engine;
use countersign_e2e::{
    ClientSession, ProxyFixture, ServerKind, Stack, postgres, run, wait_until, ways,
};

fn each(pool: &str, test: impl Fn(&Stack, &ProxyFixture)) {
    for kind in ways() {
        let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
        let _proxy = site.serve(&stack, &stack.target("db", &["user = \"app\"", pool]), &[]);
        test(&stack, &site);
    }
}

fn open(stack: &Stack, site: &ProxyFixture) -> ClientSession {
    ClientSession::open(stack.kind(), &mut site.session(stack.kind(), "app"))
}

/// Returns the number of idle sessions.
fn idle(site: &ProxyFixture) -> u64 {
    site.status()["targets"][0]["pool"]["idle"].as_u64().unwrap()
}

/// Returns true if the server has this session.
fn exists(stack: &Stack, session: &str) -> bool {
    let sql = match stack.kind().engine() {
        Engine::Postgres => format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {session}"),
        Engine::Mariadb | Engine::Mysql => {
            format!("SELECT COUNT(*) FROM information_schema.processlist WHERE id = {session}")
        }
    };
    stack.sql(&sql) != "0"
}

/// Returns statements that change session state, a query of that state, and its results before and
/// after a reset.
fn session_state(kind: ServerKind) -> (&'static [&'static str], &'static str, [&'static str; 2]) {
    match kind.engine() {
        Engine::Postgres => (
            &[
                "CREATE TEMPORARY TABLE mine (number int)",
                "SET statement_timeout = '12345ms'",
                "SET search_path = mine",
                "PREPARE mine AS SELECT 1",
                "DECLARE mine CURSOR WITH HOLD FOR SELECT 1",
                "LISTEN mine",
                "DO $$ BEGIN PERFORM pg_advisory_lock(42); END $$",
            ],
            "SELECT to_regclass('pg_temp.mine') IS NULL, current_setting('statement_timeout'), \
             current_setting('search_path'), \
             (SELECT count(*) FROM pg_prepared_statements), \
             (SELECT count(*) FROM pg_cursors WHERE name = 'mine'), \
             (SELECT count(*) FROM pg_listening_channels()), \
             (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')",
            ["f|12345ms|mine|1|1|1|1", "t|0|\"$user\", public|0|0|0|0"],
        ),
        Engine::Mariadb | Engine::Mysql => (
            &[
                "CREATE TEMPORARY TABLE mine (number INT)",
                "SET @mine = 1",
                "SET SESSION sql_mode = 'ANSI'",
                "SET SESSION autocommit = 0",
                "SET NAMES latin1",
                "PREPARE mine FROM 'SELECT 1'",
                "DO GET_LOCK('mine', 0)",
                "USE information_schema",
            ],
            "SELECT @mine IS NULL, @@session.sql_mode LIKE '%ANSI%', @@session.autocommit, \
             @@session.character_set_client, \
             IS_FREE_LOCK('mine'), DATABASE()",
            ["0\t1\t0\tlatin1\t0\tinformation_schema", "1\t0\t1\tutf8mb4\t1\tapp"],
        ),
    }
}

#[test]
fn reused_session_has_no_state_of_the_previous_client() {
    each("pool = { min-idle = 0, reuse = true }", |stack, site| {
        let (statements, query, [before, after]) = session_state(stack.kind());
        let mut first = open(stack, site);
        let session = first.server_session();
        statements.iter().for_each(|sql| first.tell(sql));
        assert_eq!(first.ask(query), before, "{}", first.complaints());
        first.close();
        wait_until("an idle session", || idle(site) == 1);
        let mut second = open(stack, site);
        assert_eq!(second.server_session(), session);
        assert_eq!(second.ask(query), after, "{}", second.complaints());
        if stack.kind().engine() != Engine::Postgres {
            second.tell("SELECT * FROM mine");
            assert_eq!(second.ask("SELECT 1"), "1");
            assert!(second.complaints().contains("doesn't exist"), "{}", second.complaints());
        }
        assert_eq!(stack.decisions("app").len(), 1, "the second client caused a login");
        second.close();
    });
}

#[test]
fn session_with_unfinished_work_is_not_reused() {
    each("pool = { min-idle = 0, reuse = true }", |stack, site| {
        // Terminate message in a transaction; disconnect in a transaction; disconnect in a
        // statement.
        let at_work: fn(ClientSession) = |mut talk| {
            talk.tell(if talk.is_of(Engine::Postgres) {
                "SELECT pg_sleep(600)"
            } else {
                "SELECT SLEEP(600)"
            });
            talk.kill();
        };
        let ends: [(fn(ClientSession), bool); 3] =
            [(ClientSession::close, false), (ClientSession::kill, false), (at_work, true)];
        for (end, is_at_work) in ends {
            let mut first = open(stack, site);
            let session = first.server_session();
            first.tell("BEGIN");
            assert_eq!(first.ask("SELECT 1"), "1");
            end(first);
            let mut second = open(stack, site);
            assert_ne!(second.server_session(), session);
            // PostgreSQL detects a lost client only at the end of a statement, with or without a
            // proxy.
            if !is_at_work {
                wait_until("the end of the session", || !exists(stack, &session));
            }
            second.kill();
        }
    });
}

#[test]
fn session_is_reused_only_with_the_same_parameters() {
    each("pool = { min-idle = 0, reuse = true }", |stack, site| {
        let kind = stack.kind();
        let mut first = open(stack, site);
        let session = first.server_session();
        first.close();
        wait_until("an idle session", || idle(site) == 1);
        // Other startup parameters, or another database, require another session.
        let mut command = site.session(kind, "app");
        match kind.engine() {
            Engine::Postgres => command.env("PGOPTIONS", "-c work_mem=8MB"),
            Engine::Mariadb | Engine::Mysql => command.arg("--database=information_schema"),
        };
        let mut other = ClientSession::open(kind, &mut command);
        assert_ne!(other.server_session(), session);
        let mut same = open(stack, site);
        assert_eq!(same.server_session(), session);
        other.close();
        same.close();
    });
}

#[test]
fn client_receives_a_prewarmed_session() {
    each("pool = { min-idle = 1 }", |stack, site| {
        // One session with the target's parameters is idle, and after the first client one with its
        // parameters.
        assert!(site.login(stack.kind(), "app").ok);
        wait_until("idle sessions", || idle(site) == 2);
        // A prewarmed session needs no verifier.
        stack.kill_authority();
        let mut first = open(stack, site);
        assert_eq!(first.ask("SELECT 1"), "1");
        stack.start();
        assert_eq!(first.ask("SELECT 1"), "1");
        wait_until("another idle session", || idle(site) == 2);
        let session = first.server_session();
        first.close();
        let mut second = open(stack, site);
        assert_ne!(second.server_session(), session, "sessions are not reused unless configured");
        second.close();
    });
}

#[test]
fn idle_sessions_of_a_restarted_server_are_replaced() {
    each("pool = { min-idle = 2, reuse = true }", |stack, site| {
        assert!(site.login(stack.kind(), "app").ok);
        wait_until("idle sessions", || idle(site) >= 4);
        let mut open = open(stack, site);
        assert_eq!(open.ask("SELECT 1"), "1");
        let _down = stack.must(&["down"]);
        let output = site.login(stack.kind(), "app");
        assert!(!output.ok, "{output:?}");
        stack.start();
        let output = site.login(stack.kind(), "app");
        assert_eq!(output.out, "app", "{output:?}");
    });
}

#[test]
fn drop_database_closes_idle_sessions_of_the_pool() {
    let Some(kind) = postgres() else { return };
    let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
    stack.sql("ALTER ROLE app CREATEDB");
    let _proxy = site.serve(
        &stack,
        &stack.target("db", &["user = \"app\"", "pool = { min-idle = 2, reuse = true }"]),
        &[],
    );
    let sql =
        |database: &str, sql: &str| run(site.client(kind, "app", sql).env("PGDATABASE", database));
    let made = sql("postgres", "CREATE DATABASE shop");
    assert!(made.ok, "{made:?}");
    for _ in 0..3 {
        assert_eq!(sql("shop", "SELECT current_database()").out, "shop");
    }
    // Idle sessions, returned by clients or prewarmed.
    let within = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'shop'";
    wait_until("sessions of the pool in the database", || stack.sql(within) != "0");
    let copied = sql("postgres", "CREATE DATABASE store TEMPLATE shop");
    assert!(copied.ok, "{copied:?}");
    let dropped = sql("postgres", "drop database shop");
    assert!(dropped.ok, "{dropped:?}");
}
