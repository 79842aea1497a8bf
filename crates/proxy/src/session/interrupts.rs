//! Events on which the proxy terminates a session.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::lifecycle::ShutdownPhase;
use crate::metrics::TerminationReason;
use crate::protocol::{Protocol, TransactionState};
use crate::target::Target;

type Event = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Role of the session's server, as far as known.
enum ServerRole {
    /// The event occurs at a failover.
    Current(Event),
    /// The session ends after its statement: it may be the last that the server executes.
    FailedOver,
}

/// Events on which the proxy terminates a session.
pub(super) struct Interrupts {
    shutdown: Event,
    server_role: ServerRole,
    time_limit: Option<Pin<Box<Sleep>>>,
}

impl Interrupts {
    /// Events of a session that starts now, on a server connection of `failover_epoch`.
    pub(super) fn new<P: Protocol>(target: &Target<P>, failover_epoch: u64) -> Self {
        let limit = target.settings.session_timeout;
        Self {
            shutdown: Box::pin(terminating(target.shutdown.clone())),
            server_role: ServerRole::Current(Box::pin(target.epoch.end_of(failover_epoch))),
            time_limit: limit.map(|limit| Box::pin(sleep_until(Instant::now() + limit))),
        }
    }

    /// Ready if an event has occurred that ends a session in this state.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        state: TransactionState,
    ) -> Poll<TerminationReason> {
        if self.shutdown.as_mut().poll(cx).is_ready() {
            return Poll::Ready(TerminationReason::Drain);
        }
        if let ServerRole::Current(failover) = &mut self.server_role
            && failover.as_mut().poll(cx).is_ready()
        {
            self.server_role = ServerRole::FailedOver;
        }
        if let ServerRole::FailedOver = self.server_role
            && state != TransactionState::Active
        {
            return Poll::Ready(TerminationReason::Failover);
        }
        match &mut self.time_limit {
            Some(limit) => limit.as_mut().poll(cx).map(|()| TerminationReason::TimeLimit),
            None => Poll::Pending,
        }
    }
}

async fn terminating(mut phase: watch::Receiver<ShutdownPhase>) {
    // An error means that the proxy was dropped.
    let _changed = phase.wait_for(|phase| *phase == ShutdownPhase::Terminating).await;
}
