//! A server that becomes read-only while it has sessions, as a demoted writer does.

use countersign_core::name::Engine;
use countersign_e2e::{ClientSession, ProxyFixture, Stack, run, wait_until, ways};

/// Makes the server read-only or writable.
fn set_read_only(stack: &Stack, read_only: bool) {
    let on = if read_only { "ON" } else { "OFF" };
    match stack.kind().engine() {
        Engine::Postgres => {
            stack.sql(&format!("ALTER SYSTEM SET default_transaction_read_only = {on}"));
            stack.sql("SELECT pg_reload_conf()");
        }
        Engine::Mariadb | Engine::Mysql => _ = stack.sql(&format!("SET GLOBAL read_only = {on}")),
    }
}

/// Returns the number of client sessions.
fn clients(site: &ProxyFixture) -> usize {
    site.status()["sessions"].as_array().map_or(0, Vec::len)
}

#[test]
fn sessions_end_when_the_server_is_no_longer_the_writer() {
    for kind in ways() {
        let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
        let proxy = site.serve(
            &stack,
            &stack.target(
                "db",
                &["user = \"app\"", "target-session-attrs = \"read-write\"", "pool = \"off\""],
            ),
            &[],
        );
        let mut client = ClientSession::open(kind, &mut site.session(kind, "app"));
        let session = client.server_session();
        // The proxy checks the server in a session of its own, which the server lists.
        let others = match kind.engine() {
            Engine::Postgres => format!(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND pid <> {session}"
            ),
            Engine::Mariadb | Engine::Mysql => {
                format!(
                    "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app' AND \
                     id <> {session}"
                )
            }
        };
        wait_until("the session that checks the writer", || stack.sql(&others) == "1");

        set_read_only(&stack, true);
        _ = proxy.says("the server no longer accepts writes");
        wait_until("the end of the client's session", || clients(&site) == 0);
        let refused = run(&mut site.client(kind, "app", "SELECT 1"));
        assert!(
            !refused.ok && refused.err.contains("does not accept writes"),
            "{kind:?}: {refused:?}"
        );

        set_read_only(&stack, false);
        wait_until("a successful login", || run(&mut site.client(kind, "app", "SELECT 1")).ok);
    }
}
