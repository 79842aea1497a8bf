//! `countersign proxy`, as a shell runs it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nobody listens at port 1, and nothing there is dialled before a client comes.
const FILE: &str = "[proxy]\naddress = \"127.0.0.1\"\n[targets.orders]\nurl = \"postgres://app@127.0.0.1:1/orders\"\n";

struct Place(TempDir);

impl Place {
    fn with(file: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write(file);
        place
    }

    fn write(&self, file: &str) {
        std::fs::write(self.0.path().join("countersign.toml"), file).unwrap();
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .current_dir(self.path());
        command.env("COUNTERSIGN_PROXY_ADMIN_SOCKET", self.path().join("run/proxy.sock"));
        command.arg("proxy").args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn start(&self, arguments: &[&str]) -> Proxy {
        Proxy::of(self.command(arguments))
    }

    fn status(&self) -> Value {
        let output = self.run(&["status", "--output", "json"]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// A proxy that is killed when it is dropped.
struct Proxy {
    child: Child,
    said: BufReader<ChildStderr>,
}

impl Proxy {
    fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        Self { child, said }
    }

    /// Reads what is said until a line has `word` in it.
    fn says(&mut self, word: &str) -> String {
        let mut said = String::new();
        loop {
            let mut line = String::new();
            assert!(
                self.said.read_line(&mut line).unwrap() > 0,
                "it ended without {word:?}: {said}"
            );
            said.push_str(&line);
            if line.contains(word) {
                return said;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn ends(mut self) -> (Option<i32>, String) {
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if begun.elapsed() > PATIENCE => panic!("it does not end"),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        (status.code(), said)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
fn port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

#[test]
fn help_names_every_flag_of_cloud_sql_proxy() {
    let place = Place::with(FILE);
    let output = place.run(&["--help"]);
    let help = String::from_utf8(output.stdout).unwrap();
    for flag in [
        "--address",
        "--port",
        "--unix-socket",
        "--max-connections",
        "--max-sigterm-delay",
        "--min-sigterm-delay",
        "--exit-zero-on-sigterm",
        "--lazy-refresh",
        "--skip-failed-instance-config",
        "--run-connection-test",
        "--health-check",
        "--http-address",
        "--http-port",
        "--prometheus",
        "--debug",
        "--admin-port",
        "--quitquitquit",
        "--structured-logs",
        "--quiet",
    ] {
        assert!(help.contains(flag), "{flag}: {help}");
    }
    assert!(help.contains("countersign proxy postgres://jane@mydb"), "{help}");
}

#[test]
fn every_mistake_is_said_before_anything_starts() {
    let place = Place::with(
        "[proxy]\nport = \"x\"\n[targets.orders]\nurl = \"postgres://app@db\"\ntls = \"maybe\"\n",
    );
    let output = place.run(&[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(
        said.contains("proxy.port (line 2, column 8): ")
            && said.contains("targets.orders.tls (line 5, column 7): "),
        "{said}"
    );
    let output = place.run(&["--port", "x"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn check_prints_what_would_be_done() {
    let place = Place::with(FILE);
    let output = place.run(&["check", "--output", "json", "--max-connections", "7"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&value["targets"][0]["listen"][0], &value["proxy"]["max-connections"]),
        (&"127.0.0.1:5432".into(), &7.into())
    );
    assert!(String::from_utf8(place.run(&["check"]).stdout).unwrap().contains("verify-full"));
}

#[test]
fn a_proxy_starts_is_looked_at_and_ends() {
    let place = Place::with(FILE);
    let (own, http) = (port(), port());
    let mut proxy =
        place.start(&["--port", &own, "--health-check", "--prometheus", "--http-port", &http]);
    let said = proxy.says("ready");
    assert!(
        said.contains(&format!("orders: psql 'host=127.0.0.1 port={own} user=app dbname=orders'")),
        "{said}"
    );
    let waited = place.run(&["wait", "--http-port", &http, "--max", "30s"]);
    assert!(waited.status.success(), "{waited:?}");
    let status = place.status();
    assert_eq!(
        (&status["targets"][0]["name"], &status["startup_complete"]),
        (&"orders".into(), &true.into()),
        "{status}"
    );
    let text = String::from_utf8(place.run(&["status"]).stdout).unwrap();
    assert!(text.contains("LISTENS ON") && text.contains(&own), "{text}");
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.ends().0, Some(143));
    let gone = place.run(&["status"]);
    assert_eq!(gone.status.code(), Some(4), "{gone:?}");
    assert!(!place.path().join("run/proxy.sock").exists());
}

#[test]
fn each_end_has_its_status() {
    let place = Place::with(FILE);
    for (arguments, signal, status) in [
        (&["--exit-zero-on-sigterm"][..], Signal::TERM, 0),
        (&["--quiet"], Signal::INT, 130),
        (&["--min-sigterm-delay", "10ms"], Signal::TERM, 143),
    ] {
        let own = port();
        let proxy = place.start(&[&["--port", &own], arguments].concat());
        until(|| TcpStream::connect(format!("127.0.0.1:{own}")).is_ok());
        until(|| place.path().join("run/proxy.sock").exists());
        proxy.signal(signal);
        assert_eq!(proxy.ends().0, Some(status), "{arguments:?}");
    }
    let mut proxy = place.start(&["--port", &port()]);
    proxy.says("ready");
    assert!(place.run(&["shutdown"]).status.success());
    assert_eq!(proxy.ends().0, Some(0));
    assert_eq!(place.run(&["shutdown"]).status.code(), Some(4));
}

fn until(done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_changed_file_is_read_again_and_a_broken_one_is_not_applied() {
    let place = Place::with(FILE);
    let own = port();
    let mut proxy = place.start(&["--port", &own]);
    proxy.says("ready");
    place.write(&format!("{FILE}colour = 1\n"));
    let said = proxy.says("colour");
    assert!(said.contains("stay as they are") && said.contains("line 5, column 1"), "{said}");
    assert_eq!(place.status()["targets"].as_array().unwrap().len(), 1);
    let more = format!(
        "{FILE}[targets.billing]\nurl = \"mysql://app@127.0.0.1:1/b\"\nlisten = {}\n",
        port()
    );
    place.write(&more);
    proxy.says("2 targets");
    assert_eq!(place.status()["targets"].as_array().unwrap().len(), 2);
    place.write(FILE);
    proxy.signal(Signal::HUP);
    proxy.says("1 targets");
    assert_eq!(place.status()["targets"].as_array().unwrap().len(), 1);
    assert!(TcpStream::connect(format!("127.0.0.1:{own}")).is_ok());
}

#[test]
fn another_proxy_takes_over_and_nobody_is_refused() {
    let place = Place::with(FILE);
    let (own, http) = (port(), port());
    let arguments = ["--port", &own, "--health-check", "--http-port", &http];
    let mut first = place.start(&arguments);
    first.says("ready");
    let before = place.status()["pid"].clone();
    let mut second = place.start(&[&arguments[..], &["--takeover"]].concat());
    second.says("ready");
    assert_eq!(first.ends().0, Some(0));
    assert!(TcpStream::connect(format!("127.0.0.1:{own}")).is_ok());
    assert_ne!(place.status()["pid"], before);
    assert!(place.run(&["wait", "--http-port", &http]).status.success());
    second.signal(Signal::TERM);
    assert_eq!(second.ends().0, Some(143));
}

#[test]
fn one_bad_target_does_not_stop_the_others() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = format!(
        "{FILE}[targets.billing]\nurl = \"mysql://app@127.0.0.1:1/b\"\nlisten = {}\n",
        taken.local_addr().unwrap().port()
    );
    let place = Place::with(&file);
    let own = port();
    // Ports that flags count up go before the file, so that it is the file which says them here.
    place.write(&file.replace("/orders\"\n", &format!("/orders\"\nlisten = {own}\n")));
    let mut proxy = place.start(&[]);
    let said = proxy.says("ready");
    assert!(said.contains("billing") && said.contains("others go on"), "{said}");
    assert!(TcpStream::connect(format!("127.0.0.1:{own}")).is_ok());
}

#[test]
fn systemd_is_told() {
    let place = Place::with(FILE);
    let path = place.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut buffer = [0; 128];
        let size = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(buffer.get(..size).unwrap()).into_owned()
    };
    let mut command = place.command(&["--port", &port(), "--structured-logs"]);
    command.env("NOTIFY_SOCKET", &path);
    let mut proxy = Proxy::of(command);
    assert_eq!(heard(), "READY=1");
    let said = proxy.says("ready");
    said.lines().for_each(|line| assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}"));
    proxy.signal(Signal::TERM);
    assert_eq!(heard(), "STOPPING=1");
    assert_eq!(proxy.ends().0, Some(143));
}

#[test]
fn connect_with_a_name_listens_for_a_while() {
    let place = Place::with(FILE);
    let own = port();
    let mut command = place.command(&[]);
    command = {
        let mut connect = Command::new(command.get_program());
        connect.env_clear().env("HOME", "/nonexistent").current_dir(place.path());
        connect.args(["connect", "orders", "-p", &own, "-d", "1s"]);
        connect
    };
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{:?}", output.stderr);
    assert!(said.contains(&format!("host=127.0.0.1 port={own} user=app password=noop")), "{said}");
    assert!(said.contains("postgres-credentials"), "{said}");
}
