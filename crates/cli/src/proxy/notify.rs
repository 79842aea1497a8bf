//! A word to the service manager: sd_notify(3), by hand.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Whom to tell. Clones tell the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Notify(Option<String>);

impl Notify {
    /// The socket that `NOTIFY_SOCKET` names, where there is one.
    pub(super) fn from(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        Self(variable("NOTIFY_SOCKET").filter(|path| !path.is_empty()))
    }

    /// Tells it, as `READY=1`. That nobody listens is logged, and is no reason to stop.
    pub(super) fn say(&self, state: &str) {
        let Some(path) = &self.0 else { return };
        if let Err(error) = send(path, state) {
            tracing::warn!("the service manager can't be told {state} at {path}: {error}");
        }
    }
}

fn send(path: &str, state: &str) -> io::Result<()> {
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(|_| ())
}
