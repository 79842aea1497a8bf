//! Ten thousand logins into one server: nothing of them stays behind, in the server or in the authority.

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

/// What threads, caches and the memory allocator's arenas grow to is mostly reached by then.
const WARM_UP: usize = 2_000;

/// What is measured.
const LOGINS: usize = 8_000;

/// How long the session token is; all of a token is longer. AWS's are of half that length and more.
const SESSION_TOKEN: usize = 4_000;

/// How many bytes a login may leave behind, on average: less than a fifth of its token. It is not 0, because each of the
/// allocator's arenas fills up at random and for long: up to 400 bytes a login have been seen of MariaDB after this warm-up,
/// and none after 40,000 logins.
const GROWTH: usize = 768;

/// How many threads more than at another time a server may have of its own accord: MariaDB's background threads come and go.
const POOL: usize = 16;

/// One in so many brings a token whose signature is not right.
const TAMPERED: usize = 10;

#[test]
fn ten_thousand_logins_leave_nothing_behind() {
    let _alone = alone();
    for way in ways_of(&[Engine::Mariadb, Engine::Mysql]) {
        soak(&Stack::up(way, &["--max-logins-per-second", "0"]));
    }
}

fn soak(stack: &Stack) {
    let engine = stack.way().engine();
    let key = role_like(stack);
    let length = stack.token(&key, ACCOUNT).len();
    // A thread of the server ends with its session: each login has its own.
    stack.sql("SET GLOBAL thread_cache_size = 0");
    let authority = stack.status()["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap();
    let processes =
        [Process::new("server", pid_of(stack), POOL), Process::new("authority", authority, 0)];

    let _warm = log_in(stack, &key, WARM_UP);
    let before = processes.each_ref().map(|process| process.at_rest(stack));
    let took = log_in(stack, &key, LOGINS);
    let rate = LOGINS as f64 / took.as_secs_f64();
    println!(
        "soak, {engine}: {} logins of {CLIENTS} clients with tokens of {length} characters, {rate:.0} a second",
        WARM_UP + LOGINS
    );
    for (process, before) in processes.iter().zip(before) {
        let after = process.at_rest(stack);
        println!(
            "soak, {engine}, {}: after {WARM_UP} logins {before}; after {} {after}",
            process.name,
            WARM_UP + LOGINS
        );
        wait_until("the end of all that logins opened and started", || {
            process.at_rest(stack).is_within(&before, process.pool)
        });
        let growth = after.resident.saturating_sub(before.resident);
        assert!(
            growth < LOGINS * GROWTH,
            "{}: {} bytes a login stay behind",
            process.name,
            growth / LOGINS
        );
    }
}

/// Temporary credentials as those of a role are, with a session token as long.
fn role_like(stack: &Stack) -> Credentials {
    padded_session(stack.directory(), SESSION_TOKEN * 3 / 4)
}

/// Logs in so many times, all clients at once, and has each answer be the right one.
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
                    // Ten minutes' worth of tokens, each good for fifteen.
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

/// Changes one digit of the signature, which a token ends with.
fn tamper(token: &mut String, at: usize) {
    let place = token.len() - 1 - at % 64;
    let other = if token.as_bytes()[place] == b'0' { "1" } else { "0" };
    token.replace_range(place..=place, other);
}

/// A process that has a part in each login.
#[derive(Debug)]
struct Process {
    name: &'static str,
    pid: u32,
    /// How many more threads than at another time it may have of its own accord.
    pool: usize,
    /// Before the first login.
    fresh: Usage,
}

impl Process {
    fn new(name: &'static str, pid: u32, pool: usize) -> Self {
        Self { name, pid, pool, fresh: Usage::of(pid) }
    }

    /// What it has once every session has ended, and its thread with it.
    fn at_rest(&self, stack: &Stack) -> Usage {
        // The one is the administrator's, who asks.
        wait_until("the end of every session", || {
            stack.sql("SHOW STATUS LIKE 'Threads_connected'").ends_with("\t1")
        });
        wait_until("the end of every login's thread", || {
            Usage::of(self.pid).threads <= self.fresh.threads + self.pool
        });
        Usage::of(self.pid)
    }
}

/// What a process has of the machine.
#[derive(Debug)]
struct Usage {
    /// In bytes.
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
