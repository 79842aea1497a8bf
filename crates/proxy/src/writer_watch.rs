//! Failover of targets that require a writer. A connection of the proxy checks the server; after
//! a failover, the sessions on the old server end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::protocol::{LoginParams as _, Protocol, UpstreamOf};
use crate::target::Target;

/// Time between two checks.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Maximum duration of a check. A server that takes longer counts as failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// Result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriterCheck {
    Writer,
    /// The server is no longer the writer, for this reason.
    Failed(&'static str),
}

/// Checks the server until it is dropped. Unless the target has a user of its own, the first
/// check waits for the first client.
pub(crate) async fn watch_writer<P: Protocol>(target: Arc<Target<P>>) {
    let mut upstream: Option<UpstreamOf<P>> = None;
    loop {
        sleep(CHECK_INTERVAL).await;
        upstream = match upstream.take() {
            None => connect(&target).await,
            Some(upstream) => check(&target, upstream).await,
        };
    }
}

async fn connect<P: Protocol>(target: &Target<P>) -> Option<UpstreamOf<P>> {
    let params =
        P::Params::for_target_user(&target.settings).or_else(|| target.pool.last_requested())?;
    match target.pool.connect(&params, Instant::now() + target.settings.connect_timeout).await {
        Ok(upstream) => Some(upstream),
        Err(error) => {
            tracing::debug!(db.target = &*target.name, %error, "cannot watch the writer");
            None
        }
    }
}

/// Returns the connection if its server is still the writer; otherwise begins a new epoch.
async fn check<P: Protocol>(
    target: &Target<P>,
    mut upstream: UpstreamOf<P>,
) -> Option<UpstreamOf<P>> {
    match check_writer(target, &mut upstream).await {
        WriterCheck::Writer => Some(upstream),
        WriterCheck::Failed(reason) => {
            let server = upstream.address;
            tracing::warn!(
                db.target = &*target.name, %server, reason,
                "failover detected, sessions on this server end"
            );
            target.epoch.advance();
            target.pool.clear().await;
            None
        }
    }
}

async fn check_writer<P: Protocol>(
    target: &Target<P>,
    upstream: &mut UpstreamOf<P>,
) -> WriterCheck {
    let deadline = Instant::now() + CHECK_TIMEOUT;
    match timeout_at(deadline, P::is_writer(upstream)).await {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => return WriterCheck::Failed("the server no longer accepts writes"),
        Ok(Err(_)) => return WriterCheck::Failed("the server closed the watch connection"),
        Err(_) => return WriterCheck::Failed("the server does not answer"),
    }
    // A failed lookup changes nothing.
    match timeout_at(deadline, target.dialer.addresses()).await {
        Ok(Ok(addresses)) if !addresses.contains(&upstream.address) => {
            WriterCheck::Failed("the host name resolves to another server")
        }
        _ => WriterCheck::Writer,
    }
}
