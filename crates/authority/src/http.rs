//! AWS's own API, as far as it goes: STS `GetCallerIdentity`. Every other action gets AWS's error for unknown ones.

mod answer;

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use countersign_core::name::AccessKeyId;
use countersign_core::principal::KeyOwner;
use countersign_core::sigv4::{Payload, Request, RequestError, SignedRequest};
use countersign_core::token::KeyStatus;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, Response, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::accept;
use crate::verifier::Verifier;
use answer::{ApiError, caller_identity};

/// How many connections are open at once; more wait in the listener's queue. One that says nothing, or says it slowly,
/// gives its slot back within seconds.
const MAX_OPEN: usize = 64;

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
    const USUAL: Self = Self { lifetime: Duration::from_secs(30), head: Duration::from_secs(5), body: Duration::from_secs(5) };
}

/// Answers requests until it is dropped. No connection, however bad, ends it.
///
/// # Errors
/// None so far: a failed accept is tried again.
pub async fn serve(listener: TcpListener, verifier: Arc<Verifier>) -> std::io::Result<()> {
    serve_within(listener, verifier, Limits::USUAL).await;
    Ok(())
}

async fn serve_within(listener: TcpListener, verifier: Arc<Verifier>, limits: Limits) {
    let converse = |stream| hold(stream, Arc::clone(&verifier), limits);
    accept::each("http", MAX_OPEN, || listener.accept(), converse).await;
}

/// Answers the requests on one connection, one after the other.
async fn hold(stream: TcpStream, verifier: Arc<Verifier>, limits: Limits) {
    let service = service_fn(|request| {
        let verifier = Arc::clone(&verifier);
        async move { Ok::<_, Infallible>(answer(request, verifier, limits.body).await) }
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

async fn answer(request: HttpRequest<Incoming>, verifier: Arc<Verifier>, body_limit: Duration) -> Response<String> {
    let (parts, body) = request.into_parts();
    let body = match timeout(body_limit, receive(body)).await {
        Ok(Some(body)) => body,
        Ok(None) => {
            return ApiError::new("RequestEntityTooLarge", 413, "The request body is too large, or it broke off.").into_response();
        }
        Err(_) => return ApiError::new("RequestTimeout", 408, "The request body did not arrive in time.").into_response(),
    };
    let answered = tokio::task::spawn_blocking(move || {
        let headers: Vec<(&str, &str)> =
            parts.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
        let request = Request {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            headers: &headers,
            payload: Payload::Body(&body),
        };
        let form =
            parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
        act(&verifier, &request, if form { &body } else { request.query.as_bytes() }, SystemTime::now())
    });
    match answered.await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => error.into_response(),
        Err(_) => ApiError::new("InternalFailure", 500, "The request processing has failed because of an internal error.").into_response(),
    }
}

/// The whole body; `None` for one that is longer than [`MAX_BODY`], or that breaks off.
async fn receive(mut body: Incoming) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        // What is not data is a trailer, and means nothing here.
        let Ok(data) = frame.ok()?.into_data() else { continue };
        if data.len() > MAX_BODY - whole.len() {
            return None;
        }
        whole.extend_from_slice(&data);
    }
    Some(whole)
}

/// Authenticates the request, then does what its parameters say.
fn act(verifier: &Verifier, request: &Request<'_>, parameters: &[u8], now: SystemTime) -> Result<Response<String>, ApiError> {
    let caller = authenticate(verifier, request, now)?;
    let value = |name: &str| form_urlencoded::parse(parameters).find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    match (value("Action").as_deref(), value("Version").as_deref()) {
        (Some("GetCallerIdentity"), Some("2011-06-15")) => Ok(caller_identity(&caller)),
        (None, _) => Err(ApiError::new("MissingAction", 400, "The request is missing an action or a required parameter.")),
        (Some(action), version) => {
            let message = format!("Could not find operation {action} for version {}", version.unwrap_or("NO_VERSION_SPECIFIED"));
            Err(ApiError::new("InvalidAction", 400, &message))
        }
    }
}

/// Whoever signed the request, with AWS's error code where nobody did.
fn authenticate(verifier: &Verifier, request: &Request<'_>, now: SystemTime) -> Result<KeyOwner, ApiError> {
    let signed = SignedRequest::parse(request).map_err(refused)?;
    let id: &AccessKeyId = signed.access_key_id();
    let invalid = || ApiError::new("InvalidClientTokenId", 403, "The security token included in the request is invalid.");
    let key = verifier.store().key(id).map_err(|error| {
        tracing::error!(%error, "the caller's key can't be read");
        ApiError::new("InternalFailure", 500, "The request processing has failed because of an internal error.")
    })?;
    let key = key.filter(|key| key.status == KeyStatus::Active).ok_or_else(invalid)?;
    match (&key.credentials.session_token, signed.session_token()) {
        (None, None) => {}
        (Some(expected), Some(given)) if expected.matches(given.expose()) => {}
        _ => return Err(invalid()),
    }
    signed.verify(request, &key.credentials.secret, "sts", verifier.keys(), now).map_err(refused)?;
    if key.credentials.expires.is_some_and(|end| now >= end) {
        return Err(ApiError::new("ExpiredToken", 403, "The security token included in the request is expired"));
    }
    Ok(key.owner)
}

/// AWS's code and status for a signature that does not do. Source: "Common errors" of the STS API reference.
fn refused(error: RequestError) -> ApiError {
    let message = format!("{error}.");
    match error {
        RequestError::Unsigned => ApiError::new("MissingAuthenticationToken", 403, "Request is missing Authentication Token"),
        RequestError::Incomplete(_) => ApiError::new("IncompleteSignature", 400, &message),
        RequestError::Scope(_) | RequestError::Expired | RequestError::NotYetCurrent => {
            ApiError::new("SignatureDoesNotMatch", 403, &message)
        }
        RequestError::Mismatch => ApiError::new(
            "SignatureDoesNotMatch",
            403,
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.",
        ),
    }
}

#[cfg(test)]
mod tests;
