//! Failures of the verifier deny logins.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use countersign_core::name::Engine;
use countersign_e2e::{ServerKind, Stack, countersign, programs, run, wait_until, ways};

/// Number of login attempts during which the authority is killed.
const LOGINS: usize = 1000;

/// Fake verifier that runs as another system user.
struct Fake(Child);

impl Fake {
    /// Starts `program` as the user `uid`. It is a copy that any user can run, since the build
    /// directory may be accessible to root only.
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
fn unavailable_hanging_or_untrusted_verifier_denies_logins() {
    // LDAP cannot authenticate the verifier; see docs/postgresql.md.
    for kind in ways().into_iter().filter(|kind| *kind != ServerKind::Ldap) {
        assert_denies_without_a_verifier(kind);
    }
}

fn assert_denies_without_a_verifier(kind: ServerKind) {
    let stack = Stack::up(kind, &[]);
    let good = stack.token(&stack.credentials(&[]), "app");
    assert!(stack.login("app", &good).ok);
    let prototype = stack.client("app", &good, "SELECT 1");
    let server = process_of(&stack, kind);
    stack.kill_authority();
    let socket = stack.directory().join("run/verifier.sock");
    let program = stack.directory().join("lib/fake-verifier");
    std::fs::copy(programs().join("fake-verifier"), &program).unwrap();
    let refused = |what: &str| {
        let output = run(&mut copy(&prototype));
        assert!(
            !output.ok && output.err.contains(&kind.denial("app")),
            "{kind:?}, {what}: {output:?}"
        );
    };
    refused("verifier stopped, stale socket");
    // The plugin and the PAM module trust root and the server's own user.
    let trusted = rustix::process::geteuid().as_raw();
    for mode in ["hang", "garbage", "close"] {
        let _fake = Fake::start(&program, &socket, mode, trusted);
        refused(mode);
    }
    if trusted == 0 {
        // A well-formed response from an untrusted user, who needs write access to the directory.
        let directory = socket.parent().unwrap();
        std::fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .unwrap();
        let _fake = Fake::start(&program, &socket, "allow", 65_534);
        refused("socket of an untrusted user");
    }
    std::fs::remove_file(&socket).unwrap();
    refused("missing socket");
    // The same response from a trusted user allows the login: only the owner makes the difference.
    {
        let _fake = Fake::start(&program, &socket, "allow", trusted);
        assert!(again(&prototype).success());
    }
    std::fs::remove_file(&socket).unwrap();
    stack.start();
    assert!(stack.login("app", &good).ok, "the restarted stack adopts the running server");
    assert_eq!(process_of(&stack, kind), server, "the server was not restarted");
    if kind.engine() != Engine::Postgres {
        let stuck = "SELECT COUNT(*) FROM information_schema.processlist WHERE user IN ('app', \
         'unauthenticated user')";
        wait_until("the end of all logins", || stack.sql(stuck) == "0");
    }
}

/// Returns the server's process id from its PID file.
fn process_of(stack: &Stack, kind: ServerKind) -> String {
    let file = match kind {
        ServerKind::Pam | ServerKind::Ldap => "postgres/data/postmaster.pid",
        ServerKind::Mariadb => "mariadb/run/mysqld.pid",
        ServerKind::Mysql => "mysql/run/mysqld.pid",
    };
    let text = std::fs::read_to_string(stack.directory().join("instances").join(file)).unwrap();
    text.lines().next().unwrap().trim().to_owned()
}

#[test]
fn killed_authority_allows_no_bad_login_and_keeps_its_state() {
    for kind in ways() {
        let stack = Stack::up(kind, &["--max-logins-per-second", "0"]);
        let _made = stack.must(&["user", "create", "jane"]);
        let good = stack.token(&stack.credentials(&["--user", "jane"]), "jane");
        let bad = good.replace("X-Amz-Expires=900", "X-Amz-Expires=899");
        let prototypes = [&good, &bad].map(|token| stack.client("jane", token, "select 1"));
        let [tried, allowed, wrongly_allowed] = [(); 3].map(|()| AtomicUsize::new(0));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        let at = tried.fetch_add(1, Ordering::Relaxed) % 2;
                        if again(&prototypes[at]).success() {
                            [&allowed, &wrongly_allowed][at].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
            let wait_for_more_allowed = || {
                let before = allowed.load(Ordering::Relaxed);
                wait_until("logins with a valid token", || {
                    allowed.load(Ordering::Relaxed) >= before + 20
                });
            };
            for share in [LOGINS / 4, LOGINS / 2] {
                wait_for_more_allowed();
                wait_until("a share of the login attempts", || {
                    tried.load(Ordering::Relaxed) >= share
                });
                stack.kill_authority();
                stack.start();
            }
            wait_for_more_allowed();
            wait_until("all login attempts", || tried.load(Ordering::Relaxed) >= LOGINS);
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(wrongly_allowed.into_inner(), 0, "{kind:?}");
        assert!(stack.login("jane", &good).ok, "user, key and policy were kept");
    }
}

/// Runs a copy of the command without its output.
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
fn remains_of_a_killed_start_are_removed() {
    let stack = Stack::up(ways()[0], &["--engine", "postgres,mariadb"]);
    let service =
        stack.status()["instances"][0]["resource_id"].as_str().unwrap().to_ascii_lowercase();
    stack.kill_authority();
    // Simulates a start that was killed before it wrote its state.
    std::fs::remove_file(stack.directory().join("state.json")).unwrap();
    let postmaster = stack.directory().join("instances/postgres/data/postmaster.pid");
    let mariadb = stack.directory().join("instances/mariadb/run/mysqld.pid");
    assert!(postmaster.exists() && mariadb.exists(), "the servers keep running");
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
fn start_killed_during_initialization_leaves_no_process() {
    for kind in ways().into_iter().filter(|kind| kind.engine() != Engine::Postgres) {
        let directory = tempfile::Builder::new().prefix("countersign-").tempdir().unwrap();
        let local = |arguments: &[&str]| {
            let mut command = countersign();
            command.arg("local").arg("--dir").arg(directory.path()).args(arguments);
            command
        };
        let engine = kind.engine().to_string();
        let home = directory.path().join("instances").join(&engine);
        let mut up = local(&["up", "--engine", &engine]).stderr(Stdio::null()).spawn().unwrap();
        wait_until("the initialization of a data directory", || {
            std::fs::read_dir(home.join("data.partial")).is_ok_and(|files| files.count() > 2)
        });
        up.kill().unwrap();
        up.wait().unwrap();

        // The next start initializes the data directory again.
        let again = run(local(&["up", "--detach"]).args(["--engine", &engine]));
        assert!(again.ok, "{kind:?}: {again:?}");
        let down = run(&mut local(&["down", "--wipe"]));
        assert!(down.ok, "{kind:?}: {down:?}");
        let left = || {
            let processes = std::fs::read_dir("/proc").unwrap().flatten();
            let lines =
                processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
            let root = directory.path().to_str().unwrap();
            lines.filter(|line| String::from_utf8_lossy(line).contains(root)).count()
        };
        wait_until("the end of all processes of the stack", || left() == 0);
    }
}
