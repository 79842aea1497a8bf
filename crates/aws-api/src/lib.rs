//! AWS's own API: the query protocol of STS, IAM and RDS on one endpoint.
//!
//! The way of one request: `answer` receives it whole, `route` finds the service and the action, `signature` says who
//! calls, and the action asks the policies (`Call::authorize`) before it does anything. `metadata` has what is not of
//! the query protocol.

pub(crate) mod action;
mod answer;
pub(crate) mod call;
#[cfg(test)]
mod documentation_tests;
pub(crate) mod error;
mod iam;
mod metadata;
pub(crate) mod page;
pub(crate) mod parameters;
mod rds;
mod route;
pub mod server;
mod signature;
mod sts;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod xml;

pub use metadata::imds::Machine;

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use countersign_authority::accept::{self, ConnActivity};
use countersign_authority::oidc::discovery::IssuerKeyCache;
use countersign_authority::oidc::fetch::Fetcher;
use countersign_authority::servers::Servers;
use countersign_authority::store::Store;
use countersign_authority::verifier::Verifier;
use error::ApiError;
use metadata::imds::Imds;
use route::Received;

/// What the API works on.
#[derive(Debug)]
pub struct Api {
    verifier: Arc<Verifier>,
    /// The keys of other issuers.
    issuers: IssuerKeyCache,
    /// How the authority's own issuer calls itself.
    issuer: String,
    /// What does the work of RDS.
    rds: Arc<rds::Runner>,
}

impl Api {
    /// An API over what `verifier` decides by, whose own issuer calls itself `issuer`; `fetcher` gets the keys of others.
    #[must_use]
    pub fn new(verifier: Arc<Verifier>, fetcher: Fetcher, issuer: &str) -> Self {
        let rds = Arc::new(rds::Runner::idle(Arc::clone(&verifier)));
        Self { verifier, issuers: IssuerKeyCache::new(fetcher), issuer: issuer.to_owned(), rds }
    }

    /// With what runs database servers, under a name that no other authority over the same store has; `ca` is the PEM of the CA that
    /// signs the servers' certificates. What was begun when the authority ended is gone on with.
    #[must_use]
    pub fn running(self, servers: Arc<dyn Servers>, name: String, ca: Option<&str>) -> Self {
        let rds = Arc::new(rds::Runner::running(Arc::clone(&self.verifier), servers, name, ca));
        rds.recover();
        Self { rds, ..self }
    }

    /// What does the work of RDS.
    pub(crate) const fn rds(&self) -> &Arc<rds::Runner> {
        &self.rds
    }

    /// The authority's own issuer.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What finds the keys of others.
    pub(crate) const fn issuers(&self) -> &IssuerKeyCache {
        &self.issuers
    }

    /// What the authority knows.
    pub(crate) fn store(&self) -> &Store {
        self.verifier.store()
    }
}

/// How many connections are open at once. Where somebody new comes, the one that has been silent for longest is cut.
const MAX_OPEN: usize = 512;

/// The longest head of a request, in bytes: an AWS session token takes a few thousand. It may have 100 headers, which is
/// hyper's own bound.
const MAX_HEAD: usize = 32 * 1024;

/// The longest body of a request, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// The time that a connection is given.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// In all, whatever happens on it.
    lifetime: Duration,
    /// For the head of a request, from the end of the one before: in silence too.
    head: Duration,
    /// For the body of a request.
    body: Duration,
}

impl Limits {
    const USUAL: Self = Self {
        lifetime: Duration::from_secs(30),
        head: Duration::from_secs(5),
        body: Duration::from_secs(5),
    };
}

/// Answers requests until it is dropped. No connection, however bad, ends it.
///
/// # Errors
/// None so far: a failed accept is tried again.
pub async fn serve(listener: TcpListener, api: Arc<Api>) -> std::io::Result<()> {
    serve_within(listener, api, Limits::USUAL).await;
    Ok(())
}

/// Answers what a machine asks its metadata service, until it is dropped: over the same store as `api`.
pub async fn serve_metadata(listener: TcpListener, api: Arc<Api>, machine: Machine) {
    serve_front(listener, Front::Machine(Arc::new(Imds { api, machine })), Limits::USUAL).await;
}

/// What a listener is for.
#[derive(Debug, Clone)]
enum Front {
    /// AWS's API, and the credentials of pods, containers and people.
    Api(Arc<Api>),
    /// A machine's metadata.
    Machine(Arc<Imds>),
}

async fn serve_within(listener: TcpListener, api: Arc<Api>, limits: Limits) {
    serve_front(listener, Front::Api(api), limits).await;
}

async fn serve_front(listener: TcpListener, front: Front, limits: Limits) {
    let converse = |stream, turn| hold(stream, turn, front.clone(), limits);
    accept::serve_with_eviction("http", MAX_OPEN, Arc::default(), || listener.accept(), converse)
        .await;
}

/// Answers the requests on one connection, one after the other.
async fn hold(stream: TcpStream, turn: ConnActivity, front: Front, limits: Limits) {
    let Ok(peer) = stream.peer_addr() else { return };
    let turn = Arc::new(turn);
    let service = service_fn(|request| {
        let (front, turn) = (front.clone(), Arc::clone(&turn));
        async move { Ok::<_, Infallible>(answer(request, front, peer, limits.body, &turn).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(MAX_HEAD);
    match timeout(limits.lifetime, http.serve_connection(TokioIo::new(stream), service)).await {
        Ok(Ok(())) => {}
        // Clients that keep a connection until it is cut do nothing wrong.
        Ok(Err(error)) => tracing::debug!(%error, "a connection of the AWS API ended early"),
        Err(_) => tracing::debug!("the time of a connection of the AWS API was up"),
    }
}

async fn answer(
    request: HttpRequest<Incoming>,
    front: Front,
    peer: SocketAddr,
    body_limit: Duration,
    turn: &ConnActivity,
) -> Response<String> {
    let (head, body) = request.into_parts();
    let refuse = |code, status, message| {
        turn.mark_idle();
        answer::refused(sts::STS.namespace, &ApiError::new(code, status, message))
    };
    let body = timeout(body_limit, receive(body)).await;
    turn.mark_busy();
    let body = match body {
        Ok(Some(body)) => body,
        Ok(None) => {
            return refuse(
                "RequestEntityTooLarge",
                413,
                "The request body is too large, or it broke off.",
            );
        }
        Err(_) => {
            return refuse("RequestTimeout", 408, "The request body did not arrive in time.");
        }
    };
    let received = Received { head, body, peer };
    let response = match front {
        Front::Api(api) => route::respond(api, received).await,
        Front::Machine(machine) => machine.respond(&received),
    };
    turn.mark_idle();
    response
}

/// The whole body; `None` for one that is longer than [`MAX_BODY`], or that breaks off.
async fn receive(mut body: Incoming) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        // What is not data is a trailer, and means nothing here.
        let Ok(data) = frame.ok()?.into_data() else {
            continue;
        };
        if data.len() > MAX_BODY - whole.len() {
            return None;
        }
        whole.extend_from_slice(&data);
    }
    Some(whole)
}

#[cfg(test)]
mod tests;
