//! What is known of a session, for the log, the metrics and `status`. It observes and never drives; dropped open, it says so.

use std::io;
use std::sync::Arc;

use countersign_connect::dialer::ConnectError;
use countersign_core::failure::{AuditOutcome as Judgement, Class, Failure};
use tokio::time::Instant;
use tracing::Span;

use super::SessionEnd;
use crate::metrics::{GaugeGuard, TargetMetrics};
use crate::protocol::{Protocol, SessionError};
use crate::sessions::SessionGuard;
use crate::target::Target;
use crate::telemetry::{self, Step};
use crate::upstream::Upstream;

/// The trail of one session.
pub(super) struct SessionRecorder {
    pub(super) presence: SessionGuard,
    target: Arc<str>,
    metrics: Arc<TargetMetrics>,
    _open: GaugeGuard,
    /// The connection's span, for who traces.
    span: Span,
    state: State,
}

enum State {
    LoggingIn,
    Welcomed,
    Closed,
}

impl SessionRecorder {
    pub(super) fn open<P: Protocol>(target: &Target<P>, origin: String) -> Self {
        target.metrics.accepted.inc();
        let presence =
            target.sessions.register(Arc::clone(&target.name), Arc::clone(&target.metrics), origin);
        Self {
            span: telemetry::connection(
                presence.live.id,
                &target.name,
                target.settings.engine,
                presence.live.client(),
            ),
            presence,
            target: Arc::clone(&target.name),
            metrics: Arc::clone(&target.metrics),
            _open: target.metrics.open.hold(),
            state: State::LoggingIn,
        }
    }

    /// A step of the connection.
    pub(super) fn step(&self, step: Step) -> Span {
        self.span.in_scope(|| step.span())
    }

    pub(super) fn names(&self, (user, database): (&str, Option<&str>)) {
        self.presence.live.names(user, database);
        telemetry::named(&self.span, user, database);
    }

    /// The client came for no session, and that is done.
    pub(super) fn cancel_finished(mut self, done: Result<(), ConnectError>) {
        self.state = State::Closed;
        match done {
            Ok(()) => self.metrics.cancels.inc(),
            Err(refusal) => {
                self.metrics.cancels_unknown.inc();
                let live = &self.presence.live;
                tracing::info!(
                    target = &*self.target,
                    session = live.id,
                    client = live.client(),
                    "no statement was cancelled: {refusal}"
                );
            }
        }
    }

    /// The client has no session, and knows.
    pub(super) fn refused(mut self, failure: &Failure) {
        self.state = State::Closed;
        self.metrics.refused.count(failure.class);
        telemetry::failed(&self.span, failure.class);
        let live = &self.presence.live;
        let (target, session, client, user, class) =
            (&*self.target, live.id, live.client(), live.user(), failure.class.to_string());
        match failure.class {
            // Somebody who only looked whether the port is open.
            Class::Protocol if user.is_empty() => {
                tracing::debug!(target, session, client, class, "refused: {failure}")
            }
            // The client does not trust the certificate, say: nothing is the matter here.
            class_of
                if class_of == Class::TlsFailed && user.is_empty()
                    || class_of.outcome() == Judgement::Denied =>
            {
                tracing::info!(target, session, client, user, class, "refused: {failure}")
            }
            _ => tracing::warn!(target, session, client, user, class, "refused: {failure}"),
        }
    }

    /// The client has a session.
    pub(super) fn established<P: Protocol>(&mut self, upstream: &Upstream<P>, accepted: Instant) {
        self.state = State::Welcomed;
        self.metrics.ready_time.observe(accepted.elapsed());
        telemetry::pooled(&self.span, upstream.connected_at < accepted);
        let live = &self.presence.live;
        live.welcomed(upstream.address, upstream.connected_at);
        let (target, session, client, user) = (&*self.target, live.id, live.client(), live.user());
        tracing::info!(target, session, client, user, server = %upstream.address, "opened");
    }

    pub(super) fn note(&self, what: &str, error: &io::Error) {
        tracing::debug!(target = &*self.target, session = self.presence.live.id, "{what}: {error}");
    }

    pub(super) fn trouble(&self, trouble: &SessionError) {
        let live = &self.presence.live;
        tracing::info!(
            target = &*self.target,
            session = live.id,
            client = live.client(),
            user = live.user(),
            "ended: {trouble}"
        );
    }

    /// The session is over.
    pub(super) fn close(mut self, outcome: &SessionEnd) {
        self.state = State::Closed;
        let live = &self.presence.live;
        let (to_server, to_client) = live.bytes();
        let ended = match outcome {
            SessionEnd::ClientClosed { .. } => "by the client",
            SessionEnd::ServerClosed => "by the server",
            SessionEnd::Terminated(cut, why) => {
                self.metrics.cut.of(*cut).inc();
                why
            }
        };
        let (target, session, client, user) = (&*self.target, live.id, live.client(), live.user());
        tracing::info!(target, session, client, user, to_server, to_client, ended, "closed");
    }
}

impl Drop for SessionRecorder {
    fn drop(&mut self) {
        match self.state {
            State::Closed => return,
            State::LoggingIn => self.metrics.refused.count(Class::Internal),
            State::Welcomed => {}
        }
        let live = &self.presence.live;
        tracing::error!(
            target = &*self.target,
            session = live.id,
            client = live.client(),
            user = live.user(),
            "abandoned"
        );
    }
}
