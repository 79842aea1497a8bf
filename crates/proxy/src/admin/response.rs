//! HTTP responses.

use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use serde::Serialize;

pub(super) type Response = hyper::Response<String>;

/// Returns a response of one or more lines.
pub(super) fn text(status: StatusCode, body: impl Into<String>) -> Response {
    typed(status, "text/plain; charset=utf-8", format!("{}\n", body.into()))
}

pub(super) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(body) => typed(StatusCode::OK, "application/json", body),
        Err(error) => {
            let detail = format!("cannot encode the response: {error}");
            text(StatusCode::INTERNAL_SERVER_ERROR, detail)
        }
    }
}

pub(super) fn typed(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
