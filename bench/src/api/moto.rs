//! Installed moto server.

use std::env;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Problem;

/// Maximum time to start.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Running server, stopped on drop.
pub(super) struct Moto {
    process: Child,
    pub(super) url: String,
}

impl Moto {
    /// Starts the server and waits until it listens. Returns `None` if it is not installed.
    pub(super) fn start() -> Result<Option<Self>, Problem> {
        let Some(program) = program() else {
            return Ok(None);
        };
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = Command::new(program);
        command
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut moto = Self { process: command.spawn()?, url: format!("http://127.0.0.1:{port}") };
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = moto.process.try_wait()? {
                return Err(format!("moto_server ended with {status}").into());
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "moto_server does not listen after {} s",
                    START_TIMEOUT.as_secs()
                )
                .into());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(Some(moto))
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Finds moto_server in the target directory, where `cargo xtask test interop` installs it, or in
/// `PATH`.
fn program() -> Option<PathBuf> {
    let own = env::current_exe().ok()?.ancestors().nth(2)?.join("tools/interop/moto/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = std::iter::once(own).chain(env::split_paths(&path)).collect();
    directories
        .into_iter()
        .map(|directory| directory.join("moto_server"))
        .find(|program| program.is_file())
}
