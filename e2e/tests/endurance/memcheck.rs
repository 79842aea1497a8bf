//! The plugin under valgrind's memcheck, in a real server with a real authority.
//!
//! MariaDB is the system's. MySQL needs a directory tree of its own, which
//! `COUNTERSIGN_MEMCHECK_MYSQL` names: unpacked as by `countersign local install`, plus `valgrind`
//! and `libc6-dbg`, since memcheck needs the symbols of the C library and of its loader in that
//! tree (a link for each in `.debug/` beside them, which leads to the file of its build id).

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
use server::CheckedServer;

const ACCOUNT: &str = "app";

#[test]
fn plugin_has_no_memory_errors_in_mariadb() {
    let _alone = alone();
    if is_possible() {
        check(ServerKind::Mariadb, Path::new("/"));
    }
}

#[test]
fn plugin_has_no_memory_errors_in_mysql() {
    let _alone = alone();
    let Some(tree) = std::env::var_os("COUNTERSIGN_MEMCHECK_MYSQL") else {
        println!(
            "skipped: MySQL under valgrind, which needs a tree with symbols in \
             COUNTERSIGN_MEMCHECK_MYSQL"
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

/// Restarts the server of a stack under valgrind, and runs all kinds of logins.
fn check(kind: ServerKind, root: &Path) {
    let stack = Stack::up(kind, &[]);
    let server = CheckedServer::start(&stack, root);
    let matrix = Matrix::of(&stack);
    matrix.each_token();
    matrix.each_key();
    matrix.each_packet();
    matrix.plugin_reload();
    matrix.each_verifier();
    let report = server.stop();
    let ours = report.ours();
    assert!(ours.is_empty(), "{} errors in the plugin:\n{}", ours.len(), ours.join("\n"));
    println!(
        "memcheck, {}: {} records, none of them in the plugin",
        kind.engine(),
        report.records()
    );
}

/// All kinds of logins.
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

    fn assert_accepted(&self) {
        assert_eq!(self.login(ACCOUNT, &self.good), Answer::In);
    }

    /// Asserts that the authority denies a login with this class.
    fn assert_denied(&self, user: &str, password: &str, class: &str) {
        let answer = self.login(user, password);
        assert!(answer.is_denial(), "{class}: {answer:?}");
        assert_eq!(self.stack.last_class(user).as_deref(), Some(class));
    }

    /// Asserts that the plugin or the authority denies a login.
    fn assert_rejected(&self, what: &str, packet: &[u8]) {
        let answer = self.server.login(ACCOUNT, Some(packet)).unwrap();
        assert!(answer.is_denial(), "{what}: {answer:?}");
    }

    fn each_token(&self) {
        self.assert_accepted();
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
            self.assert_denied(ACCOUNT, &password, class);
        }
        let temporary = self.stack.token(&self.stack.credentials(&["--temporary"]), ACCOUNT);
        assert_eq!(self.login(ACCOUNT, &temporary), Answer::In);
    }

    fn each_key(&self) {
        let _made = self.stack.must(&["user", "create", "jane", "--no-policy"]);
        let good = self.stack.token(&self.stack.credentials(&["--user", "jane"]), "jane");
        self.assert_denied("jane", &good, "not-allowed");
        let _granted = self.stack.must(&["user", "grant", "jane"]);
        let _disabled = self.stack.must(&["user", "disable-key", "jane"]);
        self.assert_denied("jane", &good, "inactive-key");
    }

    /// Sends malformed packets in place of a token.
    fn each_packet(&self) {
        self.assert_rejected("empty packet", b"");
        self.assert_rejected("empty token", b"\0");
        self.assert_rejected("invalid UTF-8", b"\xff\xc3\x28\xa0\x80 not UTF-8\xf0\x28\x8c\0");
        self.assert_rejected("missing final NUL", b"hunter2");
        self.assert_rejected("embedded NUL", b"hunter2\0hunter3\0");
        for length in [8_000, 20_000, 65_534, 65_535, 65_536, 70_000] {
            let mut packet = vec![b'a'; length];
            packet.push(0);
            self.assert_rejected(&format!("{length} characters"), &packet);
        }
        let cut_off = self.server.login(ACCOUNT, Some(self.good.as_bytes())).unwrap();
        assert_eq!(cut_off, Answer::In, "a token without its final NUL is accepted");
        let clear =
            self.without_tls.login(ACCOUNT, Some(format!("{}\0", self.good).as_bytes())).unwrap();
        assert!(clear.is_denial(), "{clear:?}");
        assert_eq!(self.server.login(ACCOUNT, None).unwrap(), Answer::HungUp);
        self.assert_accepted();
    }

    /// Runs statements that the plugin rejects, and reloads it while accounts use it.
    fn plugin_reload(&self) {
        let error = |sql: &str| {
            let output = run(&mut self.stack.local(&["mysql", "--", "--execute", sql]));
            assert!(!output.ok && output.err.contains("ERROR"), "{sql}: {output:?}");
        };
        error("CREATE USER bad IDENTIFIED WITH AWSAuthenticationPlugin AS 'rds'");
        error("CREATE USER bad IDENTIFIED WITH AWSAuthenticationPlugin BY 'hunter2'");
        self.stack.sql("UNINSTALL PLUGIN AWSAuthenticationPlugin");
        let answer = self.login(ACCOUNT, &self.good);
        assert!(answer != Answer::In, "{answer:?}");
        self.stack.sql("INSTALL PLUGIN AWSAuthenticationPlugin SONAME 'mysql_countersign.so'");
        self.assert_accepted();
    }

    /// Logs in without a verifier, and with fake ones. It runs last, since it stops the authority.
    fn each_verifier(&self) {
        self.stack.kill_authority();
        let good = format!("{}\0", self.good);
        self.assert_rejected("no verifier listens", good.as_bytes());
        for mode in ["hang", "garbage", "close"] {
            let _fake = Fake::start(self.stack, mode);
            self.assert_rejected(mode, good.as_bytes());
        }
        let _fake = Fake::start(self.stack, "allow");
        self.assert_accepted();
    }
}
