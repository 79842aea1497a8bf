//! The tables of what is told, and how it is written. docs/proxy-operations.md has the same names: a test compares them.

use std::fmt;
use std::sync::{Arc, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::{Counter, Cut, Failures, Gauge, Histogram, Metrics, ProxyMetrics, TargetMetrics};

/// A metric: its name, what it means, and where it is.
struct Family<S, I>(&'static str, &'static str, fn(&S) -> &I);

const PROXY_GAUGES: [Family<ProxyMetrics, Gauge>; 3] = [
    Family("draining", "Whether the proxy takes in nobody new", |proxy| &proxy.draining),
    Family("start_time_seconds", "When the proxy started, in seconds since 1970", |proxy| {
        &proxy.started
    }),
    Family(
        "connection_limit",
        "How many connections the proxy holds at most, 0 being no limit",
        |proxy| &proxy.connection_limit,
    ),
];

const PROXY_COUNTERS: [Family<ProxyMetrics, Counter>; 2] = [
    Family("reloads", "Settings that were read anew and applied", |proxy| &proxy.reloads),
    Family("reload_failures", "Settings that could not be read anew", |proxy| {
        &proxy.reload_failures
    }),
];

const GAUGES: [Family<TargetMetrics, Gauge>; 4] = [
    Family("connections_open", "Client connections that are open", |target| &target.open),
    Family("pool_idle", "Server sessions that are ready for a client", |target| &target.pool_idle),
    Family("pool_dialling", "Server sessions that are being logged in ahead of need", |target| {
        &target.pool_dialling
    }),
    Family(
        "login_queue",
        "Logins that wait for their turn under the limit of logins a second",
        |target| &target.login_queue,
    ),
];

const COUNTERS: [Family<TargetMetrics, Counter>; 13] = [
    Family("connections_accepted", "Client connections that were accepted", |target| {
        &target.accepted
    }),
    Family("logins", "Logins to the server that went through", |target| &target.logins),
    Family("tokens_minted", "Tokens that were signed", |target| &target.tokens_minted),
    Family("token_hits", "Logins for which a token was at hand", |target| &target.token_hits),
    Family(
        "tokens_rejected",
        "Tokens that the server refused and that were minted anew",
        |target| &target.tokens_rejected,
    ),
    Family("credentials_loads", "AWS credentials that were loaded", |target| {
        &target.credentials_loads
    }),
    Family("credentials_failures", "Loads of AWS credentials that failed", |target| {
        &target.credentials_failures
    }),
    Family("pool_hits", "Clients that were given a session of the pool", |target| {
        &target.pool_hits
    }),
    Family("pool_misses", "Clients for whom the pool had no session", |target| &target.pool_misses),
    Family("pool_resets", "Sessions that were reset and kept for the next client", |target| {
        &target.pool_resets
    }),
    Family("pool_discarded", "Sessions of the pool that were closed", |target| {
        &target.pool_discarded
    }),
    Family("cancels", "Requests to cancel that were passed on", |target| &target.cancels),
    Family("cancels_unknown", "Requests to cancel whose key belongs to no session", |target| {
        &target.cancels_unknown
    }),
];

const FAILURES: [Family<TargetMetrics, Failures>; 2] = [
    Family(
        "connections_refused",
        "Client connections that were refused, by class of failure",
        |target| &target.refused,
    ),
    Family("login_failures", "Logins to the server that failed, by class of failure", |target| {
        &target.login_failures
    }),
];

const HISTOGRAMS: [Family<TargetMetrics, Histogram>; 2] = [
    Family("login_duration", "How long a login to the server took", |target| &target.login_time),
    Family(
        "ready_duration",
        "How long a client waited from its connection to its welcome",
        |target| &target.ready_time,
    ),
];

/// Not of the tables above: each has a label of its own.
const BYTES: (&str, &str) = ("transferred", "Bytes that were relayed, by direction");
const CUT: (&str, &str) = ("sessions_cut", "Sessions that the proxy ended, by reason");
const INFO: (&str, &str) = ("build", "The version of the proxy");

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let targets: Vec<(String, Arc<TargetMetrics>)> = {
            let targets = self.0.targets.read().unwrap_or_else(PoisonError::into_inner);
            targets.iter().map(|(name, target)| (name.clone(), Arc::clone(target))).collect()
        };
        proxy(&mut encoder, &self.0.proxy)?;
        for Family(name, help, read) in GAUGES {
            each(
                encoder.encode_descriptor(name, help, None, MetricType::Gauge)?,
                &targets,
                |metric, labels, target| {
                    metric.encode_family(labels)?.encode_gauge(&read(target).get())
                },
            )?;
        }
        for Family(name, help, read) in COUNTERS {
            each(
                encoder.encode_descriptor(name, help, None, MetricType::Counter)?,
                &targets,
                |metric, labels, target| count(metric.encode_family(labels)?, read(target).get()),
            )?;
        }
        for Family(name, help, read) in FAILURES {
            each(
                encoder.encode_descriptor(name, help, None, MetricType::Counter)?,
                &targets,
                |metric, labels, target| {
                    read(target).each().try_for_each(|(class, failures)| {
                        let class = class.to_string();
                        count(
                            metric.encode_family(&(*labels, [("class", class.as_str())]))?,
                            failures,
                        )
                    })
                },
            )?;
        }
        for Family(name, help, read) in HISTOGRAMS {
            each(
                encoder.encode_descriptor(
                    name,
                    help,
                    Some(&Unit::Seconds),
                    MetricType::Histogram,
                )?,
                &targets,
                |metric, labels, target| {
                    let (seconds, buckets) = read(target).read();
                    let times = buckets.iter().map(|(_, times)| times).sum();
                    metric
                        .encode_family(labels)?
                        .encode_histogram::<NoLabelSet>(seconds, times, &buckets, None)
                },
            )?;
        }
        relayed(&mut encoder, &targets)?;
        cut(&mut encoder, &targets)
    }
}

/// The label that every metric of a target has.
type Labels<'a> = [(&'static str, &'a str); 1];

fn each(
    mut metric: MetricEncoder,
    targets: &[(String, Arc<TargetMetrics>)],
    write: impl Fn(&mut MetricEncoder, &Labels, &TargetMetrics) -> fmt::Result,
) -> fmt::Result {
    targets.iter().try_for_each(|(name, target)| write(&mut metric, &[("target", name)], target))
}

fn count(mut metric: MetricEncoder, count: u64) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, u64, f64>(&count, None)
}

fn proxy(encoder: &mut DescriptorEncoder, proxy: &ProxyMetrics) -> fmt::Result {
    encoder
        .encode_descriptor(INFO.0, INFO.1, None, MetricType::Info)?
        .encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
    for Family(name, help, read) in PROXY_GAUGES {
        encoder
            .encode_descriptor(name, help, None, MetricType::Gauge)?
            .encode_gauge(&read(proxy).get())?;
    }
    for Family(name, help, read) in PROXY_COUNTERS {
        count(
            encoder.encode_descriptor(name, help, None, MetricType::Counter)?,
            read(proxy).get(),
        )?;
    }
    Ok(())
}

fn relayed(
    encoder: &mut DescriptorEncoder,
    targets: &[(String, Arc<TargetMetrics>)],
) -> fmt::Result {
    let metric =
        encoder.encode_descriptor(BYTES.0, BYTES.1, Some(&Unit::Bytes), MetricType::Counter)?;
    each(metric, targets, |metric, labels, target| {
        let ways = [("to-server", &target.to_server), ("to-client", &target.to_client)];
        ways.into_iter().try_for_each(|(way, bytes)| {
            count(metric.encode_family(&(*labels, [("direction", way)]))?, bytes.get())
        })
    })
}

fn cut(encoder: &mut DescriptorEncoder, targets: &[(String, Arc<TargetMetrics>)]) -> fmt::Result {
    let metric = encoder.encode_descriptor(CUT.0, CUT.1, None, MetricType::Counter)?;
    each(metric, targets, |metric, labels, target| {
        Cut::ALL.into_iter().try_for_each(|why| {
            count(
                metric.encode_family(&(*labels, [("reason", why.name())]))?,
                target.cut.of(why).get(),
            )
        })
    })
}

/// What every metric is called where it is read, without what the encoder appends: for the comparison with the documentation.
#[cfg(test)]
pub(super) fn names() -> Vec<String> {
    let plain = PROXY_GAUGES
        .iter()
        .map(|family| family.0)
        .chain(GAUGES.iter().map(|family| family.0))
        .map(str::to_owned);
    let proxy = PROXY_COUNTERS.iter().map(|family| family.0);
    let counters = proxy
        .chain(COUNTERS.iter().map(|family| family.0))
        .chain(FAILURES.iter().map(|family| family.0))
        .chain([CUT.0]);
    let counters = counters.map(|name| format!("{name}_total"));
    let histograms = HISTOGRAMS.iter().map(|family| format!("{}_seconds", family.0));
    let others = [format!("{}_bytes_total", BYTES.0), format!("{}_info", INFO.0)];
    let all = plain.chain(counters).chain(histograms).chain(others);
    all.map(|name| format!("{}_{name}", super::PREFIX)).collect()
}
