//! Accept loop of clients.

mod bind;
mod listener;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use rustix::io::Errno;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::handover::AcceptGate;
use crate::inherited::InheritedSocket;
use crate::limit::Admission;
use crate::session::AcceptedConn;
use crate::settings::{ClientAuth, Listen};
use crate::target_handle::TargetHandle;
use bind::bind;
use listener::Accepted;

pub(crate) use listener::Listener;

/// Pause after accept failed for lack of descriptors or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Target of the accepted connections. A reload replaces it.
#[derive(Clone)]
pub(crate) struct AcceptContext {
    pub(crate) target: Arc<dyn TargetHandle>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) name: Arc<str>,
    pub(crate) client_auth: ClientAuth,
}

/// Binds a listener, unless it would accept clients of other machines without authentication.
pub(crate) fn open(
    listen: &Listen,
    client_auth: &ClientAuth,
    inherited: &mut Vec<InheritedSocket>,
) -> Result<Listener, Failure> {
    let listener = bind(listen, client_auth, inherited)?;
    if *client_auth == ClientAuth::Trust && listener.is_exposed() {
        let address = listener.local_addr().unwrap_or_else(|_| listen.clone());
        let detail = format!(
            "cannot listen on {address}: other machines could log in without a password; set \
             client-auth to a password, or set open-to-network"
        );
        return Err(Failure::new(Class::Configuration, detail));
    }
    Ok(listener)
}

/// Accepts clients until it is dropped or the gate is closed. No error ends it.
pub(crate) async fn accept(
    listener: Arc<Listener>,
    gate: AcceptGate,
    context: watch::Receiver<AcceptContext>,
) {
    while let Some(accepted) = gate.accept(|| listener.accept()).await {
        match accepted {
            Ok(accepted) => serve(accepted, &context.borrow()),
            Err(error) => {
                let name = Arc::clone(&context.borrow().name);
                if is_resource_exhaustion(&error) {
                    tracing::warn!(db.target = &*name, %error, "cannot accept connections");
                    sleep(ACCEPT_BACKOFF).await;
                } else {
                    // The client disconnected before its connection was accepted.
                    tracing::debug!(db.target = &*name, %error, "accept failed");
                }
            }
        }
    }
}

fn serve(accepted: Accepted, context: &AcceptContext) {
    let Accepted { socket, peer, uid } = accepted;
    let rejected = |reason: &str| {
        tracing::warn!(db.target = &*context.name, client = peer, reason, "connection rejected");
    };
    if let (ClientAuth::Users(allowed), Some(uid)) = (&context.client_auth, uid)
        && !allowed.contains(&uid)
    {
        return rejected("the operating-system user is not allowed");
    }
    let Some(permits) = context.admission.try_acquire(&context.name) else {
        return rejected("too many connections");
    };
    let accepted_at = Instant::now();
    Arc::clone(&context.target).serve(AcceptedConn { socket, peer, permits, accepted_at });
}

/// Returns true if accept failed for lack of a resource, and would fail again at once. Other
/// errors concern one client. Source: accept(2).
fn is_resource_exhaustion(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}
