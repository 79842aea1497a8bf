//! HTTP/1.1 server with bounds on connections, sizes and times.
//!
//! [`Connections`] bounds the number of open connections and evicts the one that has been idle for
//! longest. [`serve_connection`] answers the requests of one connection within [`Limits`].
//! [`serve`] does both for a TCP listener.

mod connection;
mod connections;

use std::net::SocketAddr;
use std::time::Duration;

use hyper::Response;
use hyper::http::request::Parts;
use tokio::net::TcpListener;

pub use connection::{BodyError, Limits, serve_connection};
pub use connections::{ConnActivity, Connections, WhenBusy};

/// Delay after a failed accept: it usually fails for lack of file descriptors, which open
/// connections are about to release.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(20);

/// Answers requests until the future is dropped: at most `max_open` connections at once, each
/// within `limits`. `respond` receives the client's address, the head of a request and its body.
/// No failed accept and no client ends the loop; `name` identifies the listener in the log.
pub async fn serve<R, F>(
    name: &'static str,
    listener: TcpListener,
    max_open: usize,
    limits: Limits,
    respond: R,
) where
    R: Fn(SocketAddr, Parts, Result<Vec<u8>, BodyError>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<String>> + Send + 'static,
{
    let mut connections = Connections::new(max_open, WhenBusy::Wait);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, listener = name, "accept failed");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
                continue;
            }
        };
        let respond = respond.clone();
        let serve = |activity| async move {
            let respond = move |head, body| respond(peer, head, body);
            serve_connection(name, stream, &activity, limits, respond).await;
        };
        connections.spawn(serve).await;
    }
}
