//! The database's own client, which carries the statements.

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use countersign_core::name::Engine;

use crate::SetupError;

/// What a client says when it comes to nobody: no socket, no host, a connection that broke off.
const UNREACHED: [&str; 4] = ["ERROR 2002 ", "ERROR 2003 ", "ERROR 2005 ", "ERROR 2013 "];

/// How to reach a server, as the clients' flags of the same names have it. A password goes to them by their own means: an option
/// file, or `MYSQL_PWD`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Connection {
    /// An option file to read in place of the usual ones.
    pub defaults_file: Option<PathBuf>,
    /// The server's Unix socket.
    pub socket: Option<PathBuf>,
    /// The server's host.
    pub host: Option<String>,
    /// The server's port.
    pub port: Option<u16>,
    /// The administrator to log in as.
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
            // Clients take this one in the first place only.
            path("--defaults-file=", &self.defaults_file),
            path("--socket=", &self.socket),
            text("--host=", self.host.clone()),
            text("--port=", self.port.map(|port| port.to_string())),
            text("--user=", self.user.clone()),
        ];
        flags.into_iter().flatten().collect()
    }
}

/// `mariadb` or `mysql`, ready to be run.
#[derive(Debug, Clone)]
pub struct Client {
    programs: Vec<PathBuf>,
    flags: Vec<OsString>,
}

impl Client {
    /// The engine's own client, or else the other one, as the `PATH` has them.
    #[must_use]
    pub fn new(engine: Engine, connection: &Connection) -> Self {
        let mut programs: Vec<PathBuf> = vec!["mariadb".into(), "mysql".into()];
        if engine == Engine::Mysql {
            programs.reverse();
        }
        Self { programs, flags: connection.flags() }
    }

    /// Runs SQL, and gives its lines: a row each, the columns separated by tabs.
    pub(crate) fn run(&self, sql: &str) -> Result<Vec<String>, SetupError> {
        let mut child = self.spawn()?;
        let lost = |error: std::io::Error| {
            SetupError::Unreachable(format!("the client can't be spoken to: {error}"))
        };
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(sql.as_bytes()) {
                // It gave up reading: what it said tells why.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                written => written.map_err(lost)?,
            }
        }
        let output = child.wait_with_output().map_err(lost)?;
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout)
                .lines()
                .map(str::to_owned)
                .collect());
        }
        if UNREACHED.iter().any(|error| said.contains(error)) {
            let flags = "name it with --socket, or with --host and --port";
            return Err(SetupError::Unreachable(format!(
                "the server can't be reached ({said}): {flags}"
            )));
        }
        Err(SetupError::Refused(if said.is_empty() {
            format!("the client ended with {}", output.status)
        } else {
            said
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
                        "{} can't be run: {error}",
                        program.display()
                    )));
                }
                Ok(child) => return Ok(child),
            }
        }
        Err(SetupError::Unusable(
            "neither mysql nor mariadb is there, which carry the statements: install one, or add its directory to PATH".to_owned(),
        ))
    }

    /// A program of the test's own in place of the client.
    #[cfg(test)]
    pub(crate) fn of(program: PathBuf) -> Self {
        Self { programs: vec![program], flags: Vec::new() }
    }

    /// A shell script in place of the client. The shell reads it: a program that was just written can't be run ("text file busy")
    /// while the child of another test, which has not become its own program yet, holds it open.
    #[cfg(test)]
    pub(crate) fn of_script(directory: &std::path::Path, script: &str) -> Self {
        let file = directory.join("client");
        std::fs::write(&file, script).expect("the directory is writable");
        Self { programs: vec!["/bin/sh".into()], flags: vec![file.into()] }
    }
}

#[cfg(test)]
mod tests;
