//! What an operator asks of a running proxy, over HTTP: on an address for orchestrators, on a loopback port for people, and on a
//! private Unix socket for `countersign proxy status` and for the proxy that takes this one's place.

mod answer;
mod csrf;
mod debug;
mod health;
mod listener;
mod slots;
pub mod socket;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::handover::{HandoverServer, TAKEOVER};
use crate::metrics::Metrics;
use crate::status::Status;
pub use listener::Listener;
use listener::Stream;
use slots::{ConnActivity, Slots};

/// How many connections a listener has open at once. Where somebody new comes, the one that has been silent for longest is cut: a
/// probe of an orchestrator must get through whoever else holds connections.
const MAX_OPEN: usize = 64;

/// The longest head of a request, in bytes. It may have 100 headers, which is hyper's own bound.
const MAX_HEAD: usize = 16 * 1024;

/// The longest body of a request, in bytes: no request has any use for one.
const MAX_BODY: usize = 4 * 1024;

/// The time that a connection is given.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// In all. Prometheus, which keeps its connection, gets a new one now and then.
    lifetime: Duration,
    /// For the head of a request, from the end of the one before: in silence too.
    head: Duration,
    /// For the body of a request.
    body: Duration,
}

impl Limits {
    const USUAL: Self = Self {
        lifetime: Duration::from_secs(300),
        head: Duration::from_secs(75),
        body: Duration::from_secs(5),
    };
}

/// Something that is on its way.
pub type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What of the proxy can be looked at and done from here.
pub struct AdminHooks {
    /// Its counters; [`Operated::refresh`] is called before they are read.
    pub metrics: Metrics,
    /// Brings up to date those of the gauges that nobody bumps.
    pub refresh: Box<dyn Fn() + Send + Sync>,
    /// What it is doing.
    pub status: Box<dyn Fn() -> Status + Send + Sync>,
    /// Its settings, for people to read. They hold no secret in clear.
    pub settings: Box<dyn Fn() -> String + Send + Sync>,
    /// Logs in to every target once; how it went is in the next status.
    pub probe: Box<dyn Fn() -> Pending<()> + Send + Sync>,
    /// Reads the settings anew and applies them: a sentence for each target that could not be brought up.
    pub reload: Box<dyn Fn() -> Pending<Result<Vec<String>, Failure>> + Send + Sync>,
    /// Begins to stop it, as SIGTERM does.
    pub quit: Box<dyn Fn() + Send + Sync>,
    /// What the proxy that takes its place is given.
    pub offer: HandoverServer,
}

impl fmt::Debug for AdminHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operated").field("offer", &self.offer).finish_non_exhaustive()
    }
}

/// What a listener answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routes {
    /// For orchestrators, by TCP: everything there only reads.
    Http {
        /// `/startup`, `/readiness` and `/liveness`
        health: bool,
        /// `/metrics`
        metrics: bool,
    },
    /// For people of this machine, by TCP on loopback.
    Admin {
        /// `POST /quitquitquit`
        quit: bool,
        /// `/debug/sessions`, `/debug/settings`, `/debug/tasks`
        debug: bool,
    },
    /// For processes of our own user, by a Unix socket: `/status`, `/metrics`, `POST /reload`, `POST /quitquitquit`, and the
    /// handover.
    Private,
}

impl Routes {
    /// What a listener of these is called where it is handed over. No target is: the parentheses keep them apart.
    #[must_use]
    pub const fn socket_name(self) -> &'static str {
        match self {
            Self::Http { .. } => "(http)",
            Self::Admin { .. } => "(admin)",
            Self::Private => "(private)",
        }
    }
}

/// What the answers of all connections are made from.
#[derive(Debug)]
struct AdminServer {
    routes: Routes,
    proxy: Arc<AdminHooks>,
    probing: health::Probing,
    limits: Limits,
}

/// Answers requests until another proxy has the listener: while this one drains too. No connection, however bad, ends it.
///
/// # Errors
/// [`Class::Configuration`] where the routes are not for such a listener: those that change something are for this machine alone,
/// and the private ones for a Unix socket.
pub async fn serve(
    listener: Listener,
    routes: Routes,
    proxy: Arc<AdminHooks>,
) -> Result<(), Failure> {
    serve_within(listener, routes, proxy, Limits::USUAL).await
}

async fn serve_within(
    listener: Listener,
    routes: Routes,
    proxy: Arc<AdminHooks>,
    limits: Limits,
) -> Result<(), Failure> {
    let fits = match routes {
        Routes::Http { .. } => true,
        Routes::Admin { .. } => listener.is_loopback(),
        Routes::Private => listener.is_unix(),
    };
    if !fits {
        let detail = "the admin port has to be on a loopback address, and the private socket has to be a Unix socket";
        return Err(Failure::new(Class::Configuration, detail));
    }
    let front =
        Arc::new(AdminServer { routes, proxy, probing: health::Probing::default(), limits });
    let mut slots = Slots::new(MAX_OPEN);
    while let Some(stream) = listener.accept(front.proxy.offer.operators()).await {
        let front = Arc::clone(&front);
        slots.spawn(|turn| async move {
            match stream {
                Stream::Tcp(stream) => serve_connection(stream, &front, &turn).await,
                Stream::Unix(stream) => hold_unix(stream, &front, &turn).await,
            }
        });
    }
    // What is being answered is answered.
    slots.finish().await;
    Ok(())
}

/// Answers the requests on one connection, one after the other.
async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    front: &Arc<AdminServer>,
    turn: &ConnActivity,
) {
    let service = service_fn(|request| {
        let (front, turn) = (Arc::clone(front), turn.clone());
        async move { answer::answer(request, &front, &turn).await }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(front.limits.head).max_buf_size(MAX_HEAD);
    match timeout(front.limits.lifetime, http.serve_connection(TokioIo::new(stream), service)).await
    {
        Ok(Ok(())) => {}
        // Clients that keep a connection until it is cut do nothing wrong.
        Ok(Err(error)) => tracing::debug!(%error, "a connection of an operator ended early"),
        Err(_) => tracing::debug!("the time of a connection of an operator was up"),
    }
}

/// The same on a Unix socket, where the private routes are for our own user and root, and the other proxy may ask.
async fn hold_unix(stream: UnixStream, front: &Arc<AdminServer>, turn: &ConnActivity) {
    if front.routes == Routes::Private {
        match stream.peer_cred().map(|peer| peer.uid()) {
            Ok(uid) if uid == 0 || uid == rustix::process::getuid().as_raw() => {}
            Ok(uid) => {
                return tracing::warn!(
                    uid,
                    "another user's process was turned away from the private socket"
                );
            }
            Err(error) => {
                return tracing::warn!(%error, "whoever connected to the private socket can't be told");
            }
        }
        match timeout(front.limits.head, listener::begins_with(&stream, TAKEOVER)).await {
            Ok(Ok(true)) => return hand_over(stream, front, turn).await,
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                return tracing::debug!(%error, "a connection of an operator ended early");
            }
            Err(_) => return tracing::debug!("the time of a connection of an operator was up"),
        }
    }
    serve_connection(stream, front, turn).await;
}

async fn hand_over(stream: UnixStream, front: &AdminServer, turn: &ConnActivity) {
    turn.go_on();
    tracing::info!("another proxy takes over");
    match front.proxy.offer.hand_over(stream).await {
        Ok(successor) => {
            tracing::info!(
                "the listeners are another proxy's; what is left is to end the sessions"
            );
            if let Err(failure) = successor.answer(&front.proxy.offer).await {
                tracing::warn!(class = %failure.class, detail = %failure.detail, "requests to cancel don't come over any more");
            }
        }
        Err(failure) => {
            tracing::warn!(class = %failure.class, detail = %failure.detail, "the takeover failed, and this proxy goes on")
        }
    }
}

#[cfg(test)]
mod tests;
