//! Records a session in the log, the metrics, the traces and the status. It only observes; if it
//! is dropped before the end was recorded, it logs that.

use std::io;
use std::sync::Arc;

use countersign_connect::dialer::ConnectError;
use countersign_core::failure::{AuditOutcome, Class, Failure};
use tokio::time::Instant;
use tracing::Span;

use crate::metrics::{GaugeGuard, TargetMetrics, TerminationReason};
use crate::protocol::{Protocol, SessionError};
use crate::sessions::{SessionGuard, SessionInfo};
use crate::target::Target;
use crate::telemetry::{self, Step};
use crate::upstream::Upstream;

/// End of a session, by the side that ended it.
pub(super) enum SessionEnd {
    /// If `reusable`, the session is idle outside of a transaction.
    ClientClosed {
        reusable: bool,
    },
    ServerClosed,
    /// The proxy terminated the session.
    Terminated(TerminationReason),
}

/// Records one session.
pub(super) struct SessionRecorder {
    session: SessionGuard,
    target: Arc<str>,
    metrics: Arc<TargetMetrics>,
    _open: GaugeGuard,
    /// Span of the connection, parent of those of its steps.
    span: Span,
    phase: Phase,
}

enum Phase {
    LoggingIn,
    Established,
    Closed,
}

/// Logs an event with the fields that identify the session.
macro_rules! event {
    ($level:ident, $recorder:ident, $($rest:tt)*) => {{
        let info = $recorder.info();
        tracing::$level!(
            db.target = &*$recorder.target,
            session = info.id,
            client = info.client(),
            user = info.user(),
            $($rest)*
        )
    }};
}

impl SessionRecorder {
    pub(super) fn open<P: Protocol>(target: &Target<P>, peer: String) -> Self {
        let metrics = Arc::clone(&target.metrics);
        metrics.accepted.inc();
        let open = metrics.open.guard();
        let session =
            target.sessions.register(Arc::clone(&target.name), Arc::clone(&metrics), peer);
        let span = telemetry::connection(
            session.info.id,
            &target.name,
            target.settings.engine,
            session.info.client(),
        );
        let target = Arc::clone(&target.name);
        Self { session, target, metrics, _open: open, span, phase: Phase::LoggingIn }
    }

    pub(super) fn info(&self) -> &SessionInfo {
        &self.session.info
    }

    /// Returns a span for a step of the connection.
    pub(super) fn step(&self, step: Step) -> Span {
        self.span.in_scope(|| step.span())
    }

    pub(super) fn set_user(&self, user: &str, database: Option<&str>) {
        self.info().set_user(user, database);
        telemetry::record_user(&self.span, user, database);
    }

    /// The connection carried a cancel request, which is done.
    pub(super) fn cancel_finished(mut self, result: Result<(), ConnectError>) {
        self.phase = Phase::Closed;
        match result {
            Ok(()) => self.metrics.cancels_forwarded.inc(),
            Err(error) => {
                self.metrics.cancels_failed.inc();
                event!(info, self, "cancel request failed: {error}");
            }
        }
    }

    /// The client's login was rejected.
    pub(super) fn rejected(mut self, failure: &Failure) {
        self.phase = Phase::Closed;
        self.metrics.rejected.count(failure.class);
        telemetry::record_failure(&self.span, failure.class);
        let class = failure.class.to_string();
        let is_anonymous = self.info().user().is_empty();
        match failure.class {
            // Port scans and health checks connect without a login.
            Class::Protocol if is_anonymous => {
                event!(debug, self, class, "connection rejected: {failure}");
            }
            // A client that does not trust the certificate is no fault of the proxy.
            Class::TlsFailed if is_anonymous => {
                event!(info, self, class, "connection rejected: {failure}");
            }
            denied if denied.outcome() == AuditOutcome::Denied => {
                event!(info, self, class, "connection rejected: {failure}");
            }
            _ => event!(warn, self, class, "connection rejected: {failure}"),
        }
    }

    /// The client's login is complete.
    pub(super) fn established<S, L>(&mut self, upstream: &Upstream<S, L>, accepted_at: Instant) {
        self.phase = Phase::Established;
        self.metrics.client_connect_duration.observe(accepted_at.elapsed());
        telemetry::record_pooled(&self.span, upstream.connected_at < accepted_at);
        self.info().set_server(upstream.address, upstream.connected_at);
        event!(info, self, server = %upstream.address, "session opened");
    }

    /// The connection to `peer` failed.
    pub(super) fn connection_lost(&self, peer: &str, error: &io::Error) {
        event!(debug, self, peer, %error, "connection lost");
    }

    pub(super) fn failed(&self, error: &SessionError) {
        event!(info, self, "session failed: {error}");
    }

    pub(super) fn closed(mut self, end: &SessionEnd) {
        self.phase = Phase::Closed;
        let reason = match end {
            SessionEnd::ClientClosed { .. } => "closed by the client",
            SessionEnd::ServerClosed => "closed by the server",
            SessionEnd::Terminated(reason) => {
                self.metrics.terminated.by(*reason).inc();
                reason.message()
            }
        };
        let (bytes_to_server, bytes_to_client) = self.info().bytes();
        event!(info, self, bytes_to_server, bytes_to_client, reason, "session closed");
    }
}

impl Drop for SessionRecorder {
    fn drop(&mut self) {
        match self.phase {
            Phase::Closed => return,
            Phase::LoggingIn => self.metrics.rejected.count(Class::Internal),
            Phase::Established => {}
        }
        event!(error, self, "session abandoned");
    }
}
