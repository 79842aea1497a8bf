//! Command-line tests of `countersign proxy`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests and their helpers fail by panicking")]

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// Timeout of each step, generous because the machine may be busy.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Target whose server is unreachable: port 1 has no listener.
const FILE: &str = "[proxy]\naddress = \"127.0.0.1\"\n[targets.orders]\n\
    url = \"postgres://app@127.0.0.1:1/orders\"\n";

/// Directory with a configuration file.
struct Fixture(TempDir);

impl Fixture {
    fn new(file: &str) -> Self {
        let fixture = Self(tempfile::tempdir().unwrap());
        fixture.write(file);
        fixture
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
        Proxy::spawn(self.command(arguments))
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
    stderr: BufReader<ChildStderr>,
}

impl Proxy {
    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr }
    }

    /// Reads standard error up to the first line that contains `word`.
    fn wait_for(&mut self, word: &str) -> String {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            assert!(
                self.stderr.read_line(&mut line).unwrap() > 0,
                "the proxy exited without {word:?}: {text}"
            );
            text.push_str(&line);
            if line.contains(word) {
                return text;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn wait(mut self) -> (Option<i32>, String) {
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if begun.elapsed() > TIMEOUT => panic!("the proxy does not exit"),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let mut text = String::new();
        self.stderr.read_to_string(&mut text).unwrap();
        (status.code(), text)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The process may have exited already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Returns a port that is probably free.
fn port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

#[test]
fn help_names_every_flag_of_cloud_sql_proxy() {
    let fixture = Fixture::new(FILE);
    let output = fixture.run(&["--help"]);
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
fn reports_all_errors_before_starting() {
    let fixture = Fixture::new(
        "[proxy]\nport = \"x\"\n[targets.orders]\nurl = \"postgres://app@db\"\ntls = \"maybe\"\n",
    );
    let output = fixture.run(&[]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{text}");
    assert!(
        text.contains("proxy.port (line 2, column 8): ")
            && text.contains("targets.orders.tls (line 5, column 7): "),
        "{text}"
    );
    let output = fixture.run(&["--port", "x"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn check_prints_the_effective_configuration() {
    let fixture = Fixture::new(FILE);
    let output = fixture.run(&["check", "--output", "json", "--max-connections", "7"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&value["targets"][0]["listen"][0], &value["proxy"]["max-connections"]),
        (&"127.0.0.1:5432".into(), &7.into())
    );
    assert!(String::from_utf8(fixture.run(&["check"]).stdout).unwrap().contains("verify-full"));
}

#[test]
fn starts_reports_status_and_stops() {
    let fixture = Fixture::new(FILE);
    let (own, http) = (port(), port());
    let mut proxy =
        fixture.start(&["--port", &own, "--health-check", "--prometheus", "--http-port", &http]);
    let text = proxy.wait_for("ready");
    assert!(
        text.contains(&format!("orders: psql 'host=127.0.0.1 port={own} user=app dbname=orders'")),
        "{text}"
    );
    let waited = fixture.run(&["wait", "--http-port", &http, "--max", "30s"]);
    assert!(waited.status.success(), "{waited:?}");
    let status = fixture.status();
    assert_eq!(
        (&status["targets"][0]["name"], &status["startup_complete"]),
        (&"orders".into(), &true.into()),
        "{status}"
    );
    let text = String::from_utf8(fixture.run(&["status"]).stdout).unwrap();
    assert!(text.contains("LISTENS ON") && text.contains(&own), "{text}");
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait().0, Some(143));
    let gone = fixture.run(&["status"]);
    assert_eq!(gone.status.code(), Some(4), "{gone:?}");
    assert!(!fixture.path().join("run/proxy.sock").exists());
}

#[test]
fn each_shutdown_cause_has_an_exit_status() {
    let fixture = Fixture::new(FILE);
    for (arguments, signal, status) in [
        (&["--exit-zero-on-sigterm"][..], Signal::TERM, 0),
        (&["--quiet"], Signal::INT, 130),
        (&["--min-sigterm-delay", "10ms"], Signal::TERM, 143),
    ] {
        let own = port();
        let proxy = fixture.start(&[&["--port", &own], arguments].concat());
        wait_until(|| TcpStream::connect(format!("127.0.0.1:{own}")).is_ok());
        wait_until(|| fixture.path().join("run/proxy.sock").exists());
        proxy.signal(signal);
        assert_eq!(proxy.wait().0, Some(status), "{arguments:?}");
    }
    let mut proxy = fixture.start(&["--port", &port()]);
    proxy.wait_for("ready");
    assert!(fixture.run(&["shutdown"]).status.success());
    assert_eq!(proxy.wait().0, Some(0));
    assert_eq!(fixture.run(&["shutdown"]).status.code(), Some(4));
}

fn wait_until(done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < TIMEOUT);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn reloads_a_changed_file_and_rejects_an_invalid_one() {
    let fixture = Fixture::new(FILE);
    let own = port();
    let mut proxy = fixture.start(&["--port", &own]);
    proxy.wait_for("ready");
    fixture.write(&format!("{FILE}colour = 1\n"));
    let text = proxy.wait_for("colour");
    assert!(
        text.contains("previous one stays in effect") && text.contains("line 5, column 1"),
        "{text}"
    );
    assert_eq!(fixture.status()["targets"].as_array().unwrap().len(), 1);
    let more = format!(
        "{FILE}[targets.billing]\nurl = \"mysql://app@127.0.0.1:1/b\"\nlisten = {}\n",
        port()
    );
    fixture.write(&more);
    proxy.wait_for("2 targets");
    assert_eq!(fixture.status()["targets"].as_array().unwrap().len(), 2);
    fixture.write(FILE);
    proxy.signal(Signal::HUP);
    proxy.wait_for("1 targets");
    assert_eq!(fixture.status()["targets"].as_array().unwrap().len(), 1);
    assert!(TcpStream::connect(format!("127.0.0.1:{own}")).is_ok());
}

#[test]
fn a_takeover_refuses_no_connection() {
    let fixture = Fixture::new(FILE);
    let (own, http) = (port(), port());
    let arguments = ["--port", &own, "--health-check", "--http-port", &http];
    let mut first = fixture.start(&arguments);
    first.wait_for("ready");
    let before = fixture.status()["pid"].clone();
    let mut second = fixture.start(&[&arguments[..], &["--takeover"]].concat());
    second.wait_for("ready");
    assert_eq!(first.wait().0, Some(0));
    assert!(TcpStream::connect(format!("127.0.0.1:{own}")).is_ok());
    assert_ne!(fixture.status()["pid"], before);
    assert!(fixture.run(&["wait", "--http-port", &http]).status.success());
    second.signal(Signal::TERM);
    assert_eq!(second.wait().0, Some(143));
}

#[test]
fn a_failing_target_does_not_stop_the_others() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = format!(
        "{FILE}[targets.billing]\nurl = \"mysql://app@127.0.0.1:1/b\"\nlisten = {}\n",
        taken.local_addr().unwrap().port()
    );
    let fixture = Fixture::new(&file);
    let own = port();
    // Set in the file, because --port would override the listener of the other target.
    fixture.write(&file.replace("/orders\"\n", &format!("/orders\"\nlisten = {own}\n")));
    let mut proxy = fixture.start(&[]);
    let text = proxy.wait_for("ready");
    assert!(text.contains("billing") && text.contains("other targets are served"), "{text}");
    assert!(TcpStream::connect(format!("127.0.0.1:{own}")).is_ok());
}

#[test]
fn notifies_systemd() {
    let fixture = Fixture::new(FILE);
    let path = fixture.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(TIMEOUT)).unwrap();
    let received = || {
        let mut buffer = [0; 128];
        let size = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(buffer.get(..size).unwrap()).into_owned()
    };
    let mut command = fixture.command(&["--port", &port(), "--structured-logs"]);
    command.env("NOTIFY_SOCKET", &path);
    let mut proxy = Proxy::spawn(command);
    assert_eq!(received(), "READY=1");
    let text = proxy.wait_for("ready");
    text.lines().for_each(|line| assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}"));
    proxy.signal(Signal::TERM);
    assert_eq!(received(), "STOPPING=1");
    assert_eq!(proxy.wait().0, Some(143));
}

#[test]
fn connect_with_a_name_serves_for_a_limited_time() {
    let fixture = Fixture::new(FILE);
    let own = port();
    let mut command = fixture.command(&[]);
    command = {
        let mut connect = Command::new(command.get_program());
        connect.env_clear().env("HOME", "/nonexistent").current_dir(fixture.path());
        connect.args(["connect", "orders", "-p", &own, "-d", "1s"]);
        connect
    };
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{:?}", output.stderr);
    assert!(text.contains(&format!("host=127.0.0.1 port={own} user=app password=noop")), "{text}");
    assert!(text.contains("postgres-credentials"), "{text}");
}
