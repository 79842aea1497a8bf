//! What goes wrong around the verifier lets nobody in.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use countersign_core::name::Engine;
use countersign_e2e::{ServerKind, Stack, countersign, programs, run, wait_until, ways};

/// How many logins are tried while the authority is killed.
const LOGINS: usize = 1000;

/// A fake in the verifier's place, as user `uid`.
struct Fake(Child);

impl Fake {
    /// `program` is a copy that any user can run: the build directory may lie where only root gets to.
    fn start(program: &Path, socket: &Path, mode: &str, uid: u32) -> Self {
        match std::fs::remove_file(socket) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                panic!("{}: {error}", socket.display())
            }
            _ => {}
        }
        let mut command = Command::new(program);
        let mut child =
            command.arg(socket).arg(mode).uid(uid).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_verifier_that_is_down_hangs_lies_or_is_another_s_lets_nobody_in() {
    // LDAP has no way to tell who answers: docs/postgresql.md says so.
    for way in ways().into_iter().filter(|way| *way != ServerKind::Ldap) {
        refuses_without_a_verifier(way);
    }
}

fn refuses_without_a_verifier(way: ServerKind) {
    let stack = Stack::up(way, &[]);
    let good = stack.token(&stack.credentials(&[]), "app");
    assert!(stack.login("app", &good).ok);
    let prototype = stack.client("app", &good, "SELECT 1");
    let server = process_of(&stack, way);
    stack.kill_authority();
    let socket = stack.directory().join("run/verifier.sock");
    let program = stack.directory().join("lib/fake-verifier");
    std::fs::copy(programs().join("fake-verifier"), &program).unwrap();
    let refused = |what: &str| {
        let said = run(&mut copy(&prototype));
        assert!(!said.ok && said.err.contains(&way.denial("app")), "{way:?}, {what}: {said:?}");
    };
    refused("down, the socket left behind");
    // The server's own user, or root: who else would lay a socket there?
    let trusted = rustix::process::geteuid().as_raw();
    for mode in ["hang", "garbage", "close"] {
        let _fake = Fake::start(&program, &socket, mode, trusted);
        refused(mode);
    }
    if trusted == 0 {
        // In proper form, from a user who is not trusted: the directory is opened for the sake of the test.
        let directory = socket.parent().unwrap();
        std::fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .unwrap();
        let _fake = Fake::start(&program, &socket, "allow", 65_534);
        refused("another user's socket");
    }
    std::fs::remove_file(&socket).unwrap();
    refused("the socket missing");
    // The same answer from a trusted user lets in: the fake is a real one in all but whom it belongs to.
    {
        let _fake = Fake::start(&program, &socket, "allow", trusted);
        assert!(again(&prototype).success());
    }
    std::fs::remove_file(&socket).unwrap();
    stack.start();
    assert!(stack.login("app", &good).ok, "the stack takes its server over");
    assert_eq!(process_of(&stack, way), server, "the server has lived through it all");
    if way.engine() != Engine::Postgres {
        let stuck = "SELECT COUNT(*) FROM information_schema.processlist WHERE user IN ('app', 'unauthenticated user')";
        wait_until("the end of every login", || stack.sql(stuck) == "0");
    }
}

/// The number of the server's process, as it wrote it down.
fn process_of(stack: &Stack, way: ServerKind) -> String {
    let file = match way {
        ServerKind::Pam | ServerKind::Ldap => "postgres/data/postmaster.pid",
        ServerKind::Mariadb => "mariadb/run/mysqld.pid",
        ServerKind::Mysql => "mysql/run/mysqld.pid",
    };
    let text = std::fs::read_to_string(stack.directory().join("instances").join(file)).unwrap();
    text.lines().next().unwrap().trim().to_owned()
}

#[test]
fn killed_in_the_middle_of_a_thousand_logins_it_lets_nobody_in_wrongly_and_keeps_its_state() {
    for way in ways() {
        let stack = Stack::up(way, &["--max-logins-per-second", "0"]);
        let _made = stack.must(&["user", "create", "jane"]);
        let good = stack.token(&stack.credentials(&["--user", "jane"]), "jane");
        let bad = good.replace("X-Amz-Expires=900", "X-Amz-Expires=899");
        let prototypes = [&good, &bad].map(|token| stack.client("jane", token, "select 1"));
        let [tried, let_in, wrongly] = [(); 3].map(|()| AtomicUsize::new(0));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let at = tried.fetch_add(1, Ordering::Relaxed) % 2;
                        if again(&prototypes[at]).success() {
                            [&let_in, &wrongly][at].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
            let more_are_let_in = || {
                let before = let_in.load(Ordering::Relaxed);
                wait_until("good logins", || let_in.load(Ordering::Relaxed) >= before + 20);
            };
            for share in [LOGINS / 4, LOGINS / 2] {
                more_are_let_in();
                wait_until("a share of the logins", || tried.load(Ordering::Relaxed) >= share);
                stack.kill_authority();
                stack.start();
            }
            more_are_let_in();
            wait_until("all of the logins", || tried.load(Ordering::Relaxed) >= LOGINS);
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(wrongly.into_inner(), 0, "{way:?}");
        assert!(stack.login("jane", &good).ok, "the user, her key and her policy have survived");
    }
}

/// Runs a command once more, as it was made, without a word.
fn again(prototype: &Command) -> ExitStatus {
    copy(prototype).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap()
}

fn copy(prototype: &Command) -> Command {
    let mut command = Command::new(prototype.get_program());
    command
        .args(prototype.get_args())
        .envs(prototype.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[test]
fn what_a_killed_start_leaves_behind_is_taken_away() {
    let stack = Stack::up(ways()[0], &["--engine", "postgres,mariadb"]);
    let service =
        stack.status()["instances"][0]["resource_id"].as_str().unwrap().to_ascii_lowercase();
    stack.kill_authority();
    // As if it had not come to writing what it started.
    std::fs::remove_file(stack.directory().join("state.json")).unwrap();
    let postmaster = stack.directory().join("instances/postgres/data/postmaster.pid");
    let mariadb = stack.directory().join("instances/mariadb/run/mysqld.pid");
    assert!(postmaster.exists() && mariadb.exists(), "the servers go on");
    let _down = stack.must(&["down"]);
    assert!(!postmaster.exists() && !mariadb.exists());
    stack.start();
    let _wiped = stack.must(&["down", "--wipe"]);
    assert!(
        !stack.directory().exists()
            && !Path::new("/etc/pam.d").join(format!("countersign-{service}")).exists()
    );
    stack.start();
}

#[test]
fn a_start_that_is_killed_while_it_makes_a_server_leaves_no_process_behind() {
    for way in ways().into_iter().filter(|way| way.engine() != Engine::Postgres) {
        let directory = tempfile::Builder::new().prefix("countersign-").tempdir().unwrap();
        let local = |arguments: &[&str]| {
            let mut command = countersign();
            command.arg("local").arg("--dir").arg(directory.path()).args(arguments);
            command
        };
        let engine = way.engine().to_string();
        let home = directory.path().join("instances").join(&engine);
        let mut up = local(&["up", "--engine", &engine]).stderr(Stdio::null()).spawn().unwrap();
        wait_until("the making of a data directory", || {
            std::fs::read_dir(home.join("data.partial")).is_ok_and(|files| files.count() > 2)
        });
        up.kill().unwrap();
        up.wait().unwrap();

        // The next start makes it anew.
        let again = run(local(&["up", "--detach"]).args(["--engine", &engine]));
        assert!(again.ok, "{way:?}: {again:?}");
        let down = run(&mut local(&["down", "--wipe"]));
        assert!(down.ok, "{way:?}: {down:?}");
        let left = || {
            let processes = std::fs::read_dir("/proc").unwrap().flatten();
            let lines =
                processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
            let place = directory.path().to_str().unwrap();
            lines.filter(|line| String::from_utf8_lossy(line).contains(place)).count()
        };
        wait_until("the end of all that was started there", || left() == 0);
    }
}
