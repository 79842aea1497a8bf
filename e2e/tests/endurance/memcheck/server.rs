//! A stack's server under valgrind.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use countersign_core::name::Engine;
use countersign_e2e::{Stack, wait_until};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::log::Report;
use crate::pid_of;

/// Suppresses a write of MySQL's stack traces that reads unmapped memory on purpose.
const SUPPRESSION: &str = "{\n   a stack that is probed\n   Memcheck:Param\n   write(buf)\n\
    \x20  fun:syscall\n   obj:*libunwind.so*\n}\n";

/// Time limit of a server's start, which takes thirty times as long under valgrind, on one core.
const START: Duration = Duration::from_secs(180);

/// Options of memcheck. It keeps the debug information of unloaded libraries, since the plugin is
/// unloaded.
const OPTIONS: [&str; 7] = [
    "--xml=yes",
    "--leak-check=full",
    "--show-leak-kinds=definite",
    "--keep-debuginfo=yes",
    "--child-silent-after-fork=yes",
    "--num-callers=40",
    "--fair-sched=try",
];

/// Server under valgrind, killed on drop.
pub struct CheckedServer {
    child: Child,
    report: PathBuf,
}

impl CheckedServer {
    /// Stops the stack's server and starts it again under valgrind, with the same user and
    /// settings. `root` is the directory below which it is installed.
    pub fn start(stack: &Stack, root: &Path) -> Self {
        let engine = stack.kind().engine();
        let home = stack.directory().join("instances").join(engine.to_string());
        let before = i32::try_from(pid_of(stack)).ok().and_then(Pid::from_raw).unwrap();
        kill_process(before, Signal::TERM).unwrap();
        wait_until("the end of the server", || test_kill_process(before).is_err());

        let run = home.join("run");
        let (report, suppressions) =
            (run.join("memcheck.xml"), stack.directory().join("lib/memcheck.supp"));
        fs::write(&suppressions, SUPPRESSION).unwrap();
        let log = OpenOptions::new().append(true).open(home.join("server.log")).unwrap();
        let owner = fs::metadata(&run).unwrap();
        let mut command = Command::new("valgrind");
        command.args(OPTIONS).arg(format!("--suppressions={}", suppressions.display()));
        command.arg(format!("--xml-file={}", report.display()));
        command
            .args(program(engine, root))
            .arg(format!("--defaults-file={}", home.join("etc/my.cnf").display()))
            .args(options(engine, root));
        command
            .current_dir(&run)
            .env("HOME", &run)
            .env("LC_ALL", "C")
            .uid(owner.uid())
            .gid(owner.gid());
        let child = command
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .unwrap();
        let mut checked = Self { child, report };
        let deadline = Instant::now() + START;
        while !countersign_e2e::run(&mut stack.local(&["mysql", "--", "--execute", "SELECT 1"])).ok
        {
            let ended = checked.child.try_wait().unwrap();
            let output = || fs::read_to_string(home.join("server.log")).unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "the server under valgrind accepts no logins (exit status {ended:?}): {}",
                output()
            );
            thread::sleep(Duration::from_millis(100));
        }
        checked
    }

    /// Shuts the server down, and returns valgrind's report.
    pub fn stop(mut self) -> Report {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        wait_until("the end of the server under valgrind", || {
            self.child.try_wait().unwrap().is_some()
        });
        Report::parse(&fs::read_to_string(&self.report).unwrap())
            .unwrap_or_else(|why| panic!("valgrind's report {why}"))
    }
}

impl Drop for CheckedServer {
    fn drop(&mut self) {
        // The process has ended already after `stop`.
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Returns the program and the arguments before its own options. An unpacked server runs with its
/// own loader.
fn program(engine: Engine, root: &Path) -> Vec<PathBuf> {
    if engine == Engine::Mariadb {
        return vec![root.join("usr/sbin/mariadbd")];
    }
    let libraries = root.join("usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
    let loader = fs::read_dir(&libraries).unwrap().map(|entry| entry.unwrap().path());
    let loader = loader.into_iter().find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-linux-"))
    });
    vec![loader.unwrap(), "--library-path".into(), libraries, root.join("usr/sbin/mysqld")]
}

/// Returns options for a small InnoDB, and for a plugin that can be unloaded.
fn options(engine: Engine, root: &Path) -> Vec<String> {
    let mut options =
        vec!["--innodb-buffer-pool-size=16M".to_owned(), "--awsauthenticationplugin=ON".to_owned()];
    match engine {
        // If the option is known: MariaDB reserves the address space for the maximum size of the
        // buffer pool.
        Engine::Mariadb => options.push("--loose-innodb-buffer-pool-size-max=16M".to_owned()),
        _ => {
            let usr = root.join("usr");
            options.push("--performance-schema=OFF".to_owned());
            options.push(format!("--basedir={}", usr.display()));
            options.push(format!("--lc-messages-dir={}", usr.join("share/mysql").display()));
        }
    }
    options
}
