//! Handling of requests.

use std::sync::Arc;

use countersign_core::failure::Failure;
use countersign_http_server::BodyError;
use hyper::header::{ACCEPT, ALLOW, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde::Serialize;
use tokio::runtime::Handle;

use super::csrf;
use super::health::{self, LastProbe};
use super::hooks::{AdminHooks, Routes};
use super::response::{Response, json, text, typed};
use crate::metrics::Format;
use crate::status::Status;

/// Resource that a request addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
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

impl Route {
    /// Returns the route of `path`, if it is enabled.
    fn find(path: &str, routes: Routes) -> Option<Self> {
        let (route, is_enabled) = match (path, routes) {
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
        is_enabled.then_some(route)
    }

    /// Returns the response to a request whose method the route does not allow.
    fn reject_method(self, method: &Method) -> Option<Response> {
        let changes_state = matches!(self, Self::Reload | Self::Quit);
        let (is_allowed, message, allow) = if changes_state {
            (method == Method::POST, "use POST", "POST")
        } else {
            (method == Method::GET || method == Method::HEAD, "use GET", "GET, HEAD")
        };
        if is_allowed {
            return None;
        }
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, message);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        Some(response)
    }
}

/// Responds to the requests of one listener.
#[derive(Debug)]
pub(super) struct Handler {
    pub(super) routes: Routes,
    pub(super) hooks: Arc<AdminHooks>,
    pub(super) last_probe: LastProbe,
}

impl Handler {
    pub(super) async fn respond(&self, head: &Parts, body: Result<Vec<u8>, BodyError>) -> Response {
        match body {
            // No request has a meaningful body.
            Ok(_) => self.respond_to(head).await,
            Err(BodyError::TooLargeOrIncomplete) => {
                text(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or incomplete")
            }
            Err(BodyError::TimedOut) => {
                text(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")
            }
        }
    }

    async fn respond_to(&self, head: &Parts) -> Response {
        if matches!(self.routes, Routes::Admin { .. })
            && let Err(error) = csrf::check(&head.headers)
        {
            return text(StatusCode::FORBIDDEN, error);
        }
        let Some(route) = Route::find(head.uri.path(), self.routes) else {
            return text(StatusCode::NOT_FOUND, "not found");
        };
        if let Some(rejection) = route.reject_method(&head.method) {
            return rejection;
        }
        let hooks = &*self.hooks;
        match route {
            Route::Startup => health::startup(&(hooks.status)()),
            Route::Readiness => health::readiness(head.uri.query(), hooks, &self.last_probe),
            Route::Liveness => text(StatusCode::OK, "ok"),
            Route::Metrics => metrics(hooks, &head.headers),
            Route::Status => json(&(hooks.status)()),
            Route::Sessions => json(&(hooks.status)().sessions),
            Route::Settings => text(StatusCode::OK, (hooks.settings)()),
            Route::Tasks => json(&Tasks::current((hooks.status)())),
            Route::Reload => reload(hooks).await,
            Route::Quit => {
                tracing::info!("shutdown requested by /quitquitquit");
                (hooks.shutdown)();
                text(StatusCode::OK, "the proxy is shutting down")
            }
        }
    }
}

fn metrics(hooks: &AdminHooks, headers: &HeaderMap) -> Response {
    let format = Format::accepted(headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()));
    (hooks.update_metrics)();
    match hooks.metrics.encode(format) {
        Ok(encoded) => typed(StatusCode::OK, format.content_type(), encoded),
        Err(error) => {
            let detail = format!("cannot encode the metrics: {error}");
            text(StatusCode::INTERNAL_SERVER_ERROR, detail)
        }
    }
}

async fn reload(hooks: &AdminHooks) -> Response {
    match (hooks.reload)().await {
        Ok(problems) if problems.is_empty() => text(StatusCode::OK, "settings reloaded"),
        Ok(problems) => {
            let problems = problems.join("\n");
            text(StatusCode::OK, format!("settings reloaded, with problems:\n{problems}"))
        }
        Err(Failure { class, detail }) => {
            let message = format!("{}: {detail}; nothing was changed", class.public());
            text(StatusCode::UNPROCESSABLE_ENTITY, message)
        }
    }
}

/// Clients of each worker thread, and the tasks of the runtime for everything else. tokio names
/// tasks only in its unstable API, so they are counted.
#[derive(Debug, Serialize)]
struct Tasks {
    clients: Vec<usize>,
    alive: usize,
    queued: usize,
}

impl Tasks {
    /// Reads the metrics of the current runtime.
    fn current(status: Status) -> Self {
        let metrics = Handle::current().metrics();
        Self {
            clients: status.clients_per_worker,
            alive: metrics.num_alive_tasks(),
            queued: metrics.global_queue_depth(),
        }
    }
}
