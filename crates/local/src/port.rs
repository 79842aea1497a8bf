//! Port of a server.

use std::net::{Ipv4Addr, TcpListener};

use countersign_core::name::InstanceId;

use crate::LocalError;

/// Returns the requested port, otherwise the previous one, otherwise a free one.
pub(crate) fn choose(
    name: &InstanceId,
    wanted: Option<u16>,
    old: Option<u16>,
    running: bool,
) -> Result<u16, LocalError> {
    match (wanted, old) {
        (Some(port), Some(old)) if running && port != old => Err(LocalError::Unusable(format!(
            "cannot move {name} to port {port}: it still runs on port {old}; run `countersign \
             local down` first, or omit --port"
        ))),
        (_, Some(old)) if running => Ok(old),
        (Some(port), _) if !is_free(port) => Err(LocalError::Unusable(format!(
            "cannot use port {port}: it is in use; pass another --port, or omit it to use a free \
             one"
        ))),
        (Some(port), _) => Ok(port),
        (None, Some(old)) if is_free(old) => Ok(old),
        (None, _) => free(),
    }
}

/// Returns a port that is free and not in `taken`.
pub(crate) fn free_beside(taken: &[u16]) -> Result<u16, LocalError> {
    // A collision is unlikely: `taken` is short.
    for _ in 0..100 {
        let port = free()?;
        if !taken.contains(&port) {
            return Ok(port);
        }
    }
    Err(LocalError::Unusable("cannot find a free port".to_owned()))
}

/// Returns a port that no process listens on.
fn free() -> Result<u16, LocalError> {
    let bound =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    bound
        .map(|address| address.port())
        .map_err(|error| LocalError::Unusable(format!("cannot find a free port: {error}")))
}

/// Returns true if `port` can be bound on loopback.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
