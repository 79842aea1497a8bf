//! The plugin under valgrind's memcheck, in a real server that asks a real authority.
//!
//! MariaDB of the system runs as it is. MySQL needs a tree of its own, which `COUNTERSIGN_MEMCHECK_MYSQL` names: unpacked as
//! `countersign local install` does it, with `valgrind` and `libc6-dbg` besides, since memcheck has to find the symbols of the
//! C library and of its loader that run there (a link in `.debug/` beside them for each, which leads to the file of its build id).

mod log;
mod server;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use countersign_core::endpoint::Endpoint;
use countersign_e2e::{ServerKind, Stack, run, token};

use crate::alone;
use crate::fake::Fake;
use crate::wire::{Answer, Server};
use server::Checked;

const ACCOUNT: &str = "app";

#[test]
fn the_plugin_makes_no_error_of_memory_in_mariadb() {
    let _alone = alone();
    if is_possible() {
        check(ServerKind::Mariadb, Path::new("/"));
    }
}

#[test]
fn the_plugin_makes_no_error_of_memory_in_mysql() {
    let _alone = alone();
    let Some(tree) = std::env::var_os("COUNTERSIGN_MEMCHECK_MYSQL") else {
        println!(
            "skipped: MySQL under valgrind, which needs a tree with symbols in COUNTERSIGN_MEMCHECK_MYSQL"
        );
        return;
    };
    if is_possible() {
        check(ServerKind::Mysql, Path::new(&tree));
    }
}

fn is_possible() -> bool {
    let root = rustix::process::geteuid().is_root();
    let valgrind = Command::new("valgrind")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !root || !valgrind {
        println!(
            "skipped: memcheck, which needs {}",
            if root { "valgrind" } else { "root, to run a server as another user" }
        );
    }
    root && valgrind
}

/// Runs the server of a stack once more, under valgrind, through all that a login can be.
fn check(way: ServerKind, root: &Path) {
    let stack = Stack::up(way, &[]);
    let server = Checked::start(&stack, root);
    let matrix = Matrix::of(&stack);
    matrix.each_token();
    matrix.each_key();
    matrix.each_packet();
    matrix.loaded_anew();
    matrix.each_verifier();
    let report = server.stop();
    let ours = report.ours();
    assert!(ours.is_empty(), "{} errors in the plugin:\n{}", ours.len(), ours.join("\n"));
    println!(
        "memcheck, {}: {} records, none of them in the plugin",
        way.engine(),
        report.records()
    );
}

/// The logins.
struct Matrix<'a> {
    stack: &'a Stack,
    endpoint: Endpoint,
    server: Server,
    without_tls: Server,
    good: String,
}

impl<'a> Matrix<'a> {
    fn of(stack: &'a Stack) -> Self {
        let (endpoint, env) = (stack.endpoint(), stack.env(&[]));
        let server = Server::new(&endpoint, Some(Path::new(&env["MYSQL_SSL_CA"])));
        let without_tls = Server::new(&endpoint, None);
        let good = stack.token(&stack.credentials(&[]), ACCOUNT);
        Self { stack, endpoint, server, without_tls, good }
    }

    fn login(&self, user: &str, password: &str) -> Answer {
        self.server.login(user, Some(format!("{password}\0").as_bytes())).unwrap()
    }

    fn let_in(&self) {
        assert_eq!(self.login(ACCOUNT, &self.good), Answer::In);
    }

    /// A login that the authority refuses, for this reason.
    fn denied(&self, user: &str, password: &str, class: &str) {
        let answer = self.login(user, password);
        assert!(answer.is_denial(), "{class}: {answer:?}");
        assert_eq!(self.stack.last_class(user).as_deref(), Some(class));
    }

    /// A login that comes to nothing, whoever refuses it.
    fn refused(&self, what: &str, packet: &[u8]) {
        let answer = self.server.login(ACCOUNT, Some(packet)).unwrap();
        assert!(answer.is_denial(), "{what}: {answer:?}");
    }

    fn each_token(&self) {
        self.let_in();
        let (key, here, now) = (self.stack.credentials(&[]), &self.endpoint, SystemTime::now());
        let minutes = |count: u64| Duration::from_secs(60 * count);
        let at = |endpoint: &Endpoint, when| token(&key, endpoint, ACCOUNT, when);
        let elsewhere = Endpoint { port: here.port ^ 1, ..here.clone() };
        let other_host = Endpoint { host: "db.example.com".parse().unwrap(), ..here.clone() };
        let other_region = Endpoint { region: "eu-west-1".parse().unwrap(), ..here.clone() };
        let flipped = if self.good.ends_with('0') { "1" } else { "0" };
        for (password, class) in [
            (at(here, now - minutes(16)), "expired"),
            (at(here, now + minutes(6)), "not-yet-valid"),
            (at(&elsewhere, now), "wrong-port"),
            (at(&other_host, now), "wrong-host"),
            (at(&other_region, now), "wrong-region"),
            (token(&key, here, "another", now), "wrong-user"),
            (format!("{}{flipped}", &self.good[..self.good.len() - 1]), "signature-mismatch"),
            (self.good.replace(key.access_key_id.as_str(), "AKIANOBODY"), "unknown-key"),
            ("hunter2".to_owned(), "malformed"),
        ] {
            self.denied(ACCOUNT, &password, class);
        }
        let temporary = self.stack.token(&self.stack.credentials(&["--temporary"]), ACCOUNT);
        assert_eq!(self.login(ACCOUNT, &temporary), Answer::In);
    }

    fn each_key(&self) {
        let _made = self.stack.must(&["user", "create", "jane", "--no-policy"]);
        let good = self.stack.token(&self.stack.credentials(&["--user", "jane"]), "jane");
        self.denied("jane", &good, "not-allowed");
        let _granted = self.stack.must(&["user", "grant", "jane"]);
        let _disabled = self.stack.must(&["user", "disable-key", "jane"]);
        self.denied("jane", &good, "inactive-key");
    }

    /// What stands in a token's place.
    fn each_packet(&self) {
        self.refused("nothing at all", b"");
        self.refused("an empty token", b"\0");
        self.refused("no UTF-8", b"\xff\xc3\x28\xa0\x80 not UTF-8\xf0\x28\x8c\0");
        self.refused("without the final NUL", b"hunter2");
        self.refused("a NUL in the midst", b"hunter2\0hunter3\0");
        for length in [8_000, 20_000, 65_534, 65_535, 65_536, 70_000] {
            let mut packet = vec![b'a'; length];
            packet.push(0);
            self.refused(&format!("{length} characters"), &packet);
        }
        let cut_off = self.server.login(ACCOUNT, Some(self.good.as_bytes())).unwrap();
        assert_eq!(cut_off, Answer::In, "a token without its NUL is one");
        let clear =
            self.without_tls.login(ACCOUNT, Some(format!("{}\0", self.good).as_bytes())).unwrap();
        assert!(clear.is_denial(), "{clear:?}");
        assert_eq!(self.server.login(ACCOUNT, None).unwrap(), Answer::HungUp);
        self.let_in();
    }

    /// The plugin is unloaded and loaded while accounts use it; statements with what it does not take.
    fn loaded_anew(&self) {
        let error = |sql: &str| {
            let said = run(&mut self.stack.local(&["mysql", "--", "--execute", sql]));
            assert!(!said.ok && said.err.contains("ERROR"), "{sql}: {said:?}");
        };
        error("CREATE USER bad IDENTIFIED WITH AWSAuthenticationPlugin AS 'rds'");
        error("CREATE USER bad IDENTIFIED WITH AWSAuthenticationPlugin BY 'hunter2'");
        self.stack.sql("UNINSTALL PLUGIN AWSAuthenticationPlugin");
        let answer = self.login(ACCOUNT, &self.good);
        assert!(answer != Answer::In, "{answer:?}");
        self.stack.sql("INSTALL PLUGIN AWSAuthenticationPlugin SONAME 'mysql_countersign.so'");
        self.let_in();
    }

    /// Without an authority, and with a fake in its place. It comes last: the authority stays away.
    fn each_verifier(&self) {
        self.stack.kill_authority();
        let good = format!("{}\0", self.good);
        self.refused("nobody listens", good.as_bytes());
        for mode in ["hang", "garbage", "close"] {
            let _fake = Fake::start(self.stack, mode);
            self.refused(mode, good.as_bytes());
        }
        let _fake = Fake::start(self.stack, "allow");
        self.let_in();
    }
}
