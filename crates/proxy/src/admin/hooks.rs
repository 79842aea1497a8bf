//! Operations of the proxy that operators can call, and the routes of each listener.

use std::fmt;
use std::pin::Pin;

use countersign_core::failure::Failure;

use crate::handover::HandoverServer;
use crate::metrics::Metrics;
use crate::status::Status;

/// A boxed future.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Operations of the proxy.
pub struct AdminHooks {
    /// Metrics; [`AdminHooks::update_metrics`] is called before they are encoded.
    pub metrics: Metrics,
    /// Updates the metrics that are counted elsewhere.
    pub update_metrics: Box<dyn Fn() + Send + Sync>,
    /// Returns the status.
    pub status: Box<dyn Fn() -> Status + Send + Sync>,
    /// Returns the settings as text, without secrets.
    pub settings: Box<dyn Fn() -> String + Send + Sync>,
    /// Logs in to every target once. The next status contains the results.
    pub probe: Box<dyn Fn() -> BoxFuture<()> + Send + Sync>,
    /// Reads the settings again and applies them. Returns a sentence for each target with a
    /// problem.
    pub reload: Box<dyn Fn() -> BoxFuture<Result<Vec<String>, Failure>> + Send + Sync>,
    /// Begins the shutdown, as SIGTERM does.
    pub shutdown: Box<dyn Fn() + Send + Sync>,
    /// Hands the listeners over to another proxy.
    pub handover: HandoverServer,
}

impl fmt::Debug for AdminHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminHooks").field("handover", &self.handover).finish_non_exhaustive()
    }
}

/// Routes of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routes {
    /// Routes for orchestrators, over TCP. They only read.
    Http {
        /// Serves `/startup`, `/readiness` and `/liveness`.
        health: bool,
        /// Serves `/metrics`.
        metrics: bool,
    },
    /// Routes for operators on this machine, over TCP on loopback.
    Admin {
        /// Serves `POST /quitquitquit`.
        quit: bool,
        /// Serves `/debug/sessions`, `/debug/settings` and `/debug/tasks`.
        debug: bool,
    },
    /// Routes for processes of the same user, over a Unix socket: `/status`, `/metrics`,
    /// `POST /reload`, `POST /quitquitquit`, and the handover.
    Private,
}

impl Routes {
    /// Returns the name of such a listener in a handover. The parentheses distinguish it from
    /// targets.
    #[must_use]
    pub const fn socket_name(self) -> &'static str {
        match self {
            Self::Http { .. } => "(http)",
            Self::Admin { .. } => "(admin)",
            Self::Private => "(private)",
        }
    }
}
