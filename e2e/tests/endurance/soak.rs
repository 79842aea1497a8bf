//! Ten thousand logins to one server leak no memory, descriptors or threads in the server and the
//! authority.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use countersign_core::credentials::Credentials;
use countersign_core::name::Engine;
use countersign_e2e::{Stack, padded_session, token, wait_until, ways_of};

use crate::wire::{Answer, Server};
use crate::{alone, pid_of};

const ACCOUNT: &str = "app";

const CLIENTS: usize = 64;

/// Logins before the measurement. Threads, caches and the memory allocator's arenas reach most of
/// their size by then.
const WARM_UP: usize = 2_000;

/// Measured logins.
const LOGINS: usize = 8_000;

/// Length of the session token; the whole token is longer. AWS's session tokens have half that
/// length and more.
const SESSION_TOKEN: usize = 4_000;

/// Maximum growth of the memory in bytes per login, on average: less than a fifth of its token. It
/// is not 0, because each of the allocator's arenas grows at random for a long time: MariaDB grew
/// by up to 400 bytes per login after this warm-up, and by none after 40,000 logins.
const GROWTH: usize = 768;

/// Maximum variation of the number of the server's background threads, which MariaDB starts and
/// stops.
const POOL: usize = 16;

/// One of so many logins has a token with an invalid signature.
const TAMPERED: usize = 10;

#[test]
fn ten_thousand_logins_leak_nothing() {
    let _alone = alone();
    for kind in ways_of(&[Engine::Mariadb, Engine::Mysql]) {
        soak(&Stack::up(kind, &["--max-logins-per-second", "0"]));
    }
}

fn soak(stack: &Stack) {
    let engine = stack.kind().engine();
    let key = role_like(stack);
    let length = stack.token(&key, ACCOUNT).len();
    // Each login has its own thread of the server, which ends with the session.
    stack.sql("SET GLOBAL thread_cache_size = 0");
    let authority = stack.status()["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap();
    let processes =
        [Process::new("server", pid_of(stack), POOL), Process::new("authority", authority, 0)];

    let _warm = log_in(stack, &key, WARM_UP);
    let before = processes.each_ref().map(|process| process.at_rest(stack));
    let took = log_in(stack, &key, LOGINS);
    let rate = LOGINS as f64 / took.as_secs_f64();
    println!(
        "soak, {engine}: {} logins of {CLIENTS} clients with tokens of {length} characters, \
         {rate:.0} a second",
        WARM_UP + LOGINS
    );
    for (process, before) in processes.iter().zip(before) {
        let after = process.at_rest(stack);
        println!(
            "soak, {engine}, {}: after {WARM_UP} logins {before}; after {} {after}",
            process.name,
            WARM_UP + LOGINS
        );
        wait_until("the release of descriptors and threads", || {
            process.at_rest(stack).is_within(&before, process.pool)
        });
        let growth = after.resident.saturating_sub(before.resident);
        assert!(
            growth < LOGINS * GROWTH,
            "{}: memory grew by {} bytes per login",
            process.name,
            growth / LOGINS
        );
    }
}

/// Returns temporary credentials with a session token as long as a role's.
fn role_like(stack: &Stack) -> Credentials {
    padded_session(stack.directory(), SESSION_TOKEN * 3 / 4)
}

/// Logs in so many times with all clients in parallel, and asserts each result.
fn log_in(stack: &Stack, key: &Credentials, logins: usize) -> Duration {
    let (endpoint, env) = (stack.endpoint(), stack.env(&[]));
    let server = Server::new(&endpoint, Some(Path::new(&env["MYSQL_SSL_CA"])));
    let (next, now, begun) = (AtomicUsize::new(0), SystemTime::now(), Instant::now());
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while let Some(at) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < logins)
                {
                    // Tokens of the last ten minutes, each valid for fifteen.
                    let mut token =
                        token(key, &endpoint, ACCOUNT, now - Duration::from_secs(at as u64 % 600));
                    let tampered = at % TAMPERED == 0;
                    if tampered {
                        tamper(&mut token, at);
                    }
                    token.push('\0');
                    let answer = server.login(ACCOUNT, Some(token.as_bytes())).unwrap();
                    assert!(
                        if tampered { answer.is_denial() } else { answer == Answer::In },
                        "login {at}: {answer:?}"
                    );
                }
            });
        }
    });
    begun.elapsed()
}

/// Changes one digit of the signature at the end of a token.
fn tamper(token: &mut String, at: usize) {
    let position = token.len() - 1 - at % 64;
    let other = if token.as_bytes()[position] == b'0' { "1" } else { "0" };
    token.replace_range(position..=position, other);
}

/// Process that takes part in each login.
#[derive(Debug)]
struct Process {
    name: &'static str,
    pid: u32,
    /// Maximum variation of the number of its background threads.
    pool: usize,
    /// Usage before the first login.
    fresh: Usage,
}

impl Process {
    fn new(name: &'static str, pid: u32, pool: usize) -> Self {
        Self { name, pid, pool, fresh: Usage::of(pid) }
    }

    /// Returns the usage after the end of all sessions and their threads.
    fn at_rest(&self, stack: &Stack) -> Usage {
        // The one connection is the administrator's, which runs this query.
        wait_until("the end of every session", || {
            stack.sql("SHOW STATUS LIKE 'Threads_connected'").ends_with("\t1")
        });
        wait_until("the end of every login's thread", || {
            Usage::of(self.pid).threads <= self.fresh.threads + self.pool
        });
        Usage::of(self.pid)
    }
}

/// Resource usage of a process.
#[derive(Debug)]
struct Usage {
    /// Resident memory in bytes.
    resident: usize,
    descriptors: usize,
    threads: usize,
}

impl Usage {
    fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let resident = status.lines().find_map(|line| {
            line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<usize>().ok()
        });
        let count = |what| fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
        Self {
            resident: resident.unwrap() * 1024,
            descriptors: count("fd"),
            threads: count("task"),
        }
    }

    fn is_within(&self, before: &Self, pool: usize) -> bool {
        self.descriptors <= before.descriptors && self.threads <= before.threads + pool
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} kB resident, {} descriptors, {} threads",
            self.resident / 1024,
            self.descriptors,
            self.threads
        )
    }
}
