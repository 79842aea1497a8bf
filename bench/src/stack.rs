//! Local stack for the benchmarks, with an IAM user, a password user, and the AWS API.

use std::collections::HashMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::endpoint::Endpoint;
use countersign_core::name::{DbUser, Engine};
use tempfile::TempDir;

use crate::Problem;

pub(crate) const PASSWORD_USER: &str = "bench_password";
pub(crate) const PASSWORD: &str = "twelve-and-a-half-vegetables";

/// Server, and the module by which it consults the verifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthBackend {
    Pam,
    Ldap,
    Mariadb,
    Mysql,
}

impl AuthBackend {
    /// Returns the arguments for `local up`.
    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Pam => &["--engine", "postgres", "--authentication", "pam"],
            Self::Ldap => &["--engine", "postgres", "--authentication", "ldap"],
            Self::Mariadb => &["--engine", "mariadb"],
            Self::Mysql => &["--engine", "mysql"],
        }
    }

    const fn engine(self) -> Engine {
        match self {
            Self::Pam | Self::Ldap => Engine::Postgres,
            Self::Mariadb => Engine::Mariadb,
            Self::Mysql => Engine::Mysql,
        }
    }

    /// Returns the arguments of the command that creates the password user.
    fn create_password_user(self) -> [String; 4] {
        let (user, password) = (PASSWORD_USER, PASSWORD);
        let (client, sql) = match self {
            Self::Pam | Self::Ldap => {
                ("psql", format!("create role {user} login password '{password}'"))
            }
            Self::Mariadb | Self::Mysql => {
                let grant = format!("grant all privileges on app.* to {user}");
                (
                    "mysql",
                    format!("create user {user} identified by '{password}' require ssl; {grant}"),
                )
            }
        };
        let option = if client == "psql" { "--command" } else { "--execute" };
        [client, "--", option, &sql].map(str::to_owned)
    }

    /// Returns the names of the variables for host, port, user, database and CA.
    const fn variables(self) -> [&'static str; 5] {
        match self {
            Self::Pam | Self::Ldap => ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGSSLROOTCERT"],
            Self::Mariadb | Self::Mysql => {
                ["MYSQL_HOST", "MYSQL_TCP_PORT", "MYSQL_USER", "MYSQL_DATABASE", "MYSQL_SSL_CA"]
            }
        }
    }
}

/// Running stack, removed on drop.
pub(crate) struct Stack {
    running: Running,
    pub(crate) backend: AuthBackend,
    pub(crate) database: String,
    pub(crate) credentials: Credentials,
    pub(crate) endpoint: Endpoint,
    pub(crate) user: DbUser,
    pub(crate) ca: String,
    /// URL of its AWS API.
    pub(crate) api: String,
}

impl Stack {
    /// Starts a stack with one server.
    pub(crate) fn up(program: &Path, backend: AuthBackend) -> Result<Self, Problem> {
        let running = Running::new(program)?;
        // The benchmark's logins exceed RDS's limit of logins per second.
        running.local(
            &[&["up", "--detach", "--max-logins-per-second", "0"], backend.arguments()].concat(),
        )?;
        running.local(&backend.create_password_user().each_ref().map(String::as_str))?;
        let printed = running.local(&["env"])?;
        let exports = Exports::of(&printed);
        let [host, port, user, database, ca] = backend.variables();
        let endpoint = Endpoint {
            engine: backend.engine(),
            host: exports.value(host)?.parse()?,
            port: exports.value(port)?.parse()?,
            region: exports.value("AWS_REGION")?.parse()?,
        };
        let credentials = exports.credentials()?;
        let (user, database, ca) = (
            exports.value(user)?.parse()?,
            exports.value(database)?.to_owned(),
            exports.value(ca)?.to_owned(),
        );
        let api = exports.value("AWS_ENDPOINT_URL")?.to_owned();
        Ok(Self { running, backend, database, credentials, endpoint, user, ca, api })
    }

    /// Returns session credentials of a role.
    pub(crate) fn role(&self, name: &str) -> Result<Credentials, Problem> {
        Exports::of(&self.running.local(&["env", "--role", name])?).credentials()
    }
}

/// Output of `local env`.
struct Exports<'a>(HashMap<&'a str, &'a str>);

impl<'a> Exports<'a> {
    fn of(printed: &'a str) -> Self {
        Self(printed.lines().filter_map(export).collect())
    }

    fn value(&self, name: &str) -> Result<&'a str, Problem> {
        self.0
            .get(name)
            .copied()
            .ok_or_else(|| format!("`countersign local env` does not print {name}").into())
    }

    fn credentials(&self) -> Result<Credentials, Problem> {
        Ok(Credentials {
            access_key_id: self.value("AWS_ACCESS_KEY_ID")?.parse()?,
            secret: Secret::new(self.value("AWS_SECRET_ACCESS_KEY")?)
                .ok_or("the secret is empty")?,
            session_token: self.0.get("AWS_SESSION_TOKEN").and_then(|token| Secret::new(*token)),
            expires: None,
        })
    }
}

/// Directory of a running stack.
struct Running {
    program: PathBuf,
    directory: TempDir,
}

impl Running {
    fn new(program: &Path) -> Result<Self, Problem> {
        // The server runs as another user, which needs access.
        let directory = tempfile::Builder::new()
            .prefix("countersign-bench")
            .permissions(Permissions::from_mode(0o755))
            .tempdir()?;
        Ok(Self { program: program.to_owned(), directory })
    }

    /// Runs `countersign local …` and returns its output.
    fn local(&self, arguments: &[&str]) -> Result<String, Problem> {
        let output = Command::new(&self.program)
            .arg("local")
            .arg("--dir")
            .arg(self.directory.path())
            .args(arguments)
            .output()?;
        if output.status.success() {
            return Ok(String::from_utf8(output.stdout)?);
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(format!("`countersign local {}` failed: {}", arguments.join(" "), stderr.trim()).into())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(problem) = self.local(&["down", "--wipe"]) {
            eprintln!("{problem}");
        }
    }
}

/// Parses `export NAME='value'`.
fn export(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
    Some((name, value.strip_prefix('\'')?.strip_suffix('\'')?))
}
