//! An interactive session of an engine's client: statements in, one line of results out.

use std::fs;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use countersign_core::name::Engine;

use crate::{PATIENCE, ServerKind, wait_until};

/// A client with an open session, closed on drop.
#[derive(Debug)]
pub struct ClientSession {
    process: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: fs::File,
    kind: ServerKind,
}

impl ClientSession {
    /// Starts a client that reads statements from standard input: one of
    /// [`crate::ProxyFixture::session`].
    #[must_use]
    pub fn open(kind: ServerKind, command: &mut Command) -> Self {
        let errors = tempfile::tempfile().expect("a file for what it complains of");
        let complaints = errors.try_clone().expect("the same file");
        if kind.engine() != Engine::Postgres {
            command.arg("--force");
        }
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints)
            .spawn()
            .expect("the client starts");
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().expect("its output"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { process, input, lines, errors, kind }
    }

    /// Returns the process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns true if it is a client of this engine.
    #[must_use]
    pub fn is_of(&self, engine: Engine) -> bool {
        self.kind.engine() == engine
    }

    /// Runs a statement without a result.
    pub fn tell(&mut self, sql: &str) {
        let input = self.input.as_mut().expect("it listens");
        writeln!(input, "{sql}{}", if sql.starts_with('\\') { "" } else { ";" })
            .and_then(|()| input.flush())
            .expect("it listens");
    }

    /// Runs a statement, and returns the first line of the result.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn ask(&mut self, sql: &str) -> String {
        self.tell(sql);
        self.hear().unwrap_or_else(|| panic!("no answer to {sql:?}: {}", self.complaints()))
    }

    /// Returns the next line of output. `None` after the client has exited.
    #[must_use]
    pub fn hear(&mut self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("the client says nothing: {}", self.complaints())
            }
        }
    }

    /// Returns its error output.
    #[must_use]
    pub fn complaints(&mut self) -> String {
        let mut text = String::new();
        self.errors
            .rewind()
            .and_then(|()| self.errors.read_to_string(&mut text))
            .expect("what it complained of");
        text
    }

    /// Returns the server's id of the session.
    #[must_use]
    pub fn server_session(&mut self) -> String {
        let sql = if self.kind.engine() == Engine::Postgres {
            "SELECT pg_backend_pid()"
        } else {
            "SELECT CONNECTION_ID()"
        };
        self.ask(sql)
    }

    /// Closes the session, and waits until the client has exited.
    pub fn close(mut self) {
        drop(self.input.take());
        wait_until("the client's end", || self.process.try_wait().expect("a status").is_some());
    }

    /// Kills the client without closing the session.
    pub fn kill(mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("a status");
    }
}

impl Drop for ClientSession {
    fn drop(&mut self) {
        drop(self.input.take());
        let _gone = self.process.kill();
        let _status = self.process.wait();
    }
}
