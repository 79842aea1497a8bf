//! Tables of the metric families and their encoding. A test compares them with
//! `docs/proxy-operations.md`.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::{
    Counter, Failures, Format, Gauge, Histogram, Metrics, ProxyMetrics, TargetMetrics,
    TerminationReason,
};

/// Prefix of every metric name.
const PREFIX: &str = "countersign_proxy";

/// A metric family: name, help text and accessor.
struct Family<S, I>(&'static str, &'static str, fn(&S) -> &I);

/// A family of counters with one label: name, help text, unit, label, and for each label value
/// the accessor.
struct Labelled {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    label: &'static str,
    values: &'static [(&'static str, CounterOf)],
}

type CounterOf = fn(&TargetMetrics) -> &Counter;

const BUILD: (&str, &str) = ("build", "Version of the proxy");

const PROXY_GAUGES: [Family<ProxyMetrics, Gauge>; 3] = [
    Family("draining", "1 while the proxy accepts no new connections", |proxy| &proxy.draining),
    Family("start_time_seconds", "Start time of the proxy in seconds since 1970", |proxy| {
        &proxy.started
    }),
    Family("connection_limit", "Maximum number of client connections; 0 is no limit", |proxy| {
        &proxy.connection_limit
    }),
];

const PROXY_COUNTERS: [Family<ProxyMetrics, Counter>; 2] = [
    Family("reloads", "Reloads of the settings that were applied", |proxy| &proxy.reloads),
    Family("reload_failures", "Reloads of the settings that failed", |proxy| {
        &proxy.reload_failures
    }),
];

const GAUGES: [Family<TargetMetrics, Gauge>; 4] = [
    Family("connections_open", "Open client connections", |target| &target.open),
    Family("pool_idle", "Idle sessions of the pool", |target| &target.pool_idle),
    Family("pool_connecting", "Logins of the pool in progress", |target| &target.pool_connecting),
    Family("logins_queued", "Logins delayed by the limit of logins per second", |target| {
        &target.logins_queued
    }),
];

const COUNTERS: [Family<TargetMetrics, Counter>; 11] = [
    Family("connections_accepted", "Accepted client connections", |target| &target.accepted),
    Family("logins", "Successful logins to the server", |target| &target.logins),
    Family("tokens_minted", "Minted tokens", |target| &target.tokens_minted),
    Family("token_cache_hits", "Logins with a token from the cache", |target| {
        &target.token_cache_hits
    }),
    Family("tokens_rejected", "Tokens that the server rejected", |target| &target.tokens_rejected),
    Family("credentials_loads", "Successful loads of AWS credentials", |target| {
        &target.credentials_loads
    }),
    Family("credentials_failures", "Failed loads of AWS credentials", |target| {
        &target.credentials_failures
    }),
    Family("pool_hits", "Clients that received a session of the pool", |target| &target.pool_hits),
    Family("pool_misses", "Clients for which the pool contained no session", |target| {
        &target.pool_misses
    }),
    Family("pool_resets", "Sessions that were reset and returned to the pool", |target| {
        &target.pool_resets
    }),
    Family("pool_discarded", "Sessions that the pool closed", |target| &target.pool_discarded),
];

const FAILURES: [Family<TargetMetrics, Failures>; 2] = [
    Family("connections_rejected", "Rejected client connections, by class", |target| {
        &target.rejected
    }),
    Family("login_failures", "Failed logins to the server, by class", |target| {
        &target.login_failures
    }),
];

const HISTOGRAMS: [Family<TargetMetrics, Histogram>; 2] = [
    Family("login_duration", "Duration of successful logins to the server", |target| {
        &target.login_duration
    }),
    Family(
        "client_connect_duration",
        "Duration from accepting a client to the completion of its login",
        |target| &target.client_connect_duration,
    ),
];

const LABELLED: [Labelled; 3] = [
    Labelled {
        name: "transferred",
        help: "Forwarded bytes, by direction",
        unit: Some(Unit::Bytes),
        label: "direction",
        values: &[
            ("to-server", |target| &target.bytes_to_server),
            ("to-client", |target| &target.bytes_to_client),
        ],
    },
    Labelled {
        name: "cancel_requests",
        help: "Cancel requests, by result",
        unit: None,
        label: "result",
        values: &[
            ("forwarded", |target| &target.cancels_forwarded),
            ("failed", |target| &target.cancels_failed),
        ],
    },
    Labelled {
        name: "sessions_terminated",
        help: "Sessions terminated by the proxy, by reason",
        unit: None,
        label: "reason",
        values: &[
            (TerminationReason::TimeLimit.label(), |target| {
                target.terminated.by(TerminationReason::TimeLimit)
            }),
            (TerminationReason::Drain.label(), |target| {
                target.terminated.by(TerminationReason::Drain)
            }),
            (TerminationReason::Failover.label(), |target| {
                target.terminated.by(TerminationReason::Failover)
            }),
        ],
    },
];

impl Metrics {
    /// Encodes all metrics as text.
    ///
    /// # Errors
    /// The encoder's, which does not occur: writing to a `String` does not fail.
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

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        encode_proxy(&mut encoder, self.proxy())?;
        let targets = TargetEncoder { targets: self.targets() };
        targets.gauges(&mut encoder)?;
        targets.counters(&mut encoder)?;
        targets.failures(&mut encoder)?;
        targets.histograms(&mut encoder)?;
        targets.labelled(&mut encoder)
    }
}

fn encode_proxy(encoder: &mut DescriptorEncoder, proxy: &ProxyMetrics) -> fmt::Result {
    encoder
        .encode_descriptor(BUILD.0, BUILD.1, None, MetricType::Info)?
        .encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
    for Family(name, help, read) in PROXY_GAUGES {
        encoder
            .encode_descriptor(name, help, None, MetricType::Gauge)?
            .encode_gauge(&read(proxy).get())?;
    }
    for Family(name, help, read) in PROXY_COUNTERS {
        encode_counter(
            encoder.encode_descriptor(name, help, None, MetricType::Counter)?,
            read(proxy).get(),
        )?;
    }
    Ok(())
}

fn encode_counter(mut metric: MetricEncoder, count: u64) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, u64, f64>(&count, None)
}

/// Label of every metric of a target.
type TargetLabel<'a> = [(&'static str, &'a str); 1];

struct TargetEncoder {
    targets: Vec<(String, Arc<TargetMetrics>)>,
}

impl TargetEncoder {
    fn for_each(
        &self,
        mut metric: MetricEncoder,
        write: impl Fn(&mut MetricEncoder, &TargetLabel, &TargetMetrics) -> fmt::Result,
    ) -> fmt::Result {
        self.targets
            .iter()
            .try_for_each(|(name, target)| write(&mut metric, &[("target", name)], target))
    }

    fn gauges(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        GAUGES.into_iter().try_for_each(|Family(name, help, read)| {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            self.for_each(metric, |metric, label, target| {
                metric.encode_family(label)?.encode_gauge(&read(target).get())
            })
        })
    }

    fn counters(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        COUNTERS.into_iter().try_for_each(|Family(name, help, read)| {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            self.for_each(metric, |metric, label, target| {
                encode_counter(metric.encode_family(label)?, read(target).get())
            })
        })
    }

    fn failures(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        FAILURES.into_iter().try_for_each(|Family(name, help, read)| {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            self.for_each(metric, |metric, label, target| {
                read(target).totals().try_for_each(|(class, failures)| {
                    let class = class.to_string();
                    let labels = (*label, [("class", class.as_str())]);
                    encode_counter(metric.encode_family(&labels)?, failures)
                })
            })
        })
    }

    fn histograms(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        HISTOGRAMS.into_iter().try_for_each(|Family(name, help, read)| {
            let unit = Some(&Unit::Seconds);
            let metric = encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?;
            self.for_each(metric, |metric, label, target| {
                let (sum, buckets) = read(target).read();
                let count = buckets.iter().map(|(_, count)| count).sum();
                let mut metric = metric.encode_family(label)?;
                metric.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
            })
        })
    }

    fn labelled(&self, encoder: &mut DescriptorEncoder) -> fmt::Result {
        LABELLED.into_iter().try_for_each(|Labelled { name, help, unit, label: key, values }| {
            let metric =
                encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Counter)?;
            self.for_each(metric, |metric, label, target| {
                values.iter().try_for_each(|(value, read)| {
                    let labels = (*label, [(key, *value)]);
                    encode_counter(metric.encode_family(&labels)?, read(target).get())
                })
            })
        })
    }
}

/// Returns the exported names of all metrics, for the comparison with the documentation.
#[cfg(test)]
pub(super) fn names() -> Vec<String> {
    let gauges = PROXY_GAUGES
        .iter()
        .map(|family| family.0)
        .chain(GAUGES.iter().map(|family| family.0))
        .map(str::to_owned);
    let counters = PROXY_COUNTERS.iter().map(|family| family.0);
    let counters = counters
        .chain(COUNTERS.iter().map(|family| family.0))
        .chain(FAILURES.iter().map(|family| family.0))
        .map(|name| format!("{name}_total"));
    let labelled = LABELLED.iter().map(|family| match &family.unit {
        Some(unit) => format!("{}_{}_total", family.name, unit.as_str()),
        None => format!("{}_total", family.name),
    });
    let histograms = HISTOGRAMS.iter().map(|family| format!("{}_seconds", family.0));
    let all = gauges.chain(counters).chain(labelled).chain(histograms);
    all.chain([format!("{}_info", BUILD.0)]).map(|name| format!("{PREFIX}_{name}")).collect()
}
