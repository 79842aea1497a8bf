//! Sessions that are kept: what the next client finds of the one before, which is nothing.

use countersign_core::name::Engine;
use countersign_e2e::{
    ClientSession, ProxyFixture, ServerKind, Stack, postgres, run, wait_until, ways,
};

fn each(pool: &str, test: impl Fn(&Stack, &ProxyFixture)) {
    for way in ways() {
        let (stack, site) = (Stack::up(way, &[]), ProxyFixture::default());
        let _proxy = site.serve(&stack, &stack.target("db", &["user = \"app\"", pool]), &[]);
        test(&stack, &site);
    }
}

fn open(stack: &Stack, site: &ProxyFixture) -> ClientSession {
    ClientSession::open(stack.way(), &mut site.session(stack.way(), "app"))
}

/// How many sessions wait for a client.
fn idle(site: &ProxyFixture) -> u64 {
    site.status()["targets"][0]["pool"]["idle"].as_u64().unwrap()
}

/// Whether the server has this session.
fn exists(stack: &Stack, session: &str) -> bool {
    let sql = match stack.way().engine() {
        Engine::Postgres => format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {session}"),
        Engine::Mariadb | Engine::Mysql => {
            format!("SELECT COUNT(*) FROM information_schema.processlist WHERE id = {session}")
        }
    };
    stack.sql(&sql) != "0"
}

/// What a client may leave behind: statements, and a question whose answer shows that one of them was there.
fn traces(way: ServerKind) -> (&'static [&'static str], &'static str, [&'static str; 2]) {
    match way.engine() {
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
            "SELECT to_regclass('pg_temp.mine') IS NULL, current_setting('statement_timeout'), current_setting('search_path'), \
             (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors WHERE name = 'mine'), \
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
            "SELECT @mine IS NULL, @@session.sql_mode LIKE '%ANSI%', @@session.autocommit, @@session.character_set_client, \
             IS_FREE_LOCK('mine'), DATABASE()",
            ["0\t1\t0\tlatin1\t0\tinformation_schema", "1\t0\t1\tutf8mb4\t1\tapp"],
        ),
    }
}

#[test]
fn the_next_client_has_the_session_and_none_of_its_traces() {
    each("pool = { min-idle = 0, reuse = true }", |stack, site| {
        let (statements, question, [before, after]) = traces(stack.way());
        let mut first = open(stack, site);
        let session = first.server_session();
        statements.iter().for_each(|sql| first.tell(sql));
        assert_eq!(first.ask(question), before, "{}", first.complaints());
        first.close();
        wait_until("that the session waits", || idle(site) == 1);
        let mut second = open(stack, site);
        assert_eq!(second.server_session(), session);
        assert_eq!(second.ask(question), after, "{}", second.complaints());
        if stack.way().engine() != Engine::Postgres {
            second.tell("SELECT * FROM mine");
            assert_eq!(second.ask("SELECT 1"), "1");
            assert!(second.complaints().contains("doesn't exist"), "{}", second.complaints());
        }
        assert_eq!(stack.decisions("app").len(), 1, "there was one login");
        second.close();
    });
}

#[test]
fn what_a_client_leaves_undone_goes_with_its_session() {
    each("pool = { min-idle = 0, reuse = true }", |stack, site| {
        // Goodbye within a transaction; none within one; none within a statement.
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
            // PostgreSQL notices only at the end of a statement that its client has gone, and is told no sooner than without a proxy.
            if !is_at_work {
                wait_until("the end of the session", || !exists(stack, &session));
            }
            second.kill();
        }
    });
}

#[test]
fn sessions_of_one_kind_are_not_those_of_another() {
    each("pool = { min-idle = 0, reuse = true }", |stack, site| {
        let way = stack.way();
        let mut first = open(stack, site);
        let session = first.server_session();
        first.close();
        wait_until("that the session waits", || idle(site) == 1);
        // Other parameters, or another database: another session.
        let mut command = site.session(way, "app");
        match way.engine() {
            Engine::Postgres => command.env("PGOPTIONS", "-c work_mem=8MB"),
            Engine::Mariadb | Engine::Mysql => command.arg("--database=information_schema"),
        };
        let mut other = ClientSession::open(way, &mut command);
        assert_ne!(other.server_session(), session);
        let mut same = open(stack, site);
        assert_eq!(same.server_session(), session);
        other.close();
        same.close();
    });
}

#[test]
fn a_client_has_a_session_that_was_ready_before_it_came() {
    each("pool = { min-idle = 1 }", |stack, site| {
        // One of the target's own kind waits, and from the first client on one of that client's.
        assert!(site.login(stack.way(), "app").ok);
        wait_until("that sessions wait", || idle(site) == 2);
        // Whatever happens to IAM: this one is in.
        stack.kill_authority();
        let mut first = open(stack, site);
        assert_eq!(first.ask("SELECT 1"), "1");
        stack.start();
        assert_eq!(first.ask("SELECT 1"), "1");
        wait_until("that another session waits", || idle(site) == 2);
        let session = first.server_session();
        first.close();
        let mut second = open(stack, site);
        assert_ne!(second.server_session(), session, "nothing is reused where nobody asked for it");
        second.close();
    });
}

#[test]
fn a_server_that_was_restarted_is_logged_in_to_anew() {
    each("pool = { min-idle = 2, reuse = true }", |stack, site| {
        assert!(site.login(stack.way(), "app").ok);
        wait_until("that sessions wait", || idle(site) >= 4);
        let mut open = open(stack, site);
        assert_eq!(open.ask("SELECT 1"), "1");
        let _down = stack.must(&["down"]);
        let said = site.login(stack.way(), "app");
        assert!(!said.ok, "{said:?}");
        stack.start();
        let said = site.login(stack.way(), "app");
        assert_eq!(said.out, "app", "{said:?}");
    });
}

#[test]
fn a_database_is_dropped_in_which_only_the_pool_is() {
    let Some(way) = postgres() else { return };
    let (stack, site) = (Stack::up(way, &[]), ProxyFixture::default());
    stack.sql("ALTER ROLE app CREATEDB");
    let _proxy = site.serve(
        &stack,
        &stack.target("db", &["user = \"app\"", "pool = { min-idle = 2, reuse = true }"]),
        &[],
    );
    let sql =
        |database: &str, sql: &str| run(site.client(way, "app", sql).env("PGDATABASE", database));
    let made = sql("postgres", "CREATE DATABASE shop");
    assert!(made.ok, "{made:?}");
    for _ in 0..3 {
        assert_eq!(sql("shop", "SELECT current_database()").out, "shop");
    }
    // Left by the clients, or logged in ahead of the next.
    let within = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'shop'";
    wait_until("that the pool has sessions there", || stack.sql(within) != "0");
    let copied = sql("postgres", "CREATE DATABASE store TEMPLATE shop");
    assert!(copied.ok, "{copied:?}");
    let dropped = sql("postgres", "drop database shop");
    assert!(dropped.ok, "{dropped:?}");
}
