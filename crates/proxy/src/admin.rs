//! HTTP listeners for operators: an address for orchestrators, a loopback port for operators, and
//! a private Unix socket for `countersign proxy status` and for the handover.

mod csrf;
mod handler;
mod health;
mod hooks;
mod listener;
mod response;
pub mod socket;

use std::sync::Arc;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use countersign_http_server::{ConnActivity, Connections, Limits, WhenBusy, serve_connection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::handover::TAKEOVER;
use handler::Handler;
use listener::Stream;

pub use hooks::{AdminHooks, BoxFuture, Routes};
pub use listener::Listener;

/// Maximum number of open connections of a listener. Further ones evict idle ones: the probe of
/// an orchestrator must succeed even if other clients hold connections open.
const MAX_OPEN: usize = 64;

/// Bounds of a connection. Prometheus keeps its connection, and reconnects after `lifetime`.
const LIMITS: Limits = Limits {
    max_head: 16 * 1024,
    max_body: 4 * 1024,
    lifetime: Duration::from_secs(300),
    head_timeout: Duration::from_secs(75),
    body_timeout: Duration::from_secs(5),
};

/// Name of the listeners in the log.
const LISTENER: &str = "admin";

/// Serves requests until a handover of the listener, also while the proxy drains. No connection
/// ends it.
///
/// # Errors
/// [`Class::Configuration`] if the listener does not fit the routes: routes that change something
/// need a loopback address, the private ones a Unix socket.
pub async fn serve(
    listener: Listener,
    routes: Routes,
    hooks: Arc<AdminHooks>,
) -> Result<(), Failure> {
    serve_within(listener, routes, hooks, LIMITS).await
}

async fn serve_within(
    listener: Listener,
    routes: Routes,
    hooks: Arc<AdminHooks>,
    limits: Limits,
) -> Result<(), Failure> {
    let fits = match routes {
        Routes::Http { .. } => true,
        Routes::Admin { .. } => listener.is_loopback(),
        Routes::Private => listener.is_unix(),
    };
    if !fits {
        let detail = "cannot serve operators: the admin port needs a loopback address, and the \
                      private socket a Unix socket";
        return Err(Failure::new(Class::Configuration, detail));
    }
    let handler = Arc::new(Handler { routes, hooks, last_probe: health::LastProbe::default() });
    let mut connections = Connections::new(MAX_OPEN, WhenBusy::EvictOldest);
    while let Some(stream) = listener.accept(handler.hooks.handover.operators()).await {
        let handler = Arc::clone(&handler);
        let serve = |activity| async move {
            match stream {
                Stream::Tcp(stream) => serve_http(stream, &handler, &activity, limits).await,
                Stream::Unix(stream) => serve_unix(stream, &handler, &activity, limits).await,
            }
        };
        connections.spawn(serve).await;
    }
    connections.drain().await;
    Ok(())
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    handler: &Handler,
    activity: &ConnActivity,
    limits: Limits,
) {
    let respond = |head, body| async move { handler.respond(&head, body).await };
    serve_connection(LISTENER, stream, activity, limits, respond).await;
}

/// Serves a connection of a Unix socket. The private routes are for the same user and root, and
/// include the handover.
async fn serve_unix(
    stream: UnixStream,
    handler: &Handler,
    activity: &ConnActivity,
    limits: Limits,
) {
    if handler.routes == Routes::Private {
        if !is_trusted(&stream) {
            return;
        }
        match timeout(limits.head_timeout, listener::starts_with(&stream, TAKEOVER)).await {
            Ok(Ok(true)) => return hand_over(stream, handler, activity).await,
            Ok(Ok(false)) => {}
            Ok(Err(error)) => return tracing::debug!(%error, "admin connection failed"),
            Err(_) => return tracing::debug!("admin connection timed out"),
        }
    }
    serve_http(stream, handler, activity, limits).await;
}

/// Returns true if the peer belongs to the same user or to root.
fn is_trusted(stream: &UnixStream) -> bool {
    match stream.peer_cred().map(|peer| peer.uid()) {
        Ok(uid) if uid == 0 || uid == rustix::process::getuid().as_raw() => true,
        Ok(uid) => {
            tracing::warn!(uid, "connection of another user to the private socket rejected");
            false
        }
        Err(error) => {
            tracing::warn!(%error, "connection of an unknown user to the private socket rejected");
            false
        }
    }
}

async fn hand_over(stream: UnixStream, handler: &Handler, activity: &ConnActivity) {
    activity.mark_busy();
    tracing::info!("handover started");
    let server = &handler.hooks.handover;
    match server.hand_over(stream).await {
        Ok(successor) => {
            tracing::info!("handover complete, draining sessions");
            let received = successor.receive_cancels(|target, key| server.cancel(target, key));
            if let Err(Failure { class, detail }) = received.await {
                tracing::warn!(%class, detail, "forwarding of cancel requests ended");
            }
        }
        Err(Failure { class, detail }) => tracing::warn!(%class, detail, "handover failed"),
    }
}

#[cfg(test)]
mod tests;
