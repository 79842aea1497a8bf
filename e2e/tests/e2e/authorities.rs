//! Two authorities on one store that verify the logins of one server, and STS proofs in place of
//! tokens.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use countersign_core::credentials::Credentials;
use countersign_e2e::{countersign, run, wait_until};

use crate::shared_store::{PASSWORD, Shared};

const LOGINS: usize = 500;
const CLIENTS: usize = 8;

/// Authorities that replace the stack's own authority for its server.
struct Authorities {
    shared: Shared,
    key: Credentials,
    instance: String,
    resource_id: String,
}

/// Running authority, killed on drop.
struct Authority(Child);

impl Drop for Authority {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Authorities {
    fn new() -> Self {
        let shared = Shared::new();
        let status = shared.stack.status();
        let text = |name: &str| status["instances"][0][name].as_str().unwrap().to_owned();
        let (key, instance, resource_id) =
            (shared.stack.credentials(&[]), text("instance"), text("resource_id"));
        let authorities = Self { shared, key, instance, resource_id };
        authorities.import("active");
        authorities
    }

    /// Imports the server and the user `app`, with the key that the stack created, into the store.
    fn import(&self, status: &str) {
        let (id, secret, endpoint) =
            (&self.key.access_key_id, self.key.secret.expose(), self.shared.stack.endpoint());
        let (host, port, region, instance, resource_id) =
            (&endpoint.host, endpoint.port, &endpoint.region, &self.instance, &self.resource_id);
        let state = format!(
            r#"
            accounts = [{{ id = "123456789012" }}]
            [[instances]]
            name = "{instance}"
            engine = "postgres"
            region = "{region}"
            resource_id = "{resource_id}"
            addresses = [{{ host = "{host}", port = {port} }}]
            [[users]]
            name = "app"
            access_keys = [{{ id = "{id}", secret = "{secret}", status = "{status}" }}]
            [users.policies.connect]
            Version = "2012-10-17"
            Statement = [{{ Effect = "Allow", Action = "rds-db:connect", Resource = "*" }}]
            "#
        );
        let file = self.shared.stack.directory().join("import.toml");
        fs::write(&file, state).unwrap();
        let output = run(self.authority(&["import"]).arg(&file));
        assert!(output.ok, "{output:?}");
    }

    fn authority(&self, arguments: &[&str]) -> Command {
        let mut command = countersign();
        command
            .arg("authority")
            .args(arguments)
            .args(["--store", &self.shared.url])
            .env("PGPASSWORD", PASSWORD);
        command
    }

    fn socket(&self, name: &str) -> PathBuf {
        self.shared.stack.directory().join(name)
    }

    fn serve(&self, name: &str, more: &[&str]) -> Authority {
        let mut command =
            self.authority(&["serve", "--max-logins-per-second", "0", "--allow-user", "postgres"]);
        command
            .arg("--socket")
            .arg(self.socket(name))
            .arg("--log")
            .arg(self.shared.stack.directory().join(format!("{name}.log")))
            .args(more);
        let serving = Authority(command.stdin(Stdio::null()).spawn().unwrap());
        wait_until("the authority's socket", || {
            std::os::unix::net::UnixStream::connect(self.socket(name)).is_ok()
        });
        serving
    }

    /// Configures the server to use these verifier sockets.
    fn use_sockets(&self, sockets: &[&str]) {
        let paths: Vec<String> =
            sockets.iter().map(|name| self.socket(name).display().to_string()).collect();
        let file = format!("/etc/pam.d/countersign-{}", self.resource_id.to_ascii_lowercase());
        let service = fs::read_to_string(&file).unwrap();
        let edited = service.split(' ').map(|word| {
            if word.starts_with("socket=") {
                format!("socket={}", paths.join(","))
            } else {
                word.to_owned()
            }
        });
        fs::write(&file, edited.collect::<Vec<_>>().join(" ")).unwrap();
    }

    fn logs_in(&self) -> bool {
        self.shared.stack.login("app", &self.shared.stack.token(&self.key, "app")).ok
    }
}

#[test]
fn logins_fail_over_when_one_of_two_authorities_is_killed() {
    let authorities = Authorities::new();
    let first = authorities.serve("a", &[]);
    let _second = authorities.serve("b", &[]);
    authorities.use_sockets(&["a", "b"]);
    let token = authorities.shared.stack.token(&authorities.key, "app");
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < LOGINS {
                    if !authorities.shared.stack.login("app", &token).ok {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        wait_until("the first hundred logins", || next.load(Ordering::Relaxed) > 100);
        drop(first);
    });
    // A client of the killed authority retries with the other one.
    assert_eq!(failed.into_inner(), 0);
    let decided = |name: &str| {
        fs::read_to_string(authorities.socket(&format!("{name}.log")).join("log/decisions.jsonl"))
            .unwrap()
            .lines()
            .count()
    };
    assert!(
        decided("a") >= 50 && decided("b") >= LOGINS / 2,
        "{} and {}",
        decided("a"),
        decided("b")
    );
}

#[test]
fn deactivated_key_is_denied_by_both_authorities_within_a_second() {
    let authorities = Authorities::new();
    let _running = [authorities.serve("a", &[]), authorities.serve("b", &[])];
    for (status, works) in [("inactive", false), ("active", true)] {
        authorities.import(status);
        let imported = Instant::now();
        thread::sleep(Duration::from_secs(1).saturating_sub(imported.elapsed()));
        for name in ["a", "b"] {
            authorities.use_sockets(&[name]);
            assert_eq!(authorities.logs_in(), works, "{status} at {name}");
        }
    }
}

#[test]
fn identity_proven_by_sts_is_subject_to_local_policies() {
    let authorities = Authorities::new();
    let stack = &authorities.shared.stack;
    let env = stack.env(&[]);
    // The stack's STS takes the place of AWS's: the authority that calls it has another store.
    let _running = authorities.serve("a", &["--sts", &env["AWS_ENDPOINT_URL"]]);
    authorities.use_sockets(&["a"]);
    let mint = |more: &[&str]| {
        let mut command = countersign();
        command
            .args(["token", "--proof", "sts"])
            .args(more)
            .envs(env.iter().filter(|(name, _)| name.starts_with("AWS_")));
        let output = run(&mut command);
        assert!(output.ok, "{output:?}");
        output.out
    };
    let class = || {
        let log =
            fs::read_to_string(authorities.socket("a.log").join("log/decisions.jsonl")).unwrap();
        let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
        last["class"].as_str().map(str::to_owned)
    };
    // The user of the store has another unique id than the one that STS returns: the name alone
    // does not identify a user.
    let proof = mint(&["--audience", &authorities.instance]);
    assert!(!stack.login("app", &proof).ok);
    assert_eq!(class().as_deref(), Some("unknown-key"));

    let fresh = format!(
        r#"{{"users": [{{"name": "app", "id": "{}", "account": "123456789012"}}]}}"#,
        unique_id(stack)
    );
    let file = stack.directory().join("again.json");
    fs::write(&file, fresh).unwrap();
    let output = run(authorities.authority(&["import"]).arg(&file));
    assert!(output.ok, "{output:?}");
    wait_until("a login with a proof", || {
        stack.login("app", &mint(&["--audience", &authorities.instance])).ok
    });

    for (more, expected) in [
        (vec!["--audience", "another"], "signature-mismatch"),
        (vec!["--audience", &authorities.instance, "--username", "other"], "signature-mismatch"),
    ] {
        assert!(!stack.login("app", &mint(&more)).ok, "{more:?}");
        let found = class();
        assert!(
            found.as_deref() == Some(expected) || found.as_deref() == Some("wrong-user"),
            "{more:?}: {found:?}"
        );
    }
}

/// Returns the unique id of the stack's user `app`.
fn unique_id(stack: &countersign_e2e::Stack) -> String {
    let store =
        countersign_authority::store::Store::open(&stack.directory().join("authority/state"))
            .unwrap();
    let state = store.state().unwrap();
    state.users.get("123456789012/app").unwrap().unique_id.clone()
}
