//! HTTP endpoints: the AWS API, and a machine's metadata service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use countersign_http_server::{self as http_server, BodyError, Limits};
use hyper::Response;
use hyper::http::request::Parts;
use tokio::net::TcpListener;

use crate::api::Api;
use crate::context::ReceivedRequest;
use crate::error::ApiError;
use crate::metadata::imds::{Imds, Machine};
use crate::{response, route, sts};

/// Maximum number of open connections of one listener.
pub(crate) const MAX_OPEN: usize = 512;

pub(crate) const LIMITS: Limits = Limits {
    // An AWS session token takes a few thousand bytes.
    max_head: 32 * 1024,
    max_body: 64 * 1024,
    lifetime: Duration::from_secs(30),
    head_timeout: Duration::from_secs(5),
    body_timeout: Duration::from_secs(5),
};

/// Serves the AWS API until the future is dropped.
pub async fn serve(listener: TcpListener, api: Arc<Api>) {
    serve_within(listener, api, LIMITS).await;
}

/// Serves the metadata of `machine` until the future is dropped. The credentials of its role are
/// sessions in the store of `api`.
pub async fn serve_metadata(listener: TcpListener, api: Arc<Api>, machine: Machine) {
    let imds = Arc::new(Imds { api, machine });
    let respond = move |peer, head, body| {
        let imds = Arc::clone(&imds);
        async move {
            match received(peer, head, body) {
                Ok(request) => imds.respond(&request),
                Err(error) => error_response(&error),
            }
        }
    };
    http_server::serve("metadata", listener, MAX_OPEN, LIMITS, respond).await;
}

pub(crate) async fn serve_within(listener: TcpListener, api: Arc<Api>, limits: Limits) {
    let respond = move |peer, head, body| {
        let api = Arc::clone(&api);
        async move {
            match received(peer, head, body) {
                Ok(request) => route::respond(api, request).await,
                Err(error) => error_response(&error),
            }
        }
    };
    http_server::serve("http", listener, MAX_OPEN, limits, respond).await;
}

fn received(
    peer: SocketAddr,
    head: Parts,
    body: Result<Vec<u8>, BodyError>,
) -> Result<ReceivedRequest, ApiError> {
    match body {
        Ok(body) => Ok(ReceivedRequest { head, body, peer }),
        Err(BodyError::TooLargeOrIncomplete) => Err(ApiError::new(
            "RequestEntityTooLarge",
            413,
            "The request body is too large or incomplete.",
        )),
        Err(BodyError::TimedOut) => {
            Err(ApiError::new("RequestTimeout", 408, "The request body did not arrive in time."))
        }
    }
}

fn error_response(error: &ApiError) -> Response<String> {
    response::error(sts::STS.namespace, error)
}
