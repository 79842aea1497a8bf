//! From a request to its answer.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;

use countersign_core::failure::Failure;
use hyper::body::{Body, Incoming};
use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use tokio::time::timeout;

use super::slots::ConnActivity;
use super::{AdminHooks, AdminServer, MAX_BODY, Routes, csrf, debug, health};
use crate::metrics::Format;

/// An answer.
pub(super) type Answer = Response<String>;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Startup,
    Readiness,
    Liveness,
    Metrics,
    Status,
    Sessions,
    Settings,
    Tasks,
    Reload,
    Quit,
}

impl Page {
    /// The page at `path`, where `routes` have it.
    fn at(path: &str, routes: Routes) -> Option<Self> {
        let (page, is_there) = match (path, routes) {
            ("/startup", Routes::Http { health, .. }) => (Self::Startup, health),
            ("/readiness", Routes::Http { health, .. }) => (Self::Readiness, health),
            ("/liveness", Routes::Http { health, .. }) => (Self::Liveness, health),
            ("/metrics", Routes::Http { metrics, .. }) => (Self::Metrics, metrics),
            ("/quitquitquit", Routes::Admin { quit, .. }) => (Self::Quit, quit),
            ("/debug/sessions", Routes::Admin { debug, .. }) => (Self::Sessions, debug),
            ("/debug/settings", Routes::Admin { debug, .. }) => (Self::Settings, debug),
            ("/debug/tasks", Routes::Admin { debug, .. }) => (Self::Tasks, debug),
            ("/status", Routes::Private) => (Self::Status, true),
            ("/metrics", Routes::Private) => (Self::Metrics, true),
            ("/reload", Routes::Private) => (Self::Reload, true),
            ("/quitquitquit", Routes::Private) => (Self::Quit, true),
            _ => return None,
        };
        is_there.then_some(page)
    }

    const fn changes_something(self) -> bool {
        matches!(self, Self::Reload | Self::Quit)
    }
}

pub(super) async fn answer(
    request: Request<Incoming>,
    front: &AdminServer,
    turn: &ConnActivity,
) -> Result<Answer, Infallible> {
    let (head, body) = request.into_parts();
    let answer = match timeout(front.limits.body, drain(body)).await {
        Ok(true) => {
            turn.go_on();
            respond(&head.method, head.uri.path(), head.uri.query(), &head.headers, front).await
        }
        Ok(false) => {
            last(text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long, or it broke off"))
        }
        Err(_) => last(text(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    };
    turn.wait();
    Ok(answer)
}

async fn respond(
    method: &Method,
    path: &str,
    query: Option<&str>,
    headers: &HeaderMap,
    front: &AdminServer,
) -> Answer {
    if matches!(front.routes, Routes::Admin { .. })
        && let Some(refusal) = csrf::refusal(headers)
    {
        return text(StatusCode::FORBIDDEN, refusal);
    }
    let Some(page) = Page::at(path, front.routes) else {
        return text(StatusCode::NOT_FOUND, "there is no such page");
    };
    let allowed = if page.changes_something() {
        method == Method::POST
    } else {
        method == Method::GET || method == Method::HEAD
    };
    if !allowed {
        let (only, allow) = if page.changes_something() {
            ("only POST will do", "POST")
        } else {
            ("only GET will do", "GET, HEAD")
        };
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, only);
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        return refusal;
    }
    let proxy = &front.proxy;
    match page {
        Page::Startup => health::startup(&(proxy.status)()),
        Page::Readiness => health::readiness(query, proxy, &front.probing),
        Page::Liveness => text(StatusCode::OK, "ok"),
        Page::Metrics => metrics(proxy, headers),
        Page::Status => json(&(proxy.status)()),
        Page::Sessions => json(&(proxy.status)().sessions),
        Page::Settings => text(StatusCode::OK, (proxy.settings)()),
        Page::Tasks => json(&debug::tasks((proxy.status)())),
        Page::Reload => reloaded(proxy).await,
        Page::Quit => {
            tracing::info!("an operator stops the proxy by /quitquitquit");
            (proxy.quit)();
            text(StatusCode::OK, "the proxy stops")
        }
    }
}

fn metrics(proxy: &AdminHooks, headers: &HeaderMap) -> Answer {
    let format = Format::accepted(headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()));
    (proxy.refresh)();
    match proxy.metrics.encode(format) {
        Ok(encoded) => typed(StatusCode::OK, format.content_type(), encoded),
        Err(error) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the metrics can't be written: {error}"),
        ),
    }
}

async fn reloaded(proxy: &AdminHooks) -> Answer {
    match (proxy.reload)().await {
        Ok(problems) if problems.is_empty() => text(StatusCode::OK, "the settings are applied"),
        Ok(problems) => {
            text(StatusCode::OK, format!("the settings are applied, but\n{}", problems.join("\n")))
        }
        Err(Failure { class, detail }) => text(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("{}: {detail}; nothing was changed", class.public()),
        ),
    }
}

/// The whole body, which nobody reads; false for one that is longer than [`MAX_BODY`], or that breaks off.
async fn drain(mut body: Incoming) -> bool {
    let mut left = MAX_BODY;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(frame) = frame else { return false };
        // What is not data is a trailer, and means nothing here.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let Some(rest) = left.checked_sub(data.len()) else {
            return false;
        };
        left = rest;
    }
    true
}

/// The last answer on its connection: what comes next there is the rest of a body.
fn last(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// A sentence or more.
pub(super) fn text(status: StatusCode, body: impl Into<String>) -> Answer {
    typed(status, "text/plain; charset=utf-8", format!("{}\n", body.into()))
}

fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_string(value) {
        Ok(body) => typed(StatusCode::OK, "application/json", body),
        Err(error) => {
            text(StatusCode::INTERNAL_SERVER_ERROR, format!("the answer can't be written: {error}"))
        }
    }
}

fn typed(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}
