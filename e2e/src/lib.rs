//! A stack of the real thing for each test: `countersign local up` in a directory and on ports of its own.
//!
//! The programs are those that `cargo xtask test` builds beside the tests.

mod proxy;
mod server_kind;
mod session;
mod stack;
mod talk;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime};

use countersign_core::credentials::Credentials;
use countersign_core::endpoint::Endpoint;
use countersign_core::name::DbUser;
use countersign_core::sigv4::KeyCache;
use countersign_core::token::mint;

pub use proxy::{HTTP_PORT, Proxy, ProxyFixture, http};
pub use server_kind::{ServerKind, mysql_client, postgres, protocols, ways, ways_of};
pub use session::padded_session;
pub use stack::Stack;
pub use talk::ClientSession;

/// How long anything may take that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The directory of the programs under test.
#[must_use]
pub fn programs() -> PathBuf {
    let program = std::env::current_exe().expect("a program has a path");
    let beside = program.parent().expect("it lies in a directory");
    // Tests lie in target/PROFILE/deps, programs in target/PROFILE.
    let directory =
        if beside.ends_with("deps") { beside.parent().unwrap_or(beside) } else { beside }
            .to_owned();
    assert!(
        directory.join("countersign").exists(),
        "countersign is not built: run `cargo xtask test`, or `cargo build --workspace` first"
    );
    directory
}

/// `countersign`, with an environment that holds no AWS settings of the machine.
#[must_use]
pub fn countersign() -> Command {
    let mut command = Command::new(programs().join("countersign"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| {
            ["AWS_", "PG", "MYSQL_", "COUNTERSIGN_"].iter().any(|prefix| name.starts_with(prefix))
        }) {
            command.env_remove(name);
        }
    }
    if let Some(directory) = std::env::var_os("COUNTERSIGN_SERVERS_DIR") {
        command.env("COUNTERSIGN_SERVERS_DIR", directory);
    }
    command
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command
}

/// What a program printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOutput {
    /// Whether it ended with 0.
    pub ok: bool,
    /// Its status.
    pub status: Option<i32>,
    /// Its standard output, without the last line feed.
    pub out: String,
    /// Its standard error, likewise.
    pub err: String,
}

impl From<Output> for CommandOutput {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        Self {
            ok: output.status.success(),
            status: output.status.code(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}

/// Runs a program to its end.
#[must_use]
pub fn run(command: &mut Command) -> CommandOutput {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}")).into()
}

/// Waits for a condition.
///
/// # Panics
/// Where it does not come true in [`PATIENCE`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen in {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A token of any date for any endpoint.
#[must_use]
pub fn token(credentials: &Credentials, endpoint: &Endpoint, user: &str, at: SystemTime) -> String {
    let user: DbUser = user.parse().expect("a database user");
    mint(credentials, endpoint, &user, &KeyCache::default(), at).expose().to_owned()
}
