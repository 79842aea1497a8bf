//! Programs under test: paths, environment, output.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime};

use countersign_core::credentials::Credentials;
use countersign_core::endpoint::Endpoint;
use countersign_core::name::DbUser;
use countersign_core::sigv4::KeyCache;
use countersign_core::token::mint;

/// Maximum duration of everything that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the directory of the programs under test.
#[must_use]
pub fn programs() -> PathBuf {
    let program = std::env::current_exe().expect("the path of this program");
    let beside = program.parent().expect("the directory of this program");
    // Tests lie in target/PROFILE/deps, programs in target/PROFILE.
    let directory =
        if beside.ends_with("deps") { beside.parent().unwrap_or(beside) } else { beside }
            .to_owned();
    assert!(
        directory.join("countersign").exists(),
        "countersign not found: run `cargo xtask test`, or `cargo build --workspace` first"
    );
    directory
}

/// Command line of `countersign`, without the AWS and database settings of the environment.
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

/// Output and exit status of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOutput {
    /// True if the exit status is 0.
    pub ok: bool,
    /// Exit status; none if a signal ended the program.
    pub status: Option<i32>,
    /// Standard output without trailing whitespace.
    pub out: String,
    /// Standard error without trailing whitespace.
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

/// Runs a program until it exits.
#[must_use]
pub fn run(command: &mut Command) -> CommandOutput {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}")).into()
}

/// Waits for a condition.
///
/// # Panics
/// If the condition is not true within [`PATIENCE`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen in {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Mints a token for an endpoint at a given time.
#[must_use]
pub fn token(credentials: &Credentials, endpoint: &Endpoint, user: &str, at: SystemTime) -> String {
    let user: DbUser = user.parse().expect("a database user");
    mint(credentials, endpoint, &user, &KeyCache::default(), at).expose().to_owned()
}
