//! The port of a server.

use std::net::{Ipv4Addr, TcpListener};

use countersign_core::name::InstanceId;

use crate::LocalError;

/// The port asked for, or the one that the server had, or a free one.
pub(crate) fn choose(
    name: &InstanceId,
    wanted: Option<u16>,
    old: Option<u16>,
    running: bool,
) -> Result<u16, LocalError> {
    match (wanted, old) {
        (Some(port), Some(old)) if running && port != old => Err(LocalError::Unusable(format!(
            "{name} was left running on port {old}: `countersign local down` first, or leave --port out"
        ))),
        (_, Some(old)) if running => Ok(old),
        (Some(port), _) if !is_free(port) => Err(LocalError::Unusable(format!(
            "port {port} is taken: pass another with --port, or none for a free one"
        ))),
        (Some(port), _) => Ok(port),
        (None, Some(old)) if is_free(old) => Ok(old),
        (None, _) => free(),
    }
}

/// A port that nothing listens on just now, and that is none of `taken`.
pub(crate) fn free_beside(taken: &[u16]) -> Result<u16, LocalError> {
    // The system hardly ever gives one of so few.
    for _ in 0..100 {
        let port = free()?;
        if !taken.contains(&port) {
            return Ok(port);
        }
    }
    Err(LocalError::Unusable("there is no free port".to_owned()))
}

/// A port that nothing listens on just now.
fn free() -> Result<u16, LocalError> {
    let bound =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    bound
        .map(|address| address.port())
        .map_err(|error| LocalError::Unusable(format!("there is no free port: {error}")))
}

/// Whether `port` can be listened on.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
