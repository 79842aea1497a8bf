//! Requests of one connection.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::ConnActivity;

/// Bounds of one connection. The number of headers is bounded by hyper: 100.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Maximum size in bytes of a request's head.
    pub max_head: usize,
    /// Maximum size in bytes of a request's body.
    pub max_body: usize,
    /// Maximum lifetime of the connection, whether it is in use or not.
    pub lifetime: Duration,
    /// Time for the head of a request, counted from the end of the previous request: it bounds
    /// idle connections too.
    pub head_timeout: Duration,
    /// Time for the body of a request.
    pub body_timeout: Duration,
}

/// Reason why the body of a request was not received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// It is larger than [`Limits::max_body`], or the client ended it early.
    TooLargeOrIncomplete,
    /// It did not arrive within [`Limits::body_timeout`].
    TimedOut,
}

/// Answers the requests of one connection until the client closes it or a limit is reached.
/// `activity` is busy from the end of a request until its response is made. After a response to a
/// body that was not received, the connection is closed: the rest of that body may follow.
pub async fn serve_connection<S, R, F>(
    listener: &'static str,
    stream: S,
    activity: &ConnActivity,
    limits: Limits,
    respond: R,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    R: Fn(Parts, Result<Vec<u8>, BodyError>) -> F + Sync,
    F: Future<Output = Response<String>> + Send,
{
    let respond = &respond;
    let service = service_fn(|request| async move {
        Ok::<_, Infallible>(answer(request, activity, limits, respond).await)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.max_head);
    match timeout(limits.lifetime, http.serve_connection(TokioIo::new(stream), service)).await {
        Ok(Ok(())) => {}
        // Not a warning: a client may keep a connection until a limit ends it.
        Ok(Err(error)) => tracing::debug!(%error, listener, "connection failed"),
        Err(_) => tracing::debug!(listener, "connection reached its maximum lifetime"),
    }
}

async fn answer<F: Future<Output = Response<String>>>(
    request: Request<Incoming>,
    activity: &ConnActivity,
    limits: Limits,
    respond: impl Fn(Parts, Result<Vec<u8>, BodyError>) -> F,
) -> Response<String> {
    let (head, body) = request.into_parts();
    let body = match timeout(limits.body_timeout, receive(body, limits.max_body)).await {
        Ok(Some(body)) => Ok(body),
        Ok(None) => Err(BodyError::TooLargeOrIncomplete),
        Err(_) => Err(BodyError::TimedOut),
    };
    let is_complete = body.is_ok();
    if is_complete {
        activity.mark_busy();
    }
    let mut response = respond(head, body).await;
    if !is_complete {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    activity.mark_idle();
    response
}

/// Returns the complete body; `None` if it exceeds `max` bytes or ends early.
async fn receive(mut body: Incoming, max: usize) -> Option<Vec<u8>> {
    let mut received = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        // Trailers have no meaning here.
        let Ok(data) = frame.ok()?.into_data() else {
            continue;
        };
        if data.len() > max - received.len() {
            return None;
        }
        received.extend_from_slice(&data);
    }
    Some(received)
}
