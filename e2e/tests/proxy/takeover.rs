//! Zero-downtime restart: a proxy takes over the listeners and sessions of another.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use countersign_e2e::{
    ClientSession, CommandOutput, ProxyFixture, Stack, postgres, protocols, run, wait_until,
};
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn takeover_refuses_no_connection() {
    for kind in protocols() {
        let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
        let target = stack
            .target("db", &["user = \"app\"", "pool = { reuse = true }", "logins-per-second = 0"]);
        let mut proxy = site.serve(&stack, &target, &["--health-check"]);
        let mut session = ClientSession::open(kind, &mut site.session(kind, "app"));
        let number = session.server_session();
        let (over, count) = (AtomicBool::new(false), AtomicU32::new(0));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let output = site.login(kind, "app");
                        if output.out != "app" {
                            over.store(true, Ordering::Relaxed);
                            panic!(
                                "refused after {} logins: {output:?}",
                                count.load(Ordering::Relaxed)
                            );
                        }
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let more = |least: u32| {
                let so_far = count.load(Ordering::Relaxed);
                wait_until("some logins", || {
                    over.load(Ordering::Relaxed) || count.load(Ordering::Relaxed) >= so_far + least
                });
            };
            let mut before = None;
            for _ in 0..2 {
                more(2);
                let next = site.start(&mut site.command(&stack, &["--health-check", "--takeover"]));
                let old = std::mem::replace(&mut proxy, next);
                more(2);
                assert_eq!(site.status()["pid"].as_u64(), Some(u64::from(proxy.pid())));
                assert_eq!(site.get("/readiness").0, 200);
                // The first proxy still has a session; the second has none, and ends.
                match before.take() {
                    None => before = Some(old),
                    Some(first) => {
                        assert_eq!(old.end(), 0);
                        before = Some(first);
                    }
                }
            }
            over.store(true, Ordering::Relaxed);
            assert_eq!(session.server_session(), number);
            session.close();
            assert_eq!(
                before.map(countersign_e2e::Proxy::end),
                Some(0),
                "the first proxy ends after its last session"
            );
        });
        assert_eq!(site.login(kind, "app").out, "app");
    }
}

#[test]
fn cancel_requests_reach_sessions_of_the_predecessor() {
    let Some(kind) = postgres() else { return };
    let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
    let first = site.serve(&stack, &stack.target("db", &["user = \"app\""]), &[]);
    let mut client = site.client(kind, "app", "SELECT pg_sleep(600) /*mine*/");
    let client = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let running = || {
        stack.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%/*mine*/' \
             AND state = 'active'",
        )
    };
    wait_until("the statement", || running() == "1");
    let _second = site.start(&mut site.command(&stack, &["--takeover"]));
    kill_process(Pid::from_raw(i32::try_from(client.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    let output = CommandOutput::from(client.wait_with_output().unwrap());
    assert!(output.err.contains("canceling statement due to user request"), "{output:?}");
    assert_eq!(first.end(), 0);
}

#[test]
fn failed_takeover_leaves_the_predecessor_running() {
    let Some(kind) = postgres() else { return };
    let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
    let mut first = site.serve(&stack, &stack.target("db", &["user = \"app\""]), &[]);
    let _revoked = stack.must(&["user", "revoke", "app"]);
    let output = run(&mut site.command(&stack, &["--takeover", "--run-connection-test"]));
    assert!(!output.ok && output.err.contains("rds-db:connect"), "{output:?}");
    let _granted = stack.must(&["user", "grant", "app"]);
    wait_until("a login at the predecessor", || site.login(kind, "app").ok);
    assert_eq!(first.ended(), None);
    assert_eq!(site.status()["pid"].as_u64(), Some(u64::from(first.pid())));
    // Without a predecessor, --takeover starts normally.
    let elsewhere = ProxyFixture::default();
    elsewhere.write("countersign.toml", &stack.target("db", &["user = \"app\""]));
    let _alone = elsewhere.start(&mut elsewhere.command(&stack, &["--takeover"]));
    assert_eq!(elsewhere.login(kind, "app").out, "app");
}

/// Returns the command as systemd starts it: with a listening socket of this name as the first
/// descriptor after the standard three. Source: sd_listen_fds(3).
fn activated(command: &Command, name: &str, socket: &TcpListener) -> Command {
    let script =
        "export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=$0; exec 3<&0 </dev/null; exec \"$@\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, name]).arg(command.get_program()).args(command.get_args());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
        .current_dir(command.get_current_dir().unwrap())
        .stdin(OwnedFd::from(socket.try_clone().unwrap()));
    shell
}

#[test]
fn takeover_includes_unix_and_systemd_sockets() {
    let Some(kind) = postgres() else { return };
    let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
    let file = site.path(".s.PGSQL.5432");
    let socket = TcpListener::bind((site.address(), 5432)).unwrap();
    let listen = format!("listen = [\"unix:{}\", \"systemd:orders\"]", file.display());
    site.write("countersign.toml", &stack.target("db", &["user = \"app\"", &listen]));
    let by_file =
        || run(site.client(kind, "app", kind.whoami()).env("PGHOST", file.parent().unwrap())).out;
    let both = || assert_eq!([by_file(), site.login(kind, "app").out], ["app"; 2]);

    let first = site.start(&mut activated(&site.command(&stack, &[]), "orders", &socket));
    both();
    let mut session = ClientSession::open(kind, &mut site.session(kind, "app"));
    let number = session.server_session();
    let second = site.start(&mut site.command(&stack, &["--takeover"]));
    both();
    assert_eq!(session.server_session(), number);
    session.close();
    assert_eq!(first.end(), 0);
    both();

    // Without a proxy, clients wait at systemd's socket.
    second.signal(Signal::TERM);
    assert_eq!(second.end(), 143);
    assert!(!file.exists());
    let mut client = site.client(kind, "app", kind.whoami());
    let waiting = client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _third = site.start(&mut activated(&site.command(&stack, &[]), "orders", &socket));
    assert_eq!(CommandOutput::from(waiting.wait_with_output().unwrap()).out, "app");
    both();
}
