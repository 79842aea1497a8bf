//! A local stack for the benchmark, with a user who logs in by IAM and one who has a password.

use std::collections::HashMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::endpoint::Endpoint;
use countersign_core::name::{DbUser, Engine};
use tempfile::TempDir;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

use super::tls::VerifyFull;
use crate::Problem;

pub(super) const SCRAM_USER: &str = "bench_scram";
pub(super) const SCRAM_PASSWORD: &str = "twelve-and-a-half-vegetables";

/// A running stack; it goes with the value.
pub(super) struct Stack {
    _running: Running,
    database: String,
    pub(super) credentials: Credentials,
    pub(super) endpoint: Endpoint,
    pub(super) user: DbUser,
    pub(super) tls: VerifyFull,
}

impl Stack {
    /// Starts one whose server asks by `authentication`, `pam` or `ldap`.
    pub(super) fn up(program: &Path, authentication: &str) -> Result<Self, Problem> {
        let running = Running::new(program)?;
        running.local(&["up", "--engine", "postgres", "--authentication", authentication, "--detach"])?;
        let role = format!("create role {SCRAM_USER} login password '{SCRAM_PASSWORD}'");
        running.local(&["psql", "--", "--quiet", "--command", &role])?;
        let exports = running.local(&["env"])?;
        let exports: HashMap<&str, &str> = exports.lines().filter_map(export).collect();
        let value = |name: &str| exports.get(name).copied().ok_or_else(|| format!("`countersign local env` says no {name}"));
        let endpoint = Endpoint {
            engine: Engine::Postgres,
            host: value("PGHOST")?.parse()?,
            port: value("PGPORT")?.parse()?,
            region: value("AWS_REGION")?.parse()?,
        };
        let credentials = Credentials {
            access_key_id: value("AWS_ACCESS_KEY_ID")?.parse()?,
            secret: Secret::new(value("AWS_SECRET_ACCESS_KEY")?).ok_or("the secret is empty")?,
            session_token: None,
            expires: None,
        };
        Ok(Self {
            tls: VerifyFull::new(Path::new(value("PGSSLROOTCERT")?), endpoint.host.as_str())?,
            user: value("PGUSER")?.parse()?,
            database: value("PGDATABASE")?.to_owned(),
            _running: running,
            credentials,
            endpoint,
        })
    }

    /// How someone connects.
    pub(super) fn as_user(&self, user: &str, password: &str) -> Config {
        let mut config = Config::new();
        config.host(self.endpoint.host.as_str()).port(self.endpoint.port).user(user).password(password);
        config.dbname(&self.database).ssl_mode(SslMode::Require);
        config
    }
}

/// The directory of a stack that runs in it.
struct Running {
    program: PathBuf,
    directory: TempDir,
}

impl Running {
    fn new(program: &Path) -> Result<Self, Problem> {
        // The server runs as another user, who has to get in.
        let directory = tempfile::Builder::new().prefix("countersign-bench").permissions(Permissions::from_mode(0o755)).tempdir()?;
        Ok(Self { program: program.to_owned(), directory })
    }

    /// `countersign local …`; what it prints.
    fn local(&self, arguments: &[&str]) -> Result<String, Problem> {
        let output = Command::new(&self.program).arg("local").arg("--dir").arg(self.directory.path()).args(arguments).output()?;
        if output.status.success() {
            return Ok(String::from_utf8(output.stdout)?);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("`countersign local {}` failed: {}", arguments.join(" "), said.trim()).into())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(problem) = self.local(&["down", "--wipe"]) {
            eprintln!("{problem}");
        }
    }
}

/// `export NAME='value'`
fn export(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
    Some((name, value.strip_prefix('\'')?.strip_suffix('\'')?))
}
