//! The database's own client, which runs the statements.

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use countersign_core::name::Engine;

use crate::SetupError;

/// Errors of a client that cannot connect: no socket, no host, a lost connection.
const CONNECTION_ERRORS: [&str; 4] = ["ERROR 2002 ", "ERROR 2003 ", "ERROR 2005 ", "ERROR 2013 "];

/// Connection options, as the client's flags of the same names. A password is passed by the
/// client's own means: an option file or `MYSQL_PWD`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// Option file to read instead of the default ones.
    pub defaults_file: Option<PathBuf>,
    /// Unix socket of the server.
    pub socket: Option<PathBuf>,
    /// Host of the server.
    pub host: Option<String>,
    /// Port of the server.
    pub port: Option<u16>,
    /// User to log in as.
    pub user: Option<String>,
}

impl Connection {
    fn flags(&self) -> Vec<OsString> {
        let path = |flag: &str, path: &Option<PathBuf>| {
            path.as_ref()
                .map(|path| [OsString::from(flag), path.into()].into_iter().collect::<OsString>())
        };
        let text = |flag: &str, text: Option<String>| {
            text.map(|text| OsString::from(format!("{flag}{text}")))
        };
        let flags = [
            // Clients accept this flag only as the first one.
            path("--defaults-file=", &self.defaults_file),
            path("--socket=", &self.socket),
            text("--host=", self.host.clone()),
            text("--port=", self.port.map(|port| port.to_string())),
            text("--user=", self.user.clone()),
        ];
        flags.into_iter().flatten().collect()
    }
}

/// The command line of `mariadb` or `mysql`.
#[derive(Debug, Clone)]
pub struct Client {
    programs: Vec<PathBuf>,
    flags: Vec<OsString>,
}

impl Client {
    /// Creates a client: the engine's own from `PATH`, or else the other engine's.
    #[must_use]
    pub fn new(engine: Engine, connection: &Connection) -> Self {
        let mut programs: Vec<PathBuf> = vec!["mariadb".into(), "mysql".into()];
        if engine == Engine::Mysql {
            programs.reverse();
        }
        Self { programs, flags: connection.flags() }
    }

    /// Runs SQL and returns the rows, their columns separated by tabs.
    pub(crate) fn run(&self, sql: &str) -> Result<Vec<String>, SetupError> {
        let mut child = self.spawn()?;
        let lost = |error: std::io::Error| {
            SetupError::Unreachable(format!("cannot run the client: {error}"))
        };
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(sql.as_bytes()) {
                // The client stopped reading. Its standard error has the reason.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                written => written.map_err(lost)?,
            }
        }
        let output = child.wait_with_output().map_err(lost)?;
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout)
                .lines()
                .map(str::to_owned)
                .collect());
        }
        if CONNECTION_ERRORS.iter().any(|error| stderr.contains(error)) {
            let remedy = "set --socket, or --host and --port";
            return Err(SetupError::Unreachable(format!(
                "cannot connect to the server: {stderr}; {remedy}"
            )));
        }
        Err(SetupError::Refused(if stderr.is_empty() {
            format!("the client exited with {}", output.status)
        } else {
            stderr
        }))
    }

    fn spawn(&self) -> Result<Child, SetupError> {
        for program in &self.programs {
            let mut command = Command::new(program);
            command.args(&self.flags).args([
                "--batch",
                "--raw",
                "--skip-column-names",
                "--connect-timeout=10",
            ]);
            command
                .arg("--default-character-set=utf8mb4")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            match command.spawn() {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(SetupError::Unusable(format!(
                        "cannot run {}: {error}",
                        program.display()
                    )));
                }
                Ok(child) => return Ok(child),
            }
        }
        Err(SetupError::Unusable(
            "cannot run statements: neither the client mysql nor mariadb was found; install one, \
             or add its directory to PATH"
                .to_owned(),
        ))
    }

    /// Creates a client that runs `program`.
    #[cfg(test)]
    pub(crate) fn of(program: PathBuf) -> Self {
        Self { programs: vec![program], flags: Vec::new() }
    }

    /// Creates a client that runs a shell script. The shell reads it: executing a file just written
    /// fails ("text file busy") while the forked child of another test still holds it open.
    #[cfg(test)]
    pub(crate) fn of_script(directory: &std::path::Path, script: &str) -> Self {
        let file = directory.join("client");
        std::fs::write(&file, script).expect("the directory is writable");
        Self { programs: vec!["/bin/sh".into()], flags: vec![file.into()] }
    }
}

#[cfg(test)]
mod tests;
