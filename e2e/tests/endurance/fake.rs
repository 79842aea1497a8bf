//! Fake verifier.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::process::{Child, Command, Stdio};

use countersign_e2e::{Stack, programs};

pub struct Fake(Child);

impl Fake {
    /// Starts the fake on the socket of a stack whose authority was killed.
    pub fn start(stack: &Stack, mode: &str) -> Self {
        let socket = stack.directory().join("run/verifier.sock");
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                panic!("{}: {error}", socket.display())
            }
            _ => {}
        }
        let mut child = Command::new(programs().join("fake-verifier"))
            .arg(socket)
            .arg(mode)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let fake = Self(child);
        assert_eq!(line, "ready\n");
        fake
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
