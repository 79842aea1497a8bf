//! Watches a target that has to be the writer: a session of our own asks the server, and where it is the writer no longer, or the
//! name leads to another one, the others move.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::protocol::Protocol;
use crate::target::Target;
use crate::upstream::Upstream;

/// How often the server is asked.
const PERIOD: Duration = Duration::from_secs(1);

/// How long it may take to answer: one that does not is gone.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// What the session of our own says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriterCheck {
    Writer,
    /// Why it is none.
    Gone(&'static str),
}

/// Watches for as long as it is polled. Nothing is asked before a client has been there, unless the target has a user of its own.
pub(crate) async fn watch<P: Protocol>(target: Arc<Target<P>>) {
    let mut own: Option<Upstream<P>> = None;
    loop {
        sleep(PERIOD).await;
        own = match own.take() {
            None => dial(&target).await,
            Some(mut upstream) => match check_writer(&target, &mut upstream).await {
                WriterCheck::Writer => Some(upstream),
                WriterCheck::Gone(why) => {
                    let server = upstream.address;
                    tracing::warn!(target = &*target.name, %server, "{why}: its sessions are ended, and the next are another server's");
                    target.term.advance();
                    target.pool.clear().await;
                    None
                }
            },
        };
    }
}

async fn dial<P: Protocol>(target: &Target<P>) -> Option<Upstream<P>> {
    let wish = P::probe_params(&target.settings).or_else(|| target.pool.latest())?;
    match target.pool.dial(&wish, Instant::now() + target.settings.connect_timeout).await {
        Ok(upstream) => Some(upstream),
        Err(refusal) => {
            tracing::debug!(target = &*target.name, "the writer can't be watched: {refusal}");
            None
        }
    }
}

async fn check_writer<P: Protocol>(target: &Target<P>, upstream: &mut Upstream<P>) -> WriterCheck {
    let deadline = Instant::now() + ANSWER_TIME;
    match timeout_at(deadline, P::is_writer(upstream)).await {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => return WriterCheck::Gone("the server takes no writes any more"),
        Ok(Err(_)) => {
            return WriterCheck::Gone("the server has closed the session that watches it");
        }
        Err(_) => {
            return WriterCheck::Gone("the server does not answer the session that watches it");
        }
    }
    // Names that can't be looked up for now say nothing.
    match timeout_at(deadline, target.dialer.addresses()).await {
        Ok(Ok(addresses)) if !addresses.contains(&upstream.address) => {
            WriterCheck::Gone("the name leads to another server")
        }
        _ => WriterCheck::Writer,
    }
}
