//! What the proxy counts, and how Prometheus reads it.
//!
//! The code of a session bumps plain atomics; names, labels and text are made when somebody asks. Labels are targets' names,
//! classes of failure and words of ours: nothing that a client could make up.

mod families;
mod instrument;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use countersign_core::failure::Class;
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;

pub use instrument::{Counter, Failures, Gauge, GaugeGuard, Histogram};

/// What the name of every metric begins with.
const PREFIX: &str = "countersign_proxy";

/// The counters of a whole proxy. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    proxy: ProxyMetrics,
    targets: RwLock<BTreeMap<String, Arc<TargetMetrics>>>,
}

/// What is counted of the proxy as a whole.
#[derive(Debug, Default)]
pub struct ProxyMetrics {
    /// 1 while it takes in nobody new.
    pub draining: Gauge,
    /// When it started, in seconds since 1970.
    pub started: Gauge,
    /// How many connections it holds at most; 0 is no limit.
    pub connection_limit: Gauge,
    /// Settings that were read anew and applied, with or without problems.
    pub reloads: Counter,
    /// Settings that could not be read anew.
    pub reload_failures: Counter,
}

/// What is counted of one target.
#[derive(Debug, Default)]
pub struct TargetMetrics {
    /// Client connections that were accepted.
    pub accepted: Counter,
    /// Those that are open: [`Gauge::hold`] counts one until it is dropped.
    pub open: Gauge,
    /// Those that were refused before they were welcomed, whatever for.
    pub refused: Failures,
    /// Logins to the server that went through, the pool's own too.
    pub logins: Counter,
    /// Logins to the server that did not.
    pub login_failures: Failures,
    /// How long a login to the server took that went through: from the dial on, without the queue for the budget.
    pub login_time: Histogram,
    /// How long a client that was welcomed had to wait for it since it was accepted.
    pub ready_time: Histogram,
    /// Bytes that clients sent to the server, as they are without TLS.
    pub to_server: Counter,
    /// Bytes that the server sent to clients.
    pub to_client: Counter,
    /// Tokens that were signed.
    pub tokens_minted: Counter,
    /// Logins for which a token was at hand.
    pub token_hits: Counter,
    /// Tokens that the server refused and that were minted anew.
    pub tokens_rejected: Counter,
    /// AWS credentials that were loaded.
    pub credentials_loads: Counter,
    /// Loads of AWS credentials that failed.
    pub credentials_failures: Counter,
    /// Sessions of the pool that are ready for a client.
    pub pool_idle: Gauge,
    /// Sessions of the pool that are being logged in ahead of need.
    pub pool_dialling: Gauge,
    /// Clients that were given a session of the pool.
    pub pool_hits: Counter,
    /// Clients for whom the pool had none.
    pub pool_misses: Counter,
    /// Sessions that were reset and kept for the next client.
    pub pool_resets: Counter,
    /// Sessions of the pool that were closed: too old, too many, not to be reset, or dead.
    pub pool_discarded: Counter,
    /// Logins that wait for their turn under the limit of logins a second.
    pub login_queue: Gauge,
    /// Requests to cancel that were passed on to a server.
    pub cancels: Counter,
    /// Requests to cancel whose key belongs to no session.
    pub cancels_unknown: Counter,
    /// Sessions that the proxy ended.
    pub cut: Cuts,
}

/// Why the proxy ended a session that both sides would have gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It lasted as long as a session may.
    TimeLimit,
    /// The proxy stopped, and its time to do so was up.
    Drain,
    /// Its server is not the writer any more.
    Failover,
}

impl Cut {
    const ALL: [Self; 3] = [Self::TimeLimit, Self::Drain, Self::Failover];

    const fn name(self) -> &'static str {
        match self {
            Self::TimeLimit => "time-limit",
            Self::Drain => "drain",
            Self::Failover => "failover",
        }
    }
}

/// Sessions that the proxy ended, by why.
#[derive(Debug, Default)]
pub struct Cuts {
    time_limit: Counter,
    drain: Counter,
    failover: Counter,
}

impl Cuts {
    /// The counter of those that were ended for `why`.
    #[must_use]
    pub const fn of(&self, why: Cut) -> &Counter {
        match why {
            Cut::TimeLimit => &self.time_limit,
            Cut::Drain => &self.drain,
            Cut::Failover => &self.failover,
        }
    }
}

/// The two ways in which metrics are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The older text of Prometheus, 0.0.4.
    Prometheus,
}

impl Format {
    /// What an HTTP client that accepts `accept` is given.
    #[must_use]
    pub fn accepted(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    /// The type by which HTTP knows it.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

impl Metrics {
    /// What is counted of the proxy as a whole.
    #[must_use]
    pub fn proxy(&self) -> &ProxyMetrics {
        &self.0.proxy
    }

    /// The counters of the target of this name: the same ones each time, across reloads too.
    #[must_use]
    pub fn target(&self, name: &str) -> Arc<TargetMetrics> {
        if let Some(known) = self.0.targets.read().unwrap_or_else(PoisonError::into_inner).get(name)
        {
            return Arc::clone(known);
        }
        let mut targets = self.0.targets.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(targets.entry(name.to_owned()).or_default())
    }

    /// A target that is gone, with its last session, is no longer told of.
    pub fn forget(&self, name: &str) {
        self.0.targets.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// All that was counted, as text.
    ///
    /// # Errors
    /// A defect of the encoder: text takes all that is written to it.
    pub fn encode(&self, format: Format) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(self.clone()));
        let mut encoded = String::new();
        match format {
            Format::OpenMetrics => text::encode(&mut encoded, &registry)?,
            Format::Prometheus => prometheus_text::encode(&mut encoded, &registry)?,
        }
        Ok(encoded)
    }
}

impl TargetMetrics {
    /// A client was refused.
    pub fn refuse(&self, class: Class) {
        self.refused.count(class);
    }
}

#[cfg(test)]
mod tests;
