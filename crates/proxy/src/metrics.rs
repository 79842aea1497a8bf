//! Metrics of the proxy and their Prometheus formats.
//!
//! Sessions update plain atomics; names, labels and text are produced on demand. Label values are
//! target names, failure classes and constants, never a value chosen by a client.

mod families;
mod instrument;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

pub use instrument::{Counter, Failures, Gauge, GaugeGuard, Histogram};

/// Metrics of a whole proxy. Clones share the values.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<Registry>);

#[derive(Debug, Default)]
struct Registry {
    proxy: ProxyMetrics,
    targets: RwLock<BTreeMap<String, Arc<TargetMetrics>>>,
}

/// Metrics without a target.
#[derive(Debug, Default)]
pub struct ProxyMetrics {
    /// 1 while the proxy accepts no new connections.
    pub draining: Gauge,
    /// Start time in seconds since 1970.
    pub started: Gauge,
    /// Maximum number of client connections; 0 means no limit.
    pub connection_limit: Gauge,
    /// Reloads of the settings that were applied, with or without problems.
    pub reloads: Counter,
    /// Reloads of the settings that failed.
    pub reload_failures: Counter,
}

/// Metrics of one target.
#[derive(Debug, Default)]
pub struct TargetMetrics {
    /// Accepted client connections.
    pub accepted: Counter,
    /// Open client connections.
    pub open: Gauge,
    /// Client connections rejected before their login completed.
    pub rejected: Failures,
    /// Successful logins to the server, those of the pool included.
    pub logins: Counter,
    /// Failed logins to the server.
    pub login_failures: Failures,
    /// Duration of successful logins to the server, without the wait for the login rate limit.
    pub login_duration: Histogram,
    /// Duration from accepting a client to the completion of its login.
    pub client_connect_duration: Histogram,
    /// Bytes forwarded to the server, counted without TLS.
    pub bytes_to_server: Counter,
    /// Bytes forwarded to clients, counted without TLS.
    pub bytes_to_client: Counter,
    /// Minted tokens.
    pub tokens_minted: Counter,
    /// Logins with a token from the cache.
    pub token_cache_hits: Counter,
    /// Tokens that the server rejected and that were minted again.
    pub tokens_rejected: Counter,
    /// Successful loads of AWS credentials.
    pub credentials_loads: Counter,
    /// Failed loads of AWS credentials.
    pub credentials_failures: Counter,
    /// Idle sessions of the pool.
    pub pool_idle: Gauge,
    /// Logins of the pool in progress.
    pub pool_connecting: Gauge,
    /// Clients that received a session of the pool.
    pub pool_hits: Counter,
    /// Clients for which the pool contained no session.
    pub pool_misses: Counter,
    /// Sessions that were reset and returned to the pool.
    pub pool_resets: Counter,
    /// Sessions that the pool closed: too old, too many, not reset, or closed by the server.
    pub pool_discarded: Counter,
    /// Logins delayed by the limit of logins per second.
    pub logins_queued: Gauge,
    /// Cancel requests forwarded to a server.
    pub cancels_forwarded: Counter,
    /// Cancel requests with an unknown key, or that could not be forwarded.
    pub cancels_failed: Counter,
    /// Sessions terminated by the proxy.
    pub terminated: Terminations,
}

/// Reason of the proxy to terminate a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminationReason {
    /// The session reached its time limit.
    TimeLimit,
    /// The grace period of the shutdown is over.
    Drain,
    /// The server no longer accepts writes, or the host name resolves to another server.
    Failover,
}

impl TerminationReason {
    const fn label(self) -> &'static str {
        match self {
            Self::TimeLimit => "time-limit",
            Self::Drain => "drain",
            Self::Failover => "failover",
        }
    }

    /// Returns the text for the client and the log.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::TimeLimit => "the session has reached its time limit",
            Self::Drain => "the proxy is shutting down",
            Self::Failover => "the server no longer accepts writes; connect again",
        }
    }
}

/// Counters of sessions terminated by the proxy, by reason.
#[derive(Debug, Default)]
pub struct Terminations {
    time_limit: Counter,
    drain: Counter,
    failover: Counter,
}

impl Terminations {
    /// Returns the counter of `reason`.
    #[must_use]
    pub const fn by(&self, reason: TerminationReason) -> &Counter {
        match reason {
            TerminationReason::TimeLimit => &self.time_limit,
            TerminationReason::Drain => &self.drain,
            TerminationReason::Failover => &self.failover,
        }
    }
}

/// Text format of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text format 0.0.4.
    Prometheus,
}

impl Format {
    /// Chooses the format for an `Accept` header.
    #[must_use]
    pub fn accepted(accept: Option<&str>) -> Self {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }

    /// Returns the value of `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

impl Metrics {
    /// Returns the metrics without a target.
    #[must_use]
    pub fn proxy(&self) -> &ProxyMetrics {
        &self.0.proxy
    }

    /// Returns the metrics of a target, and creates them at the first call. They survive reloads.
    #[must_use]
    pub fn target(&self, name: &str) -> Arc<TargetMetrics> {
        if let Some(known) = self.0.targets.read().unwrap_or_else(PoisonError::into_inner).get(name)
        {
            return Arc::clone(known);
        }
        let mut targets = self.0.targets.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(targets.entry(name.to_owned()).or_default())
    }

    /// Ends the series of a target that was removed from the settings. Sessions that are still
    /// open keep counting, but their counts are no longer exported.
    pub fn remove_target(&self, name: &str) {
        self.0.targets.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn targets(&self) -> Vec<(String, Arc<TargetMetrics>)> {
        let targets = self.0.targets.read().unwrap_or_else(PoisonError::into_inner);
        targets.iter().map(|(name, target)| (name.clone(), Arc::clone(target))).collect()
    }
}

#[cfg(test)]
mod tests;
