//! A server that stops taking writes while clients are on it, as one does that is demoted.

use countersign_core::name::Engine;
use countersign_e2e::{ClientSession, ProxyFixture, Stack, run, wait_until, ways};

/// Makes the server refuse writes, or take them again.
fn set_read_only(stack: &Stack, read_only: bool) {
    let on = if read_only { "ON" } else { "OFF" };
    match stack.way().engine() {
        Engine::Postgres => {
            stack.sql(&format!("ALTER SYSTEM SET default_transaction_read_only = {on}"));
            stack.sql("SELECT pg_reload_conf()");
        }
        Engine::Mariadb | Engine::Mysql => _ = stack.sql(&format!("SET GLOBAL read_only = {on}")),
    }
}

/// How many clients have a session.
fn clients(site: &ProxyFixture) -> usize {
    site.status()["sessions"].as_array().map_or(0, Vec::len)
}

#[test]
fn clients_leave_a_server_that_is_the_writer_no_longer() {
    for way in ways() {
        let (stack, site) = (Stack::up(way, &[]), ProxyFixture::default());
        let proxy = site.serve(
            &stack,
            &stack.target(
                "db",
                &["user = \"app\"", "target-session-attrs = \"read-write\"", "pool = \"off\""],
            ),
            &[],
        );
        let mut client = ClientSession::open(way, &mut site.session(way, "app"));
        let session = client.server_session();
        // That a session of the proxy's own looks after the server is seen by it being there.
        let others = match way.engine() {
            Engine::Postgres => format!(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND pid <> {session}"
            ),
            Engine::Mariadb | Engine::Mysql => {
                format!(
                    "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app' AND id <> {session}"
                )
            }
        };
        wait_until("that the writer is watched", || stack.sql(&others) == "1");

        set_read_only(&stack, true);
        _ = proxy.says("the server no longer accepts writes");
        wait_until("that the client is sent away", || clients(&site) == 0);
        let refused = run(&mut site.client(way, "app", "SELECT 1"));
        assert!(!refused.ok && refused.err.contains("does not accept writes"), "{way:?}: {refused:?}");

        set_read_only(&stack, false);
        wait_until("that clients come in again", || {
            run(&mut site.client(way, "app", "SELECT 1")).ok
        });
    }
}
