//! systemd's protocols for services: state notifications (sd_notify(3)) and socket activation.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use countersign_core::failure::Failure;
use countersign_proxy::{InheritedSocket, activation};

/// Sender of state notifications. Sends nothing if the service manager has no socket for them.
#[derive(Debug, Clone, Default)]
pub(super) struct Notifier(Option<String>);

impl Notifier {
    /// Reads the socket's path from `NOTIFY_SOCKET`.
    pub(super) fn from_env(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        Self(variable("NOTIFY_SOCKET").filter(|path| !path.is_empty()))
    }

    /// Sends a state such as `READY=1`. Errors are only logged: the proxy serves without it.
    pub(super) fn notify(&self, state: &str) {
        let Some(path) = &self.0 else { return };
        if let Err(error) = send(path, state) {
            tracing::warn!("cannot notify the service manager at {path} of {state}: {error}");
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

/// Returns the listening sockets that the process inherited. Must run before threads start.
pub(super) fn activated_sockets() -> Result<Vec<InheritedSocket>, Failure> {
    let [count, names] = ["LISTEN_FDS", "LISTEN_FDNAMES"].map(crate::process::variable);
    activation::inherited(count.as_deref(), names.as_deref())
}
